"""The workflow runs from any folder, and as a module of another workflow: results lie there."""

import re
import subprocess
from collections import Counter

import pytest

from tests.support.workflow_project import FEW_FIGURES, TINY, Project

MINE = TINY.replace(FEW_FIGURES, "figures: {formats: [png], widths: [page]}\n")
OUTER = """\
configfile: "config.yaml"


module maps:
    snakefile: "{snakefile}"
    config: config["maps"]


use rule * from maps as maps_*


rule count:
    default_target: True
    input:
        rules.maps_all.input,
        metrics="found/mine/runs/seed-1/metrics.parquet",
    output:
        "count.txt",
    shell:
        "wc -c < {{input.metrics}} > {{output}}"
"""


@pytest.fixture
def checkout(finished, tmp_path):
    """The finished project, where nothing can be written if this user may mount it so."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    mount = ["mount", "--bind", str(finished[0].folder), str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield finished[0]
        return
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        with pytest.raises(OSError, match="Read-only"):
            (folder / "file").touch()
        yield Project(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def elsewhere(tmp_path):
    """A folder that holds an experiment of one's own and nothing of the project."""
    folder = tmp_path / "else where" / ("a long name of " * 10) / ("another " * 10)
    (folder / "own").mkdir(parents=True)
    (folder / "own/mine.yaml").write_text(MINE)
    return folder


def planned(told):
    return Counter({rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", told, flags=re.M)})


def test_it_runs_from_anywhere(checkout, elsewhere):
    """From a folder with a path of 200 characters, and a checkout that cannot be written to."""
    assert len(str(elsewhere)) > 200
    project = checkout
    files = sorted(path for path in project.folder.iterdir())
    snakefile = ["-s", str(project.folder / "Snakefile"), "--directory", str(elsewhere)]

    def call(*arguments):
        done = project.snakemake(*snakefile, *arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    # Without a config of its own it has the project's, of which only the results are elsewhere.
    jobs = planned(call("--dry-run"))
    assert jobs["train_tiny_0"] == 1
    assert not (elsewhere / "results").exists()
    (elsewhere / "config.yaml").write_text("experiments: [own/mine.yaml]\nresults: found\n")
    jobs = planned(call("--dry-run"))
    assert jobs["train_mine_0"] == 1
    assert not any(rule.endswith("tiny_0") for rule in jobs)
    call("--", "found/mine/runs/seed-0/metrics.parquet")
    assert (elsewhere / "found/mine/runs/seed-0/metrics.parquet").is_file()
    assert sorted(path for path in project.folder.iterdir()) == files
    # The project's own experiments are known by their names, also from there.
    jobs = planned(call("--dry-run", "--config", "experiments=[tiny, own/mine.yaml]"))
    assert jobs["train_tiny_0"] == 1
    refused = project.snakemake(*snakefile, "--config", "hmm={restart: 3}")
    assert "unknown key hmm.restart (did you mean restarts?)" in refused.stdout


def test_it_is_a_module_of_another_workflow(finished, elsewhere):
    snakefile = str(finished[0].folder / "Snakefile")
    (elsewhere / "Snakefile").write_text(OUTER.format(snakefile=snakefile))
    # The other workflow's config has keys of its own, which are none of this one's.
    (elsewhere / "config.yaml").write_text(
        "threads: 3\nmaps: {experiments: [own/mine.yaml], results: found}\n"
    )
    outer = Project(elsewhere, finished[0].folder)
    jobs = planned(outer.run("--dry-run"))
    assert jobs["maps_train_mine_0"] == 1
    assert jobs["maps_figures"] == 1
    assert jobs["count"] == 1
    target = ["--", "found/mine/runs/seed-1/metrics.parquet"]
    outer.run(*target)
    assert (elsewhere / "found/mine/runs/seed-1/metrics.parquet").is_file()
    (elsewhere / "config.yaml").write_text("maps: {experiments: [own/mine.yaml], hm: {}}\n")
    refused = outer.snakemake("--dry-run")
    assert refused.returncode != 0
    assert "config: unknown key hm (did you mean hmm?)" in refused.stdout

"""Broken configs through Snakemake itself: one message, no traceback, no file.

Of each step of workflow/rules/common.smk one: the file by itself, before Snakemake reads it, and
then the config with the files that it names. tests/properties/test_broken_configs.py has the
thousand, through what the workflow calls.
"""

import pytest

from tests.support.workflow_project import Project

YTE = """\
__use_yte__: true
experiments: [tiny]
results: ?open("pwned", "w").name
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A project in which nothing has been run."""
    return Project.new(tmp_path_factory.mktemp("fresh") / "project")


def files_of(folder):
    left_out = {".snakemake", "__pycache__"}
    return {path for path in folder.rglob("*") if not left_out & set(path.parts)}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("experiments: [tiny\n", "config.yaml: is not valid YAML (line 2: "),
        (YTE, "config.yaml: unknown key __use_yte__"),
        ("experiments: [own/two.yaml]\n", "own/two.yaml: is not valid YAML (line 1: "),
    ],
)
def test_it_is_refused_before_anything_is_done(fresh, config, message):
    (fresh.folder / "own").mkdir(exist_ok=True)
    (fresh.folder / "own" / "two.yaml").write_text("hmm: !!python/name:os.system\n")
    (fresh.folder / "config.yaml").write_text(config)
    before = files_of(fresh.folder)
    done = fresh.snakemake("--dry-run")
    assert done.returncode != 0
    assert "The config is not valid, so nothing was run." in done.stdout
    assert message in done.stdout, done.stdout
    assert "Traceback" not in done.stdout
    assert "Error in" not in done.stdout
    assert files_of(fresh.folder) == before


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("experiments: [tiny]\nhmm: {restarts: 1}\nhmm: {restarts: 2}\n",
         "config.yaml, line 3: hmm is there twice, in line 2 too"),
        ("experiments: [tiny]\ntraining: {length: 4}\n", "observations.min_checkpoints is 10"),
        ("experiments: [tiny]\nsemantics: {outcome: table, table: {path: '{x}.csv', column: a}}\n",
         "semantics.table.path: '{x}.csv' has '{' in its name"),
        ("experiments: [tiny]\nresults: config.yaml\n", "config.yaml is a file; name a folder"),
    ],
)  # fmt: skip
def test_it_is_refused_by_what_the_workflow_calls(fresh, config, message):
    (fresh.folder / "config.yaml").write_text(config)
    before = files_of(fresh.folder)
    assert message in fresh.refusal()
    assert files_of(fresh.folder) == before

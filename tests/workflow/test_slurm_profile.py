"""The profile for SLURM, as far as it can be checked without one."""

import re

import pytest
import yaml

from tests.support.project import ROOT
from tests.support.workflow_project import Project

pytest.importorskip(
    "snakemake_executor_plugin_slurm", reason="snakemake-executor-plugin-slurm is not installed"
)
PROFILE = "profiles/slurm/config.yaml"
# One experiment that has every stage, and one of a task that asks for a GPU.
CONFIG = """\
experiments: [tiny, digits]
sensitivity: {leave_one_out: true}
early_warning: {fractions: [0.5]}
"""
DIGITS = "seeds: 0-7\ntraining: {task: mnist, seeds_per_job: 4}\n"


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """What a dry run with the profile says of each job: rule and resources."""
    project = Project.new(tmp_path_factory.mktemp("slurm") / "project")
    (project.folder / "config.yaml").write_text(CONFIG)
    (project.folder / "experiments/digits.yaml").write_text(DIGITS)
    for line in ("slurm_account: my_group ", "gpu_partition: gpu ", "gpu_type: a100 "):
        project.edit(PROFILE, f"# {line}", line)
    told = project.run("--workflow-profile", "profiles/slurm", "--dry-run", "--quiet", "host")
    _, *parts = re.split(r"^ *(?:local)?rule (\w+):$", told, flags=re.M)
    return [
        (rule, dict(re.findall(r"(\w+)=([^,\n]+)", re.search(r"resources: (.*)", text)[1])))
        for rule, text in zip(parts[::2], parts[1::2], strict=True)
    ]


def test_every_rule_is_given_time_and_memory():
    """All but the local ones, and those with a name for each experiment, which have the default."""
    rules = set()
    for file in (ROOT / "workflow/rules").glob("*.smk"):
        rules |= set(re.findall(r"^rule (\w+):", file.read_text(), flags=re.M))
    # Made in a loop: one body, for those who ask for other files.
    measuring = {f"{rule}{kept}" for rule in ("metrics", "hub") for kept in ("", "_without_layers")}
    rules |= {"figures", *measuring}
    local = re.search(r"^localrules:\n((?:    \w+,\n)+)", (ROOT / "Snakefile").read_text(), re.M)
    rules -= set(re.findall(r"\w+", local[1]))
    profile = yaml.safe_load((ROOT / PROFILE).read_text())
    assert set(profile["set-resources"]) == rules
    given = profile["set-resources"]
    assert all("runtime" in settings for settings in given.values())
    assert {rule for rule, settings in given.items() if "mem_mb" not in settings} == {
        "metrics",
        "metrics_without_layers",
    }


def test_training_asks_for_a_gpu_where_its_task_profits(planned):
    gpus = {
        rule: (resources["gpu"], resources.get("slurm_partition"), resources.get("gpu_model"))
        for rule, resources in planned
        if "gpu" in resources
    }
    none, one = ("0", None, None), ("1", "gpu", "a100")
    assert gpus == {
        "train_tiny_0": none, "train_tiny_1": none, "train_digits_0": one, "train_digits_1": one
    }  # fmt: skip


def test_every_job_is_given_time_and_memory(planned):
    """Of those that need files which are not there yet, the memory is computed later."""
    assert len(planned) > 50
    for rule, resources in planned:
        assert int(resources["runtime"]) > 0, rule
        assert resources["mem_mb"] == "<TBD>" or int(resources["mem_mb"]) >= 2000, rule
        assert resources["slurm_account"] == "my_group", rule


def test_fetch_makes_all_that_needs_the_internet(tmp_path):
    project = Project.new(tmp_path / "project")
    (project.folder / "experiments/digits.yaml").write_text(DIGITS)
    planned = project.planned("fetch", "--config", "experiments=[tiny, digits, multiberts]")
    assert planned == {"fetch": 1, "fetch_dataset": 1, "hub": 5}

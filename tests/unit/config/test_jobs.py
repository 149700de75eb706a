"""What jobs read, write and are told, from an experiment's settings: without Snakemake."""

from typing import Any

import pytest

from tests.support.project import ROOT
from training_maps.config.jobs import FIGURES, Jobs, alike_in_figures, figures_to_show
from training_maps.config.resolve import resolve
from training_maps.config.schema import load_schema
from training_maps.config.training_jobs import TrainingJobs, checkpoints_to_use

HUB = {"source": "hub", "seeds": "0-1", "hub": {"preset": "polypythias", "size": "160m"}}
TABLES = {"source": "metrics", "seeds": "0-1", "tables": {"path": "history.csv"}}
CHECKPOINTS = {
    "source": "checkpoints",
    "seeds": "3-4",
    "checkpoints": {"path": "runs/{seed}/{step}.pt"},
}
STATE_PATHS = {"source": "state_paths", "seeds": "0-1", "state_paths": {"path": "paths.csv"}}
SMALL = {"seeds": "0-2", "training": {"seeds_per_job": 2}}


def jobs_of(settings: dict[str, Any], tmp_path, name: str = "tiny") -> Jobs:
    """The jobs of an experiment with these settings, whose results go to `found`."""
    (tmp_path / f"{name}.yaml").write_text("description: a small one\n")
    config = {"experiments": [name], "results": "found", **settings}
    found = resolve(config, tmp_path, load_schema())
    return Jobs(name, found.experiments[name], f"own/{name}.yaml", found.results)


def test_options_name_what_the_settings_say(tmp_path):
    jobs = jobs_of({**SMALL, "hmm": {"restarts": 2, "n_states": "1-3,5"}}, tmp_path)
    assert jobs.options("hmm")[:2] == ["--restarts", "2"]
    assert jobs.numbers("seeds") == "0-2"
    assert jobs.numbers("hmm", "n_states") == "1-3,5"
    assert jobs.setting("hmm", "restarts") == 2
    assert jobs.name_in_config() == "own/tiny.yaml"
    assert jobs.about()["description"] == "a small one"


def test_each_run_and_model_has_its_files(tmp_path):
    jobs = jobs_of({**SMALL, "hmm": {"n_states": "1-2", "model": "autoregressive"}}, tmp_path)
    assert jobs.metrics() == [f"<results>/tiny/runs/seed-{s}/metrics.parquet" for s in range(3)]
    assert jobs.models() == [
        f"<results>/tiny/hmm/autoregressive_states-{n}.{suffix}"
        for n in (1, 2)
        for suffix in ("npz", "csv")
    ]
    assert jobs_of(SMALL, tmp_path).models()[0] == "<results>/tiny/hmm/states-1.npz"
    assert jobs.runs_option() == ["--runs", "found/tiny/runs"]
    assert jobs.logs_to_join() == []
    joined = jobs_of({**SMALL, "observations": {"log_columns": ["gradient_norm"]}}, tmp_path)
    assert joined.logs_to_join() == joined.training_logs() != []


def test_state_paths_have_no_model_and_no_metrics(tmp_path):
    jobs = jobs_of(STATE_PATHS, tmp_path)
    assert jobs.metrics() == jobs.training_logs() == jobs.runs_option() == []
    assert not any("/hmm/" in path for path in jobs.everything())
    assert "<results>/tiny/training_map.json" in jobs.everything()


def test_only_who_asks_for_it_has_more_analysis(tmp_path):
    usual = set(jobs_of(SMALL, tmp_path).analysis())
    asked = {"sensitivity": {"leave_one_out": True}, "early_warning": {"fractions": [0.1]}}
    jobs = jobs_of({**SMALL, **asked}, tmp_path)
    assert set(jobs.analysis()) - usual == {
        f"<results>/tiny/{name}.{suffix}"
        for name in ("sensitivity", "early_warning")
        for suffix in ("csv", "json")
    }
    assert "<results>/tiny/sensitivity/without_l1.json" in jobs.of_variants()
    assert jobs.variant_options("without_l1") == ["--variant", "without_l1", "--leave-out", "l1"]


def test_tables_are_told_once_where_the_log_is_in_them(tmp_path):
    metrics = jobs_of(TABLES, tmp_path)
    assert metrics.table_options()[:4] == ["--path", "history.csv", "--repeated-steps", "stop"]
    assert "--log-columns" not in metrics.table_options()
    log = {"training_log": {"columns": {"eval_accuracy": "val/acc"}}}
    both = jobs_of({**TABLES, **log}, tmp_path)
    words = both.table_options()
    assert words[words.index("--log-path") + 1] == "history.csv"
    assert words[-2:] == ["--log-columns", "eval_accuracy=val/acc"]
    assert both.made_of_tables() == metrics.metrics() + both.training_logs()
    own = {"training_log": {"path": "log.csv", "epoch": "ep"}}
    words = jobs_of({**TABLES, **own}, tmp_path).table_options()
    assert words[words.index("--log-path") + 1] == "log.csv"
    assert words[words.index("--log-epoch") + 1] == "ep"


def test_where_a_run_is_on_the_hub(tmp_path):
    jobs = jobs_of(HUB, tmp_path)
    assert "160m" in jobs.on_hub(1, "repository")
    assert jobs.on_hub(1, "steps").startswith("0-2,4,8")
    assert jobs.hub_options() == []
    more = {**HUB, "hub": {**HUB["hub"], "files": ["a", "b"], "endpoint": "http://here"}}
    assert jobs_of(more, tmp_path).hub_options() == [
        "--files", "a", "b", "--endpoint", "http://here",
    ]  # fmt: skip


def test_memory_follows_the_size_of_a_checkpoint_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in (3, 4):
        folder = tmp_path / f"runs/{seed}"
        folder.mkdir(parents=True)
        for step in (0, 10):
            with (folder / f"{step}.pt").open("wb") as file:
                file.truncate(step * 10**7)
    jobs = jobs_of(CHECKPOINTS, tmp_path)
    assert jobs.memory_for_metrics(3) == 2200
    assert jobs_of(SMALL, tmp_path).memory_for_metrics(0) == 2000
    assert jobs.checkpoints_digest(3) != jobs.checkpoints_digest(4)
    keyed = {"checkpoints": {**CHECKPOINTS["checkpoints"], "state_dict_key": "ema"}}
    given = {**CHECKPOINTS, **keyed, "parameters": {"left_out": ["a*"]}}
    assert jobs_of(given, tmp_path).reading_options() == [
        "--state-dict-key", "ema", "--left-out", "a*",
    ]  # fmt: skip


def test_the_outcome_s_table_is_an_input(tmp_path):
    assert jobs_of(SMALL, tmp_path).outcome_table() == []
    table = {"outcome": "table", "table": {"path": "scores.csv", "column": "score"}}
    jobs = jobs_of({**SMALL, "semantics": table}, tmp_path)
    assert jobs.outcome_table() == ["scores.csv"]
    words = jobs.options("semantics")
    assert words[words.index("--table") :][:3] == ["--table", "scores.csv", "score"]


def test_experiments_are_grouped_by_the_figures_that_they_ask_for(tmp_path):
    vectors = {**SMALL, "figures": {"formats": ["svg"], "widths": ["column"]}}
    jobs = {
        "a": jobs_of(SMALL, tmp_path, "a"),
        "b": jobs_of(vectors, tmp_path, "b"),
        "c": jobs_of(SMALL, tmp_path, "c"),
    }
    groups = alike_in_figures(jobs)
    assert list(groups.values()) == [["a", "c"], ["b"]]
    whole, small = groups
    assert (len(whole), len(small)) == (6 * len(FIGURES), len(FIGURES))
    assert small[0] == "<results>/{experiment}/figures/column/overview.svg"


@pytest.mark.parametrize(
    ("formats", "widths", "shown"),
    [
        (["svg", "pdf", "png"], ["column", "page"], "page/forks.png"),
        (["pdf", "svg"], ["page", "column"], "page/forks.svg"),
        (["pdf"], ["column"], "column/forks.pdf"),
    ],
)
def test_of_each_figure_one_file_is_shown(tmp_path, formats, widths, shown):
    figures = {"figures": {"formats": formats, "widths": widths}}
    chosen = figures_to_show(jobs_of({**SMALL, **figures}, tmp_path).figures())
    assert len(chosen) == len(FIGURES)
    assert f"<results>/tiny/figures/{shown}" in chosen


class TestTraining:
    def jobs(self, tmp_path, **training):
        settings = {"seeds": "0-2", "training": {"seeds_per_job": 2, **training}}
        return TrainingJobs(jobs_of(settings, tmp_path))

    def test_a_seed_belongs_to_its_block_whatever_the_others(self, tmp_path):
        assert self.jobs(tmp_path).blocks() == {0: [0, 1], 1: [2]}
        alone = {"task": "cifar", "task_settings": {}}
        assert self.jobs(tmp_path, **alone).blocks() == {0: [0], 1: [1], 2: [2]}

    def test_a_gpu_is_taken_where_it_helps_or_is_asked_for(self, tmp_path):
        assert (self.jobs(tmp_path).device(), self.jobs(tmp_path).gpus()) == ("cpu", 0)
        asked = self.jobs(tmp_path, device="cuda")
        assert (asked.device(), asked.gpus()) == ("cuda", 1)
        helps = self.jobs(tmp_path, task="mnist")
        assert (helps.device(), helps.gpus()) == ("auto", 1)
        assert helps.data_files() == ["<results>/datasets/mnist.json"]
        assert self.jobs(tmp_path).data_files() == []

    def test_what_is_kept_and_what_passes(self, tmp_path):
        run = "<results>/tiny/runs/seed-1"
        kept = self.jobs(tmp_path)
        assert kept.records([1]) == [f"{run}/checkpoints.json"]
        assert kept.passing_records([1]) == checkpoints_to_use(kept.jobs, 1) == []
        passing = self.jobs(tmp_path, keep_checkpoints=False)
        assert passing.records([1]) == [f"{run}/checkpoints.json"]
        assert passing.passing_records([1]) == [f"{run}/checkpoints"]
        assert checkpoints_to_use(passing.jobs, 1) == [f"{run}/checkpoints"]
        none = self.jobs(tmp_path, metrics_during_training=True)
        assert none.records([1]) == [f"{run}/metrics.parquet"]
        assert none.passing_records([1]) == []
        assert none.recording_options() == ["--metrics", "--non-finite", "stop"]
        assert kept.recording_options() == []

    def test_the_recipe_and_the_task_are_told_as_they_are_said(self, tmp_path):
        jobs = self.jobs(tmp_path, learning_rate=1e-05, task_settings={"hidden_size": 7})
        assert "learning_rate=1e-05" in jobs.recipe()
        assert "optimizer=sgd" in jobs.recipe()
        assert "stop_above=null" in jobs.recipe()
        assert "hidden_size=7" in jobs.task_settings()

    def test_the_code_of_metrics_counts_where_they_are_computed(self, tmp_path):
        rust = ROOT / "rust_metrics"
        kept = self.jobs(tmp_path).code(rust)
        assert self.jobs(tmp_path).code(rust) == kept
        assert self.jobs(tmp_path, metrics_during_training=True).code(rust).startswith(kept)

"""The jobs of an experiment: what each reads, writes and is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import ROOT
from training_maps.config.jobs import FIGURES, Jobs, alike_in_figures, figures_to_show
from training_maps.config.resolve import resolve
from training_maps.config.schema import load_schema


def jobs_of(**config: Any) -> Jobs:
    said = {"experiments": ["sparse_parities"], "seeds": [1, 3], **config}
    found = resolve(said, ROOT / "experiments", load_schema())
    return Jobs("x", found.experiments["sparse_parities"], "own/x.yaml", "out")


def jobs_of_file(folder: Path, settings: dict[str, Any]) -> Jobs:
    """Of an experiment's file that says nothing else."""
    (folder / "x.yaml").write_text(json.dumps(settings), encoding="utf-8")
    found = resolve({"experiments": ["x"]}, folder, load_schema())
    return Jobs("x", found.experiments["x"], "x", "out")


PATHS = {"source": "state_paths", "state_paths": {"path": "paths.csv"}}


def test_every_figure_has_a_name_of_its_own() -> None:
    assert len(set(FIGURES.values())) == len(FIGURES)


def test_files_of_runs_are_named_by_seed() -> None:
    jobs = jobs_of()
    assert jobs.metrics() == [f"<results>/x/runs/seed-{s}/metrics.parquet" for s in (1, 3)]
    assert jobs.of_runs("a", [7]) == ["<results>/x/runs/seed-7/a"]
    assert jobs.numbers("seeds") == "1,3"
    assert jobs.runs_option() == ["--runs", "out/x/runs"]
    assert jobs.logs_to_join() == []
    joined = jobs_of(observations={"log_columns": ["gradient_norm"]})
    assert joined.logs_to_join() == joined.training_logs() != []


def test_layers_are_kept_of_checkpoints_unless_the_settings_say_no(tmp_path: Path) -> None:
    jobs = jobs_of()
    assert jobs.layers() == [f"<results>/x/runs/seed-{s}/layers.parquet" for s in (1, 3)]
    assert "<results>/x/layer_changes.parquet" in jobs.analysis()
    assert jobs.no_layers() == []
    assert jobs.layers_to_join() == []
    groups = jobs_of(observations={"layers": ["mlp"]})
    assert groups.layers_to_join() == groups.layers() != []
    assert not groups.can_place()
    for without in (jobs_of(metrics={"layers": False}), jobs_of_file(tmp_path, PATHS)):
        assert without.layers() == []
        assert "<results>/x/layer_changes.parquet" not in without.analysis()
        assert without.no_layers() == ["--no-layers"]


def test_a_model_and_its_scores_for_every_kind_and_number_of_states() -> None:
    jobs = jobs_of(hmm={"model": ["gaussian", "autoregressive"], "n_states": "2-3"})
    names = ["states-2", "states-3", "autoregressive_states-2", "autoregressive_states-3"]
    expected = [f"<results>/x/hmm/{name}.{end}" for name in names for end in ("npz", "csv")]
    assert jobs.models() == expected


def test_state_paths_from_elsewhere_have_no_model_no_metrics_and_no_logs(tmp_path: Path) -> None:
    own, given = jobs_of(), jobs_of_file(tmp_path, PATHS)
    assert own.has_model()
    assert not given.has_model()
    assert given.metrics() == given.training_logs() == given.runs_option() == []
    own = jobs_of(reproducibility={"halves": 0})
    left_out = set(own.analysis()) - set(given.analysis())
    of_model = ("hmm/model_selection.csv", "hmm/stability.json", "layer_changes.parquet")
    assert left_out == {f"<results>/x/{name}" for name in of_model}


def test_halves_are_fitted_unless_they_are_too_few_or_not_asked_for(tmp_path: Path) -> None:
    many = jobs_of(seeds="0-19")
    assert many.halves() == [f"<results>/x/reproducibility/half-{i}.npz" for i in range(10)]
    assert "<results>/x/reproducibility.json" in many.analysis()
    assert len(jobs_of(seeds="0-7").halves()) == 5  # of 7 runs each: no more than five times all
    assert len(jobs_of(seeds="0-19", reproducibility={"halves": 2}).halves()) == 4
    assert len(jobs_of(seeds="0-9", reproducibility={"halves": 2}).halves()) == 10  # with six folds
    for none in (
        jobs_of(seeds="0-9", reproducibility={"halves": 0}),
        jobs_of(seeds=[3]),
        jobs_of_file(tmp_path, PATHS),
    ):
        assert none.halves() == []
        assert "<results>/x/reproducibility.json" not in none.analysis()


@pytest.mark.parametrize(
    ("config", "files"),
    [
        ({"sensitivity": {"leave_one_out": True}}, ["sensitivity.csv", "sensitivity.json"]),
        ({"early_warning": {"fractions": [0.1]}}, ["early_warning.csv", "early_warning.json"]),
    ],
)
def test_further_analyses_are_made_where_they_are_asked_for(
    config: dict[str, Any], files: list[str]
) -> None:
    more = set(jobs_of(**config).analysis()) - set(jobs_of().analysis())
    assert more == {f"<results>/x/{name}" for name in files}


def test_figures_are_those_asked_for_and_everything_has_them() -> None:
    jobs = jobs_of(figures={"formats": ["pdf"], "widths": ["column"]})
    captions = [f"<results>/x/figures/captions.{suffix}" for suffix in ("txt", "tex")]
    drawn = [f"<results>/x/figures/column/{name}.pdf" for name in FIGURES]
    assert jobs.figures() == [*drawn, *captions]
    whole = jobs.everything()
    assert set(jobs.figures() + jobs.analysis() + jobs.metrics()) < set(whole)
    assert len(set(whole)) == len(whole)


def test_experiments_are_grouped_by_the_figures_that_they_ask_for() -> None:
    few = {"formats": ["png"]}
    jobs = {"a": jobs_of(), "b": jobs_of(figures=few), "c": jobs_of()}
    assert sorted(alike_in_figures(jobs).values()) == [["a", "c"], ["b"]]


def test_the_figure_to_show_is_the_widest_and_the_first_of_png_svg_and_pdf() -> None:
    files = [f"x/{w}/map.{e}" for w in ("column", "page") for e in ("pdf", "png", "svg")]
    files += ["x/column/a.pdf", "x/column/a.svg", "x/captions.txt"]
    assert figures_to_show(files) == {
        "x/page/map.png",
        "x/column/a.svg",
    }


def test_tables_are_told_by_option(tmp_path: Path) -> None:
    tables = {"path": "t.csv", "metrics": ["l1", "l2"], "repeated_steps": "last"}
    log = {"columns": {"eval_loss": "loss"}}
    settings = {"source": "metrics", "tables": tables, "training_log": log}
    options = jobs_of_file(tmp_path, settings).table_options()
    assert " ".join(options) == (
        "--path t.csv --repeated-steps last --metrics l1 l2 --incomplete-steps keep "
        "--non-finite stop --log-path t.csv --log-repeated-steps last --log-columns eval_loss=loss"
    )


HUB = {"source": "hub", "seeds": "0-1", "hub": {"preset": "polypythias", "size": "160m"}}
CHECKPOINTS = {
    "source": "checkpoints",
    "seeds": "3-4",
    "checkpoints": {"path": "runs/{seed}/{step}.pt"},
}
SMALL = {"seeds": "0-2"}


def jobs_in(settings: dict[str, Any], tmp_path, name: str = "tiny") -> Jobs:
    """The jobs of an experiment with these settings, whose results go to `found`."""
    (tmp_path / f"{name}.yaml").write_text("description: a small one\n")
    config = {"experiments": [name], "results": "found", **settings}
    found = resolve(config, tmp_path, load_schema())
    return Jobs(name, found.experiments[name], f"own/{name}.yaml", found.results)


def test_options_name_what_the_settings_say(tmp_path):
    jobs = jobs_in({**SMALL, "hmm": {"restarts": 2, "n_states": "1-3,5"}}, tmp_path)
    assert jobs.options("hmm")[:2] == ["--restarts", "2"]
    assert jobs.numbers("seeds") == "0-2"
    assert jobs.numbers("hmm", "n_states") == "1-3,5"
    assert jobs.setting("hmm", "restarts") == 2
    assert jobs.name_in_config() == "own/tiny.yaml"
    assert jobs.about()["description"] == "a small one"


def test_variants_have_a_file_and_options_each(tmp_path):
    asked = {"sensitivity": {"leave_one_out": True}}
    jobs = jobs_in({**SMALL, **asked}, tmp_path)
    assert "<results>/tiny/sensitivity/without_l1.json" in jobs.of_variants()
    assert jobs.variant_options("without_l1") == ["--variant", "without_l1", "--leave-out", "l1"]


def test_where_a_run_is_on_the_hub(tmp_path):
    jobs = jobs_in(HUB, tmp_path)
    assert "160m" in jobs.on_hub(1, "repository")
    assert jobs.on_hub(1, "steps").startswith("0-2,4,8,16")
    assert jobs.hub_options() == []
    more = {**HUB, "hub": {**HUB["hub"], "files": ["a", "b"], "endpoint": "http://here"}}
    assert jobs_in(more, tmp_path).hub_options() == [
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
    jobs = jobs_in(CHECKPOINTS, tmp_path)
    assert jobs.memory_for_metrics(3) == 2200
    assert jobs_in(SMALL, tmp_path).memory_for_metrics(0) == 2000
    assert jobs.checkpoints_digest(3) != jobs.checkpoints_digest(4)
    keyed = {"checkpoints": {**CHECKPOINTS["checkpoints"], "state_dict_key": "ema"}}
    given = {**CHECKPOINTS, **keyed, "parameters": {"left_out": ["a*"]}}
    assert jobs_in(given, tmp_path).reading_options() == [
        "--state-dict-key", "ema", "--left-out", "a*",
    ]  # fmt: skip


def test_the_outcome_s_table_is_an_input(tmp_path):
    assert jobs_in(SMALL, tmp_path).outcome_table() == []
    table = {"outcome": "table", "table": {"path": "scores.csv", "column": "score"}}
    jobs = jobs_in({**SMALL, "semantics": table}, tmp_path)
    assert jobs.outcome_table() == ["scores.csv"]
    words = jobs.options("semantics")
    assert words[words.index("--table") :][:3] == ["--table", "scores.csv", "score"]


def test_the_map_waits_for_the_structure_where_that_chooses(tmp_path: Path) -> None:
    chosen = jobs_of(seeds="0-9", hmm={"criterion": "found_again"})
    assert chosen.structure() == ["<results>/x/structure.json"]
    assert chosen.structure_option() == ["--structure", "out/x/structure.json"]
    assert "<results>/x/structure.json" in chosen.analysis()
    # It is made all the same where something else chooses.
    by_bic = jobs_of(seeds="0-9")
    assert by_bic.structure() == by_bic.structure_option() == []
    assert "<results>/x/structure.json" in by_bic.analysis()
    # Without halves there is none, and the map falls back to BIC.
    for none in (
        jobs_of(seeds="0-9", hmm={"criterion": "found_again"}, reproducibility={"halves": 0}),
        jobs_of(seeds=[3], hmm={"criterion": "found_again"}),
        jobs_of_file(tmp_path, PATHS),
    ):
        assert none.structure() == none.structure_option() == []
        assert "<results>/x/structure.json" not in none.analysis()


def test_halves_are_told_of_what_is_tried_and_the_structure_too() -> None:
    jobs = jobs_of(method="recommended")
    for stage in ("half", "structure", "map"):
        words = jobs.options(stage)
        assert words[words.index("--n-states") + 1] == "1-8"
        at = words.index("--model")
        kinds = ["gaussian", "autoregressive", "vector_autoregressive"]
        assert words[at + 1 : at + 4] == kinds
    # More pairs of halves leave those that are fitted as they are.
    more = jobs_of(method="recommended", reproducibility={"halves": 9})
    assert more.options("half") == jobs.options("half")
    assert more.options("structure") == jobs.options("structure")


def test_another_criterion_fits_no_half_again() -> None:
    split = {"resplits": 4}
    by_bic, by_aic, again = (
        jobs_of(hmm={"criterion": name, **split}).options("half")
        for name in ("bic", "aic", "found_again")
    )
    assert by_aic == by_bic
    assert by_bic[by_bic.index("--resplits") + 1] == "4"
    # Splits of a half are not fitted where they have no say, and no run of it is held out.
    assert again[again.index("--resplits") + 1] == "0"
    assert float(again[again.index("--validation-share") + 1]) == 0.0
    assert float(by_bic[by_bic.index("--validation-share") + 1]) == 0.2

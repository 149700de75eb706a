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
    left_out = set(own.analysis()) - set(given.analysis())
    assert left_out == {f"<results>/x/hmm/{n}" for n in ("model_selection.csv", "stability.json")}


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
    assert jobs.figures() == [f"<results>/x/figures/column/{name}.pdf" for name in FIGURES]
    whole = jobs.everything()
    assert set(jobs.figures() + jobs.analysis() + jobs.metrics()) < set(whole)
    assert len(set(whole)) == len(whole)


def test_experiments_are_grouped_by_the_figures_that_they_ask_for() -> None:
    few = {"formats": ["png"]}
    jobs = {"a": jobs_of(), "b": jobs_of(figures=few), "c": jobs_of()}
    assert sorted(alike_in_figures(jobs).values()) == [["a", "c"], ["b"]]


def test_the_figure_to_show_is_the_widest_and_the_first_of_png_svg_and_pdf() -> None:
    files = [f"x/{w}/map.{e}" for w in ("column", "page") for e in ("pdf", "png", "svg")]
    assert figures_to_show([*files, "x/column/a.pdf", "x/column/a.svg"]) == {
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

"""Reading a result folder, and what is derived from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.synthetic_results import write_path_results, write_results
from training_maps.report.summary import summarise
from training_maps.results import ExperimentResults
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, write_json
from training_maps.utils.notes import Note


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_results(tmp_path / "x", n_runs=10, n_states=4, n_censored=2)


def test_reads_everything(folder: Path) -> None:
    results = ExperimentResults.read(folder)
    assert results.experiment == "synthetic"
    assert results.seeds == list(range(10))
    assert results.states == [0, 1, 2, 3]
    assert results.n_runs == 10
    assert results.n_converged == 8
    assert results.threshold == 0.9
    assert results.validation_seeds == (4, 9)
    assert sorted(results.logs) == results.seeds


def test_steps_become_epochs_by_the_runs_own_log(folder: Path) -> None:
    log = folder / "runs" / "seed-3" / "training_log.parquet"
    table = pd.read_parquet(log)
    table["epoch"] *= 7
    table.to_parquet(log)
    results = ExperimentResults.read(folder)
    assert results.times(2, [0, 32, 48], "epoch").tolist() == [0, 10, 15]
    assert results.times(3, [0, 32, 48], "epoch").tolist() == [0, 70, 105]
    assert results.times(3, [0, 32, 48], "step").tolist() == [0, 32, 48]


def test_order_puts_runs_that_never_converge_last(folder: Path) -> None:
    results = ExperimentResults.read(folder)
    order = results.seeds_by_convergence()
    assert order[-2:] == [8, 9]
    assert sorted(order) == results.seeds
    steps = results.convergence.set_index("seed")["step"]
    assert np.all(np.diff(steps[order[:-2]]) >= 0)


def test_first_visits_are_medians_over_the_runs_that_visit(folder: Path) -> None:
    results = ExperimentResults.read(folder)
    for state, value in results.first_visits("epoch").items():
        first = [
            rows.loc[rows["state"] == state, "step"].min() / 32 * 10
            for _, rows in results.state_paths.groupby("seed")
            if (rows["state"] == state).any()
        ]
        assert value == pytest.approx(np.median(first))


def test_without_a_log_time_is_in_steps(folder: Path) -> None:
    (folder / "runs" / "seed-3" / "training_log.parquet").unlink()
    results = ExperimentResults.read(folder)
    assert results.time_axis("epoch") == "step"
    assert results.time_axis("step") == "step"


def test_optional_files_may_be_missing(folder: Path) -> None:
    for name in ("convergence.csv", "coefficients.csv", "regression.json", "dissimilarity.csv"):
        (folder / name).unlink()
    results = ExperimentResults.read(folder)
    assert results.n_converged is None
    assert results.detour_states == []
    assert results.threshold is None
    assert results.convergence_time(0, "epoch") is None
    assert results.seeds_by_convergence() == results.seeds


def test_reads_forks_phases_outcomes_and_outliers(folder: Path) -> None:
    results = ExperimentResults.read(folder)
    assert results.forks == read_json(folder / "forks.json")
    assert results.phases == read_json(folder / "phase_transitions.json")
    for table, name in (
        (results.phase_transitions, "phase_transitions"),
        (results.outcomes, "outcomes"),
        (results.run_paths, "run_paths"),
        (results.dissimilarity_per_run, "dissimilarity_per_run"),
        (results.outliers, "outliers"),
    ):
        pd.testing.assert_frame_equal(table, pd.read_csv(folder / f"{name}.csv"), check_dtype=False)
        (folder / f"{name}.csv").unlink()
    assert results.outcome["name"] == "convergence time"
    assert results.crossing == "evaluation accuracy > 0.9"
    for name in ("forks", "phase_transitions"):
        (folder / f"{name}.json").unlink()
    results = ExperimentResults.read(folder)
    assert results.forks == results.phases == {}
    assert results.outlier_seeds == []
    assert results.run_paths.empty
    assert results.outcomes.empty


def test_outlier_seeds_are_those_marked(folder: Path) -> None:
    table = pd.read_csv(folder / "outliers.csv").assign(is_outlier=False)
    table.loc[[7, 2], "is_outlier"] = True
    table.to_csv(folder / "outliers.csv", index=False)
    assert ExperimentResults.read(folder).outlier_seeds == [2, 7]


def test_what_is_crossed_is_told_by_its_column_and_direction(folder: Path) -> None:
    path = folder / "regression.json"
    data = read_json(path) | {"column": "grad", "direction": "below", "threshold": 2.0}
    write_json(data, path)
    assert ExperimentResults.read(folder).crossing == "grad < 2"
    write_json(data | {"threshold": None}, path)
    assert ExperimentResults.read(folder).crossing == ""
    path.unlink()
    results = ExperimentResults.read(folder)
    assert results.outcome["is_time"]
    assert results.crossing_column == "eval_accuracy"


@pytest.mark.parametrize(
    ("name", "key", "stage"),
    [("forks", "significance", "forks"), ("phase_transitions", "order", "phase_transitions")],
)
def test_forks_or_phases_without_a_key_are_refused(
    folder: Path, name: str, key: str, stage: str
) -> None:
    data = read_json(folder / f"{name}.json")
    del data[key]
    write_json(data, folder / f"{name}.json")
    with pytest.raises(InputError, match=rf"{name}\.json: has no {key}; rerun the {stage} stage"):
        ExperimentResults.read(folder)


@pytest.mark.parametrize(
    "name",
    ["training_map.json", "state_paths.csv", "hmm/model_selection.csv", "hmm/stability.json"],
)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=Path(name).name):
        ExperimentResults.read(folder)


def test_a_map_without_a_key_is_refused(folder: Path) -> None:
    data = read_json(folder / "training_map.json")
    del data["transitions"]
    write_json(data, folder / "training_map.json")
    with pytest.raises(InputError, match="transitions"):
        ExperimentResults.read(folder)


def test_stability_without_a_key_is_refused(folder: Path) -> None:
    data = read_json(folder / "hmm" / "stability.json")
    del data["verdict"]
    write_json(data, folder / "hmm" / "stability.json")
    with pytest.raises(InputError, match=r"stability\.json: has no verdict; rerun the map stage"):
        ExperimentResults.read(folder)


def test_notes_are_told_once(folder: Path) -> None:
    data = read_json(folder / "training_map.json")
    regression = read_json(folder / "regression.json")
    a, b, c = (Note(name, f"{name}.") for name in "abc")
    write_json({**data, "notes": [a.to_dict(), b.to_dict()]}, folder / "training_map.json")
    write_json({**regression, "notes": [b.to_dict(), c.to_dict()]}, folder / "regression.json")
    assert ExperimentResults.read(folder).notes == (a, b, c)


NOTED = ("training_map.json", "regression.json", "forks.json", "phase_transitions.json")


@pytest.mark.parametrize("name", NOTED)
def test_notes_without_a_kind_are_refused(folder: Path, name: str) -> None:
    """As versions before wrote them."""
    write_json({**read_json(folder / name), "notes": ["a"]}, folder / name)
    with pytest.raises(InputError, match=rf"{name}: has notes without a kind.*; make it again"):
        ExperimentResults.read(folder)


def test_sentences_on_early_warning_without_a_kind_are_refused(folder: Path) -> None:
    file = folder / "early_warning.json"
    write_json({"sentences": ["a"], "notes": [], "fractions": []}, file)
    with pytest.raises(InputError, match=r"early_warning\.json: has notes without a kind"):
        ExperimentResults.read(folder)


def test_paths_without_rows_are_refused(folder: Path) -> None:
    (folder / "state_paths.csv").write_text("seed,step,state\n")
    with pytest.raises(InputError, match="has no rows"):
        ExperimentResults.read(folder)


def test_state_paths_need_no_model(tmp_path: Path) -> None:
    results = ExperimentResults.read(write_path_results(tmp_path))
    assert not results.has_model
    assert results.stability == {}
    assert results.model_selection.empty
    assert results.n_converged is None
    assert results.states == [0, 1, 2, 3]
    assert results.time_axis("epoch") == "step"
    assert results.first_visits("step")[0] == 0


def test_a_model_needs_its_selection(folder: Path) -> None:
    assert ExperimentResults.read(folder).has_model
    (folder / "hmm" / "model_selection.csv").unlink()
    with pytest.raises(InputError, match=r"model_selection\.csv: cannot be read"):
        ExperimentResults.read(folder)


def test_a_log_may_lack_columns(folder: Path) -> None:
    for seed in range(10):
        file = folder / "runs" / f"seed-{seed}" / "training_log.parquet"
        table = pd.read_parquet(file)[["step", "eval_loss"]].assign(gradient_norm=1.0)
        table.sample(frac=1, random_state=0).to_parquet(file)
    results = ExperimentResults.read(folder)
    assert results.time_axis("epoch") == "step"
    log = results.logs[3]
    assert log["step"].is_monotonic_increasing
    assert log["epoch"].isna().all()
    assert log["eval_loss"].notna().all()
    assert log["gradient_norm"].tolist() == [1.0] * len(log)


def test_epochs_that_are_not_logged_everywhere_are_not_shown(folder: Path) -> None:
    file = folder / "runs" / "seed-3" / "training_log.parquet"
    table = pd.read_parquet(file)
    table.loc[4, "epoch"] = np.nan
    table.to_parquet(file)
    assert ExperimentResults.read(folder).time_axis("epoch") == "step"


FILES = (
    "training_map",
    "regression",
    "forks",
    "phase_transitions",
    "hmm/stability",
    "reproducibility",
)


@pytest.mark.parametrize("name", FILES)
def test_whatever_a_file_holds_instead_it_is_named(folder: Path, name: str) -> None:
    """Each file as no object, and each of its keys as a number: read, or refused by name."""
    path = folder / f"{name}.json"
    whole = read_json(path)
    named = rf"{path.stem}\.json: .*; rerun the [a-z_]+ stage"
    for broken in ([], None, 5):
        write_json(broken, path)
        with pytest.raises(InputError, match=named):
            ExperimentResults.read(folder)
    told = []
    for key in whole:
        write_json(whole | {key: 5}, path)
        try:
            summarise(ExperimentResults.read(folder))
        except InputError as error:
            told.append((f"{path.stem}.json: {key} is not", str(error)))
    assert told
    assert all(expected in error for expected, error in told)


def test_of_too_many_runs_outliers_and_an_even_choice_are_drawn(folder: Path) -> None:
    results = ExperimentResults.read(folder)
    order = results.seeds_by_convergence()
    assert results.drawn_seeds(10) == results.drawn_seeds(99) == order
    results.outliers.loc[:, "is_outlier"] = results.outliers["seed"] == order[4]
    results.__dict__.pop("outlier_seeds")
    assert results.drawn_seeds(3) == [order[0], order[4], order[-1]]
    assert results.drawn_seeds(1) == [order[4]]
    results.outliers.loc[:, "is_outlier"] = True
    results.__dict__.pop("outlier_seeds")
    assert len(results.drawn_seeds(4)) == 4

"""The columns that are declared of each table are those that its stage writes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.support.known_chains import paths_of
from tests.support.synthetic_results import write_results
from training_maps import cli, result_tables
from training_maps.analysis.dissimilarity import dissimilarity, mean_per_run
from training_maps.analysis.outliers import outlier_runs
from training_maps.analysis.semantics.outcomes import convergence_times
from training_maps.result_tables import ONLY_WITH_A_MODEL, typed
from training_maps.results import ExperimentResults
from training_maps.training_map.paths import path_times
from training_maps.utils.errors import InputError

PATHS = paths_of([0, 0, 1], [0, 1, 1], [0, 0, 0])


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("RUN_PATH", path_times(PATHS)),
        ("CONVERGENCE", convergence_times({}, 0.9)),
        ("OUTLIER", outlier_runs(PATHS)),
        ("DISSIMILARITY", dissimilarity(PATHS, pd.DataFrame({"l2": [0.0, 1.0]}))),
        ("PER_RUN", mean_per_run(dissimilarity(PATHS, pd.DataFrame({"l2": [0.0, 1.0]})))),
    ],
)
def test_tables_have_their_columns(name: str, table: pd.DataFrame) -> None:
    columns = getattr(result_tables, f"{name}_COLUMNS")
    assert {column: str(kind) for column, kind in table.dtypes.items()} == columns
    assert list(table) == list(columns)


def test_without_a_model_some_are_left_out() -> None:
    columns = [*dissimilarity(PATHS), *ONLY_WITH_A_MODEL]
    assert columns == list(result_tables.DISSIMILARITY_COLUMNS)


def test_outcomes_have_their_columns(tmp_path: Path) -> None:
    write_results(tmp_path, 8, 3)
    files = {name: tmp_path / f"out/{name}.csv" for name in ("outcomes", "coefficients", "delays")}
    call = ["semantics", f"--state-paths={tmp_path / 'state_paths.csv'}", "--threshold=0.9"]
    call += ["--resamples=9", f"--convergence={tmp_path / 'out/convergence.csv'}"]
    call += [f"--{name}={file}" for name, file in files.items()]
    call += [f"--regression={tmp_path / 'out/regression.json'}"]
    for runs in ([], [f"--runs={tmp_path / 'runs'}"]):
        assert cli.main([*call, *runs]) == 0
        for name, file in files.items():
            columns = getattr(result_tables, f"{name[:-1].upper()}_COLUMNS")
            assert list(pd.read_csv(file)) == list(columns)


@pytest.mark.parametrize(
    ("file", "column"),
    [("outliers.csv", "is_outlier"), ("outcomes.csv", "censored"), ("run_paths.csv", "is_first")],
)
def test_a_table_without_a_column_is_refused(tmp_path: Path, file: str, column: str) -> None:
    write_results(tmp_path, 8, 3)
    pd.read_csv(tmp_path / file).drop(columns=column).to_csv(tmp_path / file, index=False)
    with pytest.raises(InputError, match=rf"{file}: has no column {column}; it has seed"):
        ExperimentResults.read(tmp_path)


def test_texts_may_be_missing_and_numbers_are_converted() -> None:
    table = pd.DataFrame({"c": [1.0], "b": [None], "a": [True], "more": [0]})
    made = typed(table, {"a": "int64", "b": "str", "c": "Int64"})
    assert list(made) == ["a", "b", "c"]
    assert made["b"].isna().all()
    assert made.dtypes[["a", "c"]].astype(str).tolist() == ["int64", "Int64"]

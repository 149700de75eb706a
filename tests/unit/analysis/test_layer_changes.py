"""Changes of layers at transitions, against plain NumPy."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.synthetic_layers import LAYERS, METRICS, layers_of_run, write_layers
from tests.support.synthetic_results import write_results
from training_maps import TrainingMap
from training_maps.analysis.layer_changes import changes_of_layers, layer_changes
from training_maps.cli import main
from training_maps.result_tables import LAYER_CHANGE_COLUMNS
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_table

STATES = {4: [0, 0, 0, 1, 1, 0, 0, 1, 2], 9: [0, 1, 1, 1, 1, 2, 2, 2, 2]}
STEPS = np.arange(9) * 10


def paths() -> pd.DataFrame:
    return pd.concat(
        [pd.DataFrame({"seed": seed, "step": STEPS, "state": states})
         for seed, states in STATES.items()],
        ignore_index=True,
    )  # fmt: skip


def tables() -> dict[int, pd.DataFrame]:
    return {seed: layers_of_run(np.array(s), STEPS, seed) for seed, s in STATES.items()}


def slow_changes(seed: int, table: pd.DataFrame, tensor: str, metric: str) -> list[tuple]:
    """Each transition of a run and its change, stay by stay."""
    rows = table[table["tensor"] == tensor]
    values = np.array([rows.loc[rows["step"] == step, metric].mean() for step in STEPS])
    scores = (values - values.mean()) / values.std()
    stays: list[tuple[int, list[float]]] = []
    for state, score in zip(STATES[seed], scores, strict=True):
        if not stays or stays[-1][0] != state:
            stays.append((state, []))
        stays[-1][1].append(score)
    return [
        ((a, b), np.mean(after) - np.mean(before)) for (a, before), (b, after) in pairwise(stays)
    ]


def test_changes_are_those_of_plain_numpy() -> None:
    given = tables()
    found = layer_changes(paths(), given.items())
    assert list(found.columns) == list(LAYER_CHANGE_COLUMNS)
    assert len(found) == 3 * len(LAYERS) * len(METRICS)
    for row in found.to_dict("records"):
        changes = [
            change
            for seed, table in given.items()
            for edge, change in slow_changes(seed, table, row["tensor"], row["metric"])
            if edge == (row["from"], row["to"])
        ]
        assert row["n_uses"] == len(changes)
        assert row["change"] == pytest.approx(np.mean(changes), abs=1e-12)
        assert row["deviation"] == pytest.approx(np.std(changes), abs=1e-12)
    assert dict(zip(found["tensor"], found["depth"], strict=True)) == {
        name: "early" if ".0." in name else "late" for name, *_ in LAYERS
    }


def test_a_constant_metric_does_not_change_and_a_missing_one_is_left_out() -> None:
    given = tables()
    for table in given.values():
        table["l2"] = 3.0
        table.loc[table["kind"] == "mlp", "stable_rank"] = np.nan
        table.loc[table["step"] == 10, "mean_w"] = np.nan
    found = layer_changes(paths(), given.items()).set_index(["tensor", "metric"])
    assert (found.xs("l2", level="metric")["change"] == 0).all()
    missing = found.loc[("blocks.0.mlp.weight", "stable_rank")]
    assert missing["change"].isna().all()
    assert (missing["n_uses"] == 0).all()
    assert found.xs("mean_w", level="metric")["change"].notna().all()
    first = changes_of_layers(found.reset_index())[0]
    assert all(layer["metric"] != "l2" for layer in first["layers"])


def test_which_layers_and_groups_change_most() -> None:
    changes = layer_changes(paths(), tables().items())
    found = changes_of_layers(changes)
    assert [(row["from"], row["to"]) for row in found] == [(0, 1), (1, 0), (1, 2)]
    for row in found:
        rows = changes[(changes["from"] == row["from"]) & (changes["to"] == row["to"])]
        sizes = {
            name: rows.loc[rows["tensor"] == name, "change"].abs().mean() for name, *_ in LAYERS
        }
        order = sorted(sizes, key=lambda name: -sizes[name])
        assert [layer["tensor"] for layer in row["layers"]] == order
        groups = {group["name"]: group["size"] for group in row["groups"]}
        late = np.mean([size for name, size in sizes.items() if ".1." in name])
        assert groups["last third of the blocks"] == pytest.approx(late)
        mlp = np.mean([size for name, size in sizes.items() if "mlp" in name])
        assert groups["fully connected layers"] == pytest.approx(mlp)


def test_runs_that_do_not_change_state_have_no_changes() -> None:
    given = paths().assign(state=0)
    found = layer_changes(given, tables().items())
    assert list(found.columns) == list(LAYER_CHANGE_COLUMNS)
    assert found.empty
    assert changes_of_layers(found) == []


def test_runs_of_other_layers_are_refused() -> None:
    given = tables()
    given[9] = given[9][given[9]["tensor"] != "blocks.0.mlp.weight"]
    with pytest.raises(InputError, match="seed 9: its layers are not those"):
        layer_changes(paths(), given.items())
    with pytest.raises(InputError, match="seed 4: its table of layers has none of the steps"):
        layer_changes(paths().assign(step=7), tables().items())


def test_the_command_and_the_map(tmp_path: Path) -> None:
    write_layers(write_results(tmp_path, 3, 3))
    expected = read_table(tmp_path / "layer_changes.parquet")
    (tmp_path / "layer_changes.parquet").unlink()
    where = (tmp_path / "training_map.json", tmp_path / "state_paths.csv")
    TrainingMap.from_paths(read_table(where[1])).to_json(where[0])
    assert TrainingMap.from_json(*where).layers is None
    output = tmp_path / "layer_changes.parquet"
    arguments = ["--state-paths", str(where[1]), "--runs", str(tmp_path / "runs")]
    assert main(["layer_changes", *arguments, "--output", str(output)]) == 0
    pd.testing.assert_frame_equal(read_table(output), expected)
    pd.testing.assert_frame_equal(TrainingMap.from_json(*where).layers, expected)

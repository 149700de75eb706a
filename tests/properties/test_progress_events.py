"""Marks of progress measures in made-up runs, and transitions that go with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tools import progress_events

from training_maps.utils.files import write_json


def run_of(seed: int, turn: int, n: int = 40) -> pd.DataFrame:
    """A run whose excluded loss is lowest, and restricted loss halves, at checkpoint `turn`."""
    at = np.arange(n)
    return pd.DataFrame(
        {
            "seed": seed,
            "step": 20 * at,
            "loss": np.where(at < turn + 5, 10.0 + 0.01 * at, 1.0),
            "restricted_loss": np.where(at < turn, 4.7, 2.0),
            "excluded_loss": np.abs(at - turn) + 1.0,
            "key_share": np.where(at < turn + 2, 0.1, 0.9),
        }
    )


def test_marks_are_where_they_were_put() -> None:
    assert progress_events.marks(run_of(0, 12)) == {
        "excluded_loss_lowest": 240,
        "restricted_loss_halved": 240,
        "key_share_half": 280,
        "loss_halved": 340,
    }


def test_what_does_not_come_is_none() -> None:
    flat = run_of(0, 100)
    found = progress_events.marks(flat)
    assert found["restricted_loss_halved"] is found["key_share_half"] is None
    assert found["loss_halved"] is None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_json({"recipe": {"steps_per_epoch": 2}}, tmp_path / "settings.json")
    monkeypatch.setattr(progress_events, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("together", [True, False])
def test_a_transition_at_the_marks_of_each_run_is_found(folder: Path, together: bool) -> None:
    """Turns far apart: only a run's own turn is near its transition, or another run's."""
    turns = [4, 8, 12, 16, 20, 24, 28, 32]
    measures = pd.concat([run_of(seed, turn) for seed, turn in enumerate(turns)])
    moves = turns if together else turns[4:] + turns[:4]
    paths = pd.DataFrame(
        [(s, 20 * i, int(i >= move)) for s, move in enumerate(moves) for i in range(40)],
        columns=["seed", "step", "state"],
    )
    paths.to_csv(folder / "state_paths.csv", index=False)
    found = progress_events.events_on(folder, measures)["excluded_loss_lowest"]
    assert found["n_runs"] == 8
    assert found["median_epoch"] == 20 * 18 / 2
    hits = found["transitions"]
    if together:
        assert hits[0]["transition"] == [0, 1]
        assert hits[0]["n_runs"] == 8
        assert hits[0]["p_value"] < 0.01
    else:
        assert all(hit["p_value"] > 0.5 for hit in hits)


def test_methods_are_told_by_the_folder() -> None:
    assert progress_events.method_of(Path("results/recommended/x")) == "recommended"
    assert progress_events.method_of(Path("results/x")) == "paper"

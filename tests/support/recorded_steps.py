"""What a callback of any library is to record: the tests of both ask the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from training_maps.metrics.compute import checkpoint_metrics
from training_maps.utils.errors import InputError

Weights = Mapping[int, Sequence[Any]]


def check_metrics(run: Path, weights: Weights) -> None:
    """The table has the metrics of what a witness saw at every second step."""
    table = pd.read_parquet(run / "metrics.parquet")
    assert table["step"].tolist() == [0, 2, 4, 6, 8, 10, 12]
    for row in table.to_dict("records"):
        first, b1, second, b2 = (p.numpy() for p in weights[row["step"]])
        expected = checkpoint_metrics([first, second], [b1, b2])
        assert row["l2"] == pytest.approx(expected["l2"], rel=1e-12)
        assert row["mean_b"] == pytest.approx(expected["mean_b"], rel=1e-12)


def check_updates_and_activations(run: Path, weights: Weights) -> pd.DataFrame:
    """The log has how far a step moved the parameters that a witness saw; returns it by step."""
    log = pd.read_parquet(run / "training_log.parquet").set_index("step")
    for step in (2, 6, 12):
        pairs = zip(weights[step], weights[step - 1], strict=True)
        moved = np.sqrt(sum(float((a - b).double().square().sum()) for a, b in pairs))
        assert log["update_size"][step] == pytest.approx(moved, rel=1e-5)
    assert (log["activation_norm"].iloc[1:] > 0).all()
    assert np.isnan(log["activation_norm"].iloc[0])
    return log


def save_reference(folder: Path) -> Path:
    """A map of six small runs, for a run to be placed on; the file."""
    from tests.unit.recording.test_recorder import checkpoints
    from training_maps.hmm.observations import observations
    from training_maps.model_selection.fit import fit_hmm
    from training_maps.placing.calibrate import Runs, reference_of

    tables = {s: checkpoints(folder / f"{s}", s, 13) for s in range(6)}
    obs = observations(tables, scale="pooled")
    hmm = fit_hmm(obs, 2, restarts=1, random_state=0).hmm
    reference_of(Runs.of(obs, tables), hmm, {"experiment": "x"}).save(folder / "placing.npz")
    return folder / "placing.npz"


def check_positive_steps(recorder_of: Callable[..., Any], folder: Path) -> None:
    """A callback that is to record every 0 steps is refused."""
    with pytest.raises(InputError, match="every_n_steps"):
        recorder_of(folder, every=0)

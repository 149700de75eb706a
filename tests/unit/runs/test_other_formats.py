"""Checkpoints that neither torch nor safetensors wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training_maps.metrics.compute import checkpoint_metrics, run_metrics
from training_maps.metrics.parameters import MatrixSpec, select_parameters
from training_maps.runs.checkpoints import Checkpoint, Run, write_manifest
from training_maps.runs.formats import CheckpointReader, describe
from training_maps.runs.other_formats import CONVERSIONS, of_npz, read_npz
from training_maps.utils.errors import InputError, UnreadableCheckpoint

RNG = np.random.default_rng(0)
# As flax names and shapes them: inputs first, outputs last.
FLAX = {
    "params/Conv_0/kernel": RNG.normal(size=(3, 3, 2, 5)).astype(np.float32),
    "params/Conv_0/bias": RNG.normal(size=5).astype(np.float32),
    "params/LayerNorm_0/scale": np.ones(5, np.float32),
    "params/LayerNorm_0/bias": np.zeros(5, np.float32),
    "params/Embed_0/embedding": RNG.normal(size=(30, 8)).astype(np.float32),
    "params/SelfAttention_0/query/kernel": RNG.normal(size=(8, 2, 4)).astype(np.float32),
    "params/SelfAttention_0/out/kernel": RNG.normal(size=(2, 4, 8)).astype(np.float16),
    "params/Dense_0/kernel": RNG.normal(size=(8, 3)),
    "step": np.array(7),
}


def test_an_archive_of_a_flax_network(tmp_path: Path) -> None:
    path = tmp_path / "step-0.npz"
    np.savez(path, **FLAX)
    selection = select_parameters(describe(path))
    assert selection.matrices == [
        MatrixSpec("params.Conv_0.kernel", 1, 18, 5),
        MatrixSpec("params.Dense_0.kernel", 1, 8, 3),
        MatrixSpec("params.SelfAttention_0.out.kernel", 1, 8, 8),
        MatrixSpec("params.SelfAttention_0.query.kernel", 1, 8, 8),
    ]
    assert selection.biases == ["params.Conv_0.bias"]
    write_manifest(Run(0, (Checkpoint(0, None, path),)), tmp_path / "checkpoints.json")
    row = run_metrics(tmp_path / "checkpoints.json").iloc[0]
    matrices = [
        FLAX[m.tensor.replace(".", "/")].astype(float).reshape(m.rows, m.cols)
        for m in selection.matrices
    ]
    right = checkpoint_metrics(matrices, [FLAX["params/Conv_0/bias"]])
    assert {c: row[c] for c in right} == pytest.approx(right, rel=1e-12)


def test_what_is_no_archive_of_floats_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("text")
    for name in ("objects", "text"):
        with pytest.raises(UnreadableCheckpoint, match="is not a whole archive of arrays"):
            read_npz(tmp_path / f"{name}.npz")
    arrays = {"a": ("I64", np.ones(3, int))}
    with pytest.raises(InputError, match="'a' has dtype I64"):
        of_npz(arrays, ["a"], "x")
    with pytest.raises(InputError, match="'b' is missing"):
        of_npz(arrays, ["b"], "x")


@pytest.mark.parametrize("ending", CONVERSIONS)
def test_of_other_forms_the_line_that_converts_them_is_told(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"step-0{ending}"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"is not read as it is; .*Read are names in") as error:
        CheckpointReader().open(path)
    assert CONVERSIONS[ending] in str(error.value)

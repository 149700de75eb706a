"""WeightWatcher's table against plain NumPy, and against WeightWatcher where it is installed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from training_maps.metrics.compute import layer_metrics
from training_maps.metrics.parameters import Overrides
from training_maps.metrics.weightwatcher_table import COLUMNS, fit_tail, weightwatcher_table
from training_maps.utils.errors import InputError


def tensors() -> dict[str, np.ndarray]:
    """A square, a wide, a tall and a small layer, one of rank 3 and a convolution."""
    rng = np.random.default_rng(7)
    shapes = {"0": (60, 60), "1": (90, 60), "2": (30, 90), "3": (12, 30), "4": (3, 12)}
    found = {f"{name}.weight": rng.standard_t(3, size=shape) for name, shape in shapes.items()}
    found["2.weight"] = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 90))
    return found


def slow_tail(evals: np.ndarray) -> tuple[float, float, float]:
    """Exponent, distance and start of the tail, one start after another."""
    data = sorted(value for value in evals if value > 1e-5)
    found = []
    for i in range(len(data) - 1):
        tail, few = data[i:], len(data) < 20
        if few and len(tail) < 8 and i:
            continue
        alpha = 1 + (len(tail) - few) / sum(math.log(x / tail[0]) for x in tail)
        distance = max(
            abs(1 - (x / tail[0]) ** (1 - alpha) - j / len(tail)) for j, x in enumerate(tail)
        )
        found.append((distance, alpha, tail[0]))
    distance, alpha, start = min(found, key=lambda one: one[0])
    return alpha, distance, start


def slow_row(matrices: list[np.ndarray], scale: float) -> dict[str, Any]:
    """A row of the table, from eigenvalues of Gram matrices."""
    grams = [m @ m.T if m.shape[0] < m.shape[1] else m.T @ m for m in matrices]
    evals = scale * np.concatenate([np.linalg.eigvalsh(gram).clip(0) for gram in grams])
    alpha, distance, start = slow_tail(evals)
    return {
        "N": max(matrices[0].shape), "M": min(matrices[0].shape), "rf": len(matrices),
        "num_evals": len(evals), "alpha": alpha, "D": distance, "xmin": start,
        "xmax": evals.max(), "lambda_max": evals.max(), "spectral_norm": evals.max(),
        "norm": scale * sum((m**2).sum() for m in matrices),
        "log_norm": math.log10(scale * sum((m**2).sum() for m in matrices)),
        "log_spectral_norm": math.log10(evals.max()),
        "log_alpha_norm": math.log10((evals**alpha).sum()),
        "alpha_weighted": alpha * math.log10(evals.max()),
        "stable_rank": evals.sum() / evals.max(),
        "sigma": (alpha - 1) / math.sqrt((evals >= start * (1 - 1e-12)).sum()),
        "num_pl_spikes": (evals >= start * (1 - 1e-12)).sum(),
        "sv_max": math.sqrt(evals.max()),
    }  # fmt: skip


def test_of_each_layer_what_numpy_says(tmp_path: Path) -> None:
    networks = tensors()
    save_file({**networks, "0.bias": np.ones(60)}, tmp_path / "net-40.safetensors")
    table = weightwatcher_table(tmp_path / "net-40.safetensors")
    assert tuple(table.columns) == COLUMNS
    assert table["longname"].tolist() == ["0", "1", "2", "3"]  # too few eigenvalues in "4"
    assert set(table["step"]) == {40}
    for row in table.to_dict("records"):
        expected = slow_row([networks[f"{row['longname']}.weight"]], 1.0)
        assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-8)
    assert table["matrix_rank"].tolist() == [60, 60, 3, 12]
    assert table["rank_loss"].tolist() == [0, 0, 27, 0]


def test_where_nothing_is_cut_off_the_exponent_is_the_engines(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({name: 10 * tensors()[name] for name in ("0.weight", "1.weight")}, path)
    ours = layer_metrics(path)
    theirs = weightwatcher_table(path)
    np.testing.assert_allclose(theirs["alpha"], ours["tail_exponent"], rtol=1e-9)
    np.testing.assert_allclose(theirs["stable_rank"], ours["stable_rank"], rtol=1e-9)
    np.testing.assert_allclose(theirs["log_norm"], 2 * np.log10(ours["l2"]), rtol=1e-9)


@pytest.mark.parametrize("shape", [(16, 6, 3, 3), (6, 16, 2, 3)])
def test_a_convolution_is_the_eigenvalues_of_its_slices(tmp_path: Path, shape: tuple) -> None:
    kernel = np.random.default_rng(1).normal(size=shape)
    save_file({"conv1.weight": kernel}, tmp_path / "net.safetensors")
    (row,) = weightwatcher_table(tmp_path / "net.safetensors").to_dict("records")
    slices = [kernel[:, :, i, j] for i in range(shape[2]) for j in range(shape[3])]
    expected = slow_row(slices, 0.5)
    assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-8)


def test_blocks_of_a_tensor_are_layers_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"lstm.weight_hh_l0": tensors()["1.weight"]}, path)
    table = weightwatcher_table(path, overrides=Overrides(blocks=(("lstm.*", 3),)))
    assert table["longname"].tolist() == [f"lstm.weight_hh_l0[{i}]" for i in range(3)]
    assert table["layer_id"].tolist() == [0, 1, 2]


def test_a_layer_without_a_tail_says_so() -> None:
    assert np.isnan(fit_tail(np.full(30, 2.0)).alpha)
    assert np.isnan(fit_tail(np.zeros(30)).alpha)


def test_what_is_not_finite_is_named(tmp_path: Path) -> None:
    weights = tensors()
    weights["1.weight"][3, 4] = np.nan
    save_file(weights, tmp_path / "net.safetensors")
    with pytest.raises(InputError, match=r"1\.weight has a value that is not finite"):
        weightwatcher_table(tmp_path / "net.safetensors")


def test_weightwatcher_says_the_same(tmp_path: Path) -> None:
    weightwatcher = pytest.importorskip("weightwatcher")
    torch = pytest.importorskip("torch")
    layers = [torch.nn.Linear(60, 60), torch.nn.Linear(60, 90), torch.nn.Linear(90, 30),
              torch.nn.Linear(30, 12), torch.nn.Conv2d(6, 16, 3)]  # fmt: skip
    network = torch.nn.Sequential(*layers)
    for layer, weight in zip(layers, tensors().values(), strict=True):
        if isinstance(layer, torch.nn.Linear):
            layer.weight.data = torch.from_numpy(weight.astype(np.float32))
    torch.save(network.state_dict(), tmp_path / "net.pt")
    ours = weightwatcher_table(tmp_path / "net.pt")
    theirs = weightwatcher.WeightWatcher(model=network).analyze()
    assert len(ours) == len(theirs) == 5
    shared = [c for c in COLUMNS if c in theirs and c not in ("layer_id", "longname", "warning")]
    assert set(COLUMNS) - set(shared) == {"step", "layer_id", "longname", "warning"}
    theirs = theirs.reset_index(drop=True)
    # Its error of the exponent is that of an exponent of 0 where fewer than 8 eigenvalues are left.
    assert theirs.loc[2, "sigma"] == pytest.approx(-1 / math.sqrt(3))
    theirs.loc[2, "sigma"] = (theirs.loc[2, "alpha"] - 1) / math.sqrt(3)
    pd.testing.assert_frame_equal(
        ours[shared], theirs[shared], check_dtype=False, rtol=1e-5, atol=1e-5
    )

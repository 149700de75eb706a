"""Each matrix by itself: its metrics against NumPy; kinds, depths and groups of layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from tests.support.metrics_twin import assert_close, spectral_twin, twin
from tests.support.small_runs import STEPS, diverge, network, write_run
from training_maps import layer_metrics
from training_maps.cli import main
from training_maps.metrics.compute import run_metrics, tensor_metrics
from training_maps.metrics.definitions import MATRIX_COLUMNS
from training_maps.metrics.layers import (
    LAYER_COLUMNS,
    depths_of,
    group_members,
    in_order,
    kind_of,
    layers_of,
)
from training_maps.metrics.parameters import Overrides, select_parameters
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_table, table_metadata


def transformer(seed: int) -> dict[str, np.ndarray]:
    """Heads, a convolution, a matrix of zeros, one of rank 2, one that is large, and more."""
    rng = np.random.default_rng(seed)
    thin = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 30))
    return {
        "blocks.0.attention.query": rng.normal(size=(3, 8, 24)),
        "blocks.0.mlp.weight": thin,
        "blocks.1.conv.weight": rng.normal(size=(6, 5, 3, 3)).astype(np.float32),
        "blocks.1.mlp.weight": rng.normal(size=(100, 101)).astype(np.float32),
        "blocks.10.mlp.weight": np.zeros((7, 30)),
        "blocks.10.mlp.bias": rng.normal(size=7),
        "norm.weight": np.ones(24),
    }


def matrices(tensors: dict[str, np.ndarray]) -> dict[tuple[str, int], np.ndarray]:
    """The weight matrices by tensor and block, as the paper has them."""
    found = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 4:
            found[name, 0] = tensor.reshape(len(tensor), -1)
        elif tensor.ndim == 3:
            found |= {(name, i): tensor[i] for i in range(len(tensor))}
        elif tensor.ndim == 2:
            found[name, 0] = tensor
    return found


@pytest.mark.parametrize("threads", [1, 3])
def test_of_each_matrix_what_numpy_says(tmp_path: Path, threads: int) -> None:
    networks = {step: transformer(step) for step in (0, 7, 12)}
    for step, tensors in networks.items():
        save_file(tensors, tmp_path / f"step-{step}.safetensors")
    table = layer_metrics(tmp_path, threads=threads)
    assert tuple(table.columns) == (*LAYER_COLUMNS, *MATRIX_COLUMNS)
    assert table["step"].is_monotonic_increasing
    assert len(table) == 3 * 7
    for row in table.to_dict("records"):
        matrix = matrices(networks[row["step"]])[row["tensor"], row["block"]]
        assert (row["rows"], row["cols"]) == matrix.shape
        expected = twin([matrix])
        if matrix.any():
            expected |= spectral_twin([matrix])
        else:
            expected |= {"stable_rank": 0.0, "effective_rank": 0.0}
        assert np.isnan(row["tail_exponent"]) == ("tail_exponent" not in expected)
        assert_close({column: row[column] for column in expected}, expected)


def test_their_means_are_the_checkpoints_metrics(tmp_path: Path) -> None:
    for step in range(4):
        save_file(transformer(step), tmp_path / f"step-{step}.safetensors")
    columns = [c for c in MATRIX_COLUMNS if not c.endswith("_w")]
    means = layer_metrics(tmp_path).groupby("step")[columns].mean()
    whole = run_metrics(tmp_path, columns=columns).set_index("step")
    pd.testing.assert_frame_equal(means, whole, rtol=1e-12)


def test_a_network_in_memory_has_the_same(tmp_path: Path) -> None:
    tensors = transformer(3)
    save_file(tensors, tmp_path / "step-0.safetensors")
    table = layer_metrics(tmp_path)
    types = {"float64": "F64", "float32": "F32"}
    selection = select_parameters((n, types[t.dtype.name], t.shape) for n, t in tensors.items())
    [found] = tensor_metrics([tensors], selection, matrices=True)
    np.testing.assert_array_equal(found.matrices, table[list(MATRIX_COLUMNS)])
    assert [layer.tensor for layer in layers_of(selection)] == table["tensor"].tolist()


def test_the_extension_has_the_columns_that_are_said_here() -> None:
    from training_maps import _rust_metrics

    assert _rust_metrics.MATRIX_COLUMNS == MATRIX_COLUMNS


def test_of_one_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model_step_250.safetensors"
    save_file(transformer(0), path)
    table = layer_metrics(path, columns=["l2", "lambda_max"])
    assert tuple(table.columns) == (*LAYER_COLUMNS, "l2", "lambda_max")
    assert set(table["step"]) == {250}
    folder = tmp_path / "checkpoint-500"
    folder.mkdir()
    path.rename(folder / "model.safetensors")
    again = layer_metrics(folder, columns=["l2", "lambda_max"])
    pd.testing.assert_frame_equal(again.assign(step=250), table)
    assert set(again["step"]) == {500}
    with pytest.raises(InputError, match="mean_b is no metric of one matrix"):
        layer_metrics(folder, columns=["mean_b"])
    with pytest.raises(InputError, match="no checkpoint found"):
        layer_metrics(tmp_path)


def test_the_command_writes_them_and_ends_where_the_metrics_do(tmp_path: Path) -> None:
    manifest = write_run(tmp_path, {step: network(step) for step in STEPS})
    diverge(manifest, 100)
    output, layers = tmp_path / "metrics.parquet", tmp_path / "layers.parquet"
    main(["metrics", "--checkpoints", str(manifest), "--non-finite", "cut", "--output",
          str(output), "--layers", str(layers)])  # fmt: skip
    table = read_table(layers)
    steps = read_table(output)["step"].tolist()
    assert steps == [0, 5, 10]
    assert table["step"].tolist() == [step for step in steps for _ in range(2)]
    assert "tail_exponent" not in table
    assert table_metadata(layers)["seed"] == 3
    expected = layer_metrics(manifest, non_finite="cut")
    pd.testing.assert_frame_equal(
        table, expected.drop(columns="tail_exponent"), check_exact=True, check_dtype=False
    )


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("bert.encoder.layer.3.attention.self.query.weight", (768, 768), "attention"),
        ("bert.encoder.layer.3.attention.output.dense.weight", (768, 768), "attention"),
        ("bert.encoder.layer.3.intermediate.dense.weight", (3072, 768), "mlp"),
        ("bert.encoder.layer.3.output.dense.weight", (768, 3072), "mlp"),
        ("gpt_neox.layers.0.attention.query_key_value.weight", (96, 32), "attention"),
        ("gpt_neox.layers.0.mlp.dense_h_to_4h.weight", (128, 32), "mlp"),
        ("transformer.h.1.attn.c_proj.weight", (32, 32), "attention"),
        ("transformer.h.1.mlp.c_fc.weight", (32, 128), "mlp"),
        ("model.layers.2.self_attn.q_proj.weight", (64, 64), "attention"),
        ("model.layers.2.mlp.down_proj.weight", (64, 128), "mlp"),
        ("encoder.layers.0.self_attn.in_proj_weight", (96, 32), "attention"),
        ("blocks.0.attn.W_Q", (4, 8, 32), "attention"),
        ("layer1.0.conv1.weight", (8, 8, 3, 3), "convolution"),
        ("layer2.0.downsample.0.weight", (16, 8, 1, 1), "convolution"),
        ("conv.weight", (16, 8, 5), "convolution"),
        ("fc.weight", (10, 64), "mlp"),
        ("0.weight", (10, 64), "mlp"),
        ("lstm.weight_hh_l0", (32, 8), "recurrent"),
        ("decoder.gru.weight", (32, 8), "recurrent"),
    ],
)
def test_the_kind_of_a_layer(name: str, shape: tuple[int, ...], kind: str) -> None:
    [decision] = select_parameters([(name, "F32", shape)]).decisions
    assert kind_of(decision) == kind


def test_an_embedding_that_counts_by_a_pattern_is_one() -> None:
    tensors = [("embed.weight", "F32", (100, 8)), ("fc.weight", "F32", (4, 8))]
    selection = select_parameters(tensors, overrides=Overrides(weights=("embed.weight",)))
    assert [layer.kind for layer in layers_of(selection)] == ["embedding", "mlp"]


def test_depth_is_of_the_repeated_blocks() -> None:
    names = [f"encoder.layer.{i}.{part}.weight" for i in range(12) for part in ("a", "b")]
    depths = depths_of(["pooler.0.weight", *names, "head.weight"])
    assert set(depths) == set(names)
    assert [depths[f"encoder.layer.{i}.a.weight"] for i in range(12)] == (
        4 * ["early"] + 4 * ["middle"] + 4 * ["late"]
    )
    assert depths_of(["0.weight", "2.weight"]) == {"0.weight": "early", "2.weight": "late"}
    assert depths_of(["hidden.weight", "output.weight", "conv1.weight"]) == {}


def test_names_are_in_the_order_of_blocks() -> None:
    assert in_order(["h.10.b", "h.2.b", "h.2.a", "a", "h.2.a"]) == ["a", "h.2.a", "h.2.b", "h.10.b"]


def test_a_group_is_a_kind_a_depth_or_a_pattern() -> None:
    kinds = {"h.0.attn.weight": "attention", "h.1.attn.weight": "attention", "h.1.fc.weight": "mlp"}
    assert group_members("attention", kinds) == ["h.0.attn.weight", "h.1.attn.weight"]
    assert group_members("early", kinds) == ["h.0.attn.weight"]
    assert group_members("h.1.*", kinds) == ["h.1.attn.weight", "h.1.fc.weight"]
    with pytest.raises(InputError, match=r"'convolution'; the network has attention, mlp, early"):
        group_members("convolution", kinds)

"""Keras' files of weights, made here in the layouts of its versions."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from training_maps.metrics.parameters import MatrixSpec, select_parameters
from training_maps.runs.formats import CheckpointReader, describe
from training_maps.runs.hdf5_format import read_hdf5, variable_names
from training_maps.utils.errors import InputError, UnreadableCheckpoint

h5py = pytest.importorskip("h5py")
RNG = np.random.default_rng(0)
# As Keras 3 keeps them: a layer's path, and its variables in order.
LAYERS = {
    "layers/embedding": [(30, 8)],
    "layers/conv2d": [(3, 3, 2, 5), (5,)],
    "layers/batch_normalization": [(5,)] * 4,
    "layers/lstm/cell": [(8, 16), (4, 16), (16,)],
    "layers/multi_head_attention/query_dense": [(8, 2, 4), (2, 4)],
    "layers/multi_head_attention/output_dense": [(2, 4, 8), (8,)],
    "layers/dense": [(8, 3), (3,)],
    "optimizer": [(8, 3)] * 4,
}


def write(path: Path) -> dict[str, np.ndarray]:
    """A file with these layers, and what is in it."""
    found = {}
    with h5py.File(path, "w") as file:
        for layer, shapes in LAYERS.items():
            for i, shape in enumerate(shapes):
                found[f"{layer}/vars/{i}"] = RNG.normal(size=shape).astype(np.float32)
                file[f"{layer}/vars/{i}"] = found[f"{layer}/vars/{i}"]
        file.create_group("layers/flatten")
    return found


def check(path: Path, there: dict[str, np.ndarray]) -> None:
    selection = select_parameters(describe(path))
    assert selection.matrices == [
        MatrixSpec("conv2d.kernel", 1, 18, 5),
        MatrixSpec("dense.kernel", 1, 8, 3),
        MatrixSpec("lstm.cell.kernel", 1, 8, 16),
        MatrixSpec("lstm.cell.recurrent_kernel", 1, 4, 16),
        MatrixSpec("multi_head_attention.output_dense.kernel", 1, 8, 8),
        MatrixSpec("multi_head_attention.query_dense.kernel", 1, 8, 8),
    ]
    assert selection.biases == [
        "conv2d.bias", "dense.bias", "lstm.cell.bias", "multi_head_attention.output_dense.bias",
        "multi_head_attention.query_dense.bias",
    ]  # fmt: skip
    (dense,) = CheckpointReader().open(path).doubles(["dense.kernel"])
    np.testing.assert_array_equal(dense, there["layers/dense/vars/0"])


def test_weights_of_keras_3(tmp_path: Path) -> None:
    path = tmp_path / "epoch-3.weights.h5"
    check(path, write(path))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_whole_model_is_an_archive_with_its_weights(method: int, tmp_path: Path) -> None:
    there = write(tmp_path / "w.h5")
    with zipfile.ZipFile(tmp_path / "m.keras", "w", method) as archive:
        archive.write(tmp_path / "w.h5", "model.weights.h5")
        archive.writestr("config.json", "{}")
    if method == zipfile.ZIP_STORED:
        check(tmp_path / "m.keras", there)
    else:  # a small file that unpacks to a large one is none of Keras'
        with pytest.raises(UnreadableCheckpoint, match="compressed"):
            read_hdf5(tmp_path / "m.keras")


def test_older_files_name_their_variables(tmp_path: Path) -> None:
    kernel = RNG.normal(size=(4, 3))
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["model_weights/dense/dense/kernel:0"] = kernel
        file["model_weights/dense/dense/bias:0"] = np.zeros(3)
        file["optimizer_weights/Adam/m/kernel:0"] = kernel
    found = read_hdf5(tmp_path / "old.h5")
    assert list(found) == ["dense.bias", "dense.kernel"]
    np.testing.assert_array_equal(found["dense.kernel"][1], kernel)


@pytest.mark.parametrize(
    ("shapes", "names"),
    [
        ([(4, 3), (3,)], ["kernel", "bias"]),
        ([(4, 3)], ["kernel"]),
        ([(4, 9), (3, 9), (2, 9)], ["kernel", "recurrent_kernel", "bias"]),  # a GRU's
        ([(3, 3, 4, 1), (1, 1, 4, 7), (7,)], ["kernel", "pointwise_kernel", "bias"]),
        ([(5,), (5,)], ["gamma", "beta"]),
        ([(5,)] * 5, [f"variable_{i}" for i in range(5)]),
        ([(4, 3), (7,), (2, 2)], ["kernel", "variable_1", "variable_2"]),
        ([], []),
    ],
)
def test_a_layers_variables_are_named_by_their_shapes(
    shapes: list[tuple[int, ...]], names: list[str]
) -> None:
    assert variable_names(shapes) == names
    assert variable_names([(30, 8)], "token_embedding") == ["embeddings"]


def test_what_is_kept_elsewhere_or_is_no_file_of_keras_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "other.h5")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["layers/dense/vars/0"] = h5py.ExternalLink("other.h5", "layers/dense/vars/0")
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("a", (3,), "f4", external=[(str(tmp_path / "other.h5"), 0, 12)])
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    (tmp_path / "text.h5").write_text("text")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "other.h5").read_bytes()[:500])
    for name in ("link", "external", "empty", "text", "cut"):
        with pytest.raises(UnreadableCheckpoint, match=rf"{name}\.h5: "):
            read_hdf5(tmp_path / f"{name}.h5")


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"pip install 'training-maps\[keras\]'"):
        read_hdf5(tmp_path / "a.h5")

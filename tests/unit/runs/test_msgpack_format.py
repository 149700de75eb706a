"""Trees of arrays in msgpack, written here as flax's serialisation describes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training_maps.runs.formats import CheckpointReader, describe
from training_maps.runs.msgpack_format import read_msgpack
from training_maps.utils.errors import InputError, UnreadableCheckpoint

msgpack = pytest.importorskip("msgpack")
RNG = np.random.default_rng(0)


def as_extension(array: np.ndarray, name: str | None = None, kind: int = 1) -> Any:
    """An array as flax packs it: shape, the type's name, values in row-major order."""
    parts = (array.shape, name or array.dtype.name, array.tobytes("C"))
    return msgpack.ExtType(kind, msgpack.packb(parts, use_bin_type=True))


def write(path: Path, tree: Any) -> Path:
    path.write_bytes(msgpack.packb(tree, use_bin_type=True))
    return path


def test_a_training_state_is_read_by_its_parameters_alone(tmp_path: Path) -> None:
    kernel = RNG.normal(size=(5, 3)).astype(np.float32)
    half = RNG.normal(size=(3, 3)).astype(np.float16)
    bits = (kernel.view(np.uint32) >> 16).astype(np.uint16)
    layers = {"Dense_0": {"kernel": as_extension(kernel), "bias": as_extension(np.zeros(3))},
              "Dense_1": {"kernel": as_extension(half)},
              "Dense_2": {"kernel": as_extension(bits, "bfloat16")}}  # fmt: skip
    statistics = {"mean": as_extension(np.ones(3))}
    state = {"step": 7, "opt_state": {"0": {"mu": {"kernel": as_extension(kernel)}}},
             "params": {"params": layers, "batch_stats": statistics}}  # fmt: skip
    path = write(tmp_path / "checkpoint_7.msgpack", state)
    assert sorted(describe(path)) == [
        ("Dense_0.bias", "F64", (3,)), ("Dense_0.kernel", "F32", (5, 3)),
        ("Dense_1.kernel", "F16", (3, 3)), ("Dense_2.kernel", "BF16", (5, 3)),
    ]  # fmt: skip
    opened = CheckpointReader().open(path)
    found = opened.doubles([f"Dense_{i}.kernel" for i in range(3)])
    np.testing.assert_array_equal(found[0], kernel)
    np.testing.assert_array_equal(found[1], half)
    np.testing.assert_allclose(found[2], kernel, rtol=2**-7)


def test_an_array_in_chunks_is_joined(tmp_path: Path) -> None:
    kernel = RNG.normal(size=(6, 4))
    pieces = np.split(kernel.ravel(), [10, 20])
    chunks = {str(i): as_extension(piece) for i, piece in enumerate(pieces)}
    shape = {"0": 6, "1": 4}
    chunked = {"__msgpack_chunked_array__": True, "shape": shape, "chunks": chunks}
    (item,) = read_msgpack(write(tmp_path / "a.msgpack", {"a": chunked})).items()
    assert item[0] == "a"
    np.testing.assert_array_equal(item[1][1], kernel)
    del chunks["2"]
    with pytest.raises(UnreadableCheckpoint, match="chunks of 20 values"):
        read_msgpack(write(tmp_path / "a.msgpack", {"a": chunked}))


def test_scalars_are_read_and_other_extensions_passed_over(tmp_path: Path) -> None:
    tree = {"a": as_extension(np.array(2.0), kind=3), "b": as_extension(np.ones(2), kind=2)}
    assert read_msgpack(write(tmp_path / "a.msgpack", tree)).keys() == {"a"}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xc1", b"text",
        msgpack.packb({"a": as_extension(np.ones((2, 2)))})[:-3],
        msgpack.packb({"a": as_extension(np.ones((2, 2)), "float32")}),
        msgpack.packb({"a": as_extension(np.ones((2, 2)), "object")}),
        msgpack.packb({"a": msgpack.ExtType(1, b"\x93")}),
        msgpack.packb({"a": 3}),
        b"\x91" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_tree_of_arrays_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.msgpack"
    path.write_bytes(content)
    with pytest.raises(UnreadableCheckpoint, match=r"a\.msgpack: "):
        read_msgpack(path)


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(InputError, match=r"pip install 'training-maps\[flax\]'"):
        read_msgpack(tmp_path / "a.msgpack")

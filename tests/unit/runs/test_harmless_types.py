"""What trainers keep beside the tensors is read as nothing; what may hold a network is refused."""

from __future__ import annotations

import argparse
import collections
import datetime
import pathlib
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training_maps.runs.formats import CheckpointReader
from training_maps.runs.harmless_types import STAND_INS, Nothing, plain_dict, plain_list
from training_maps.utils.errors import InputError

BESIDE = {
    "path": pathlib.Path("x"),
    "numpy scalars": {"best": np.float64(0.9), "n": np.int64(3), "is": np.bool_(True)},
    "namespace": argparse.Namespace(lr=0.1, out=pathlib.Path("a"), best=np.float32(1)),
    "simple namespace": types.SimpleNamespace(a=1),
    "defaultdict": collections.defaultdict(list, {"a": [1]}),
    "defaultdict without": collections.defaultdict(None, {"a": 1}),
    "random generator": np.random.default_rng(0).bit_generator.state,
    "deque": collections.deque([1.5], maxlen=3),
    "times": [datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), datetime.timedelta(1)],
    "type": np.dtype("f4"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("what", BESIDE)
def test_it_is_no_reason_to_refuse_a_checkpoint(what: str, zipped: bool, tmp_path: Path) -> None:
    state = torch.nn.Linear(3, 2).state_dict()
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": state, "beside": BESIDE[what]}, path,
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    opened = CheckpointReader().open(path)
    assert opened.tensors is not None
    assert {name: tensor.tolist() for name, tensor in opened.tensors.items()} == {
        name: tensor.tolist() for name, tensor in state.items()
    }


def test_a_network_in_a_defaultdict_is_found(tmp_path: Path) -> None:
    state = torch.nn.Linear(3, 2).state_dict()
    torch.save(collections.defaultdict(dict, {"model": state}), tmp_path / "a.pt")
    assert CheckpointReader().open(tmp_path / "a.pt").names == {"weight", "bias"}


class Own:
    """A type of a project's own."""


class Runs:
    """A type whose reading would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("/tmp/never-made"),)


@pytest.mark.parametrize("value", [Own(), Runs(), torch.nn.Linear(2, 2)])
def test_others_are_refused_with_what_to_do_of_a_finished_run(value: Any, tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.ones(2, 2)}, "beside": value}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"it needs .*finished run.*weights_only=False"):
        CheckpointReader().open(tmp_path / "a.pt")
    assert not Path("/tmp/never-made").exists()


def test_nothing_is_made_of_what_a_file_says() -> None:
    pairs = [entry for entry in STAND_INS if isinstance(entry, tuple)]
    assert {stand_in for stand_in, _ in pairs} == {Nothing, plain_dict, plain_list}
    assert len({name for _, name in pairs}) == len(STAND_INS)
    nothing = Nothing(1, 2)
    nothing.__setstate__({"a": 1})
    assert vars(nothing) == {}
    assert (plain_dict(list), plain_list([1])) == ({}, [])

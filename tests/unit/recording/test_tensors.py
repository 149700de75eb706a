"""Which of a model's tensors count, and how they come to the host."""

import os

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from training_maps.metrics.parameters import Overrides, select_parameters
from training_maps.recording.tensors import (
    as_number,
    bare_name,
    gathered,
    is_first_rank,
    is_sharded,
    named_tensors,
    select,
    snapshot,
)
from training_maps.utils.errors import InputError


class Network(nn.Module):
    """Its names say nothing of what its layers are."""

    def __init__(self):
        super().__init__()
        self.a = nn.Embedding(11, 6)
        self.b = nn.Linear(6, 6)
        self.c = nn.LayerNorm(6)
        self.d = nn.Linear(6, 11, bias=False)
        self.d.weight = self.a.weight

    def forward(self, x):
        return self.d(self.c(self.b(self.a(x))))


def test_modules_say_what_names_do_not():
    model = Network()
    assert list(named_tensors(model)) == ["a.weight", "b.weight", "b.bias", "c.weight", "c.bias"]
    chosen = select(model, named_tensors(model)).selection
    assert [matrix.tensor for matrix in chosen.matrices] == ["b.weight"]
    assert chosen.biases == ["b.bias"]


def test_patterns_go_before_modules():
    model = Network()
    told = Overrides(weights=("a.weight",))
    chosen = select(model, named_tensors(model), told).selection
    assert [matrix.tensor for matrix in chosen.matrices] == ["a.weight", "b.weight"]


def test_a_state_dict_is_chosen_from_as_its_checkpoint_is():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    tensors = named_tensors(model.state_dict())
    described = [
        (name, "I64" if t.dtype == torch.int64 else "F32", t.shape) for name, t in tensors.items()
    ]
    expected = select_parameters(described)
    for given in (model, model.state_dict()):
        chosen = select(given, named_tensors(given)).selection
        assert chosen.matrices == expected.matrices
        assert chosen.biases == expected.biases


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("module.0.weight", "0.weight"),
        ("module._orig_mod.h.weight", "h.weight"),
        ("_orig_mod.h.weight", "h.weight"),
        ("net._orig_mod.h.weight", "net.h.weight"),
        ("h.module.weight", "h.module.weight"),
    ],
)
def test_names_are_those_of_the_bare_model(name, bare):
    assert bare_name(name) == bare


@pytest.fixture
def one_process(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_ddp_changes_no_name(one_process):
    model = Network()
    assert set(named_tensors(DistributedDataParallel(model))) == set(named_tensors(model))
    assert is_first_rank()
    assert not is_sharded(named_tensors(model))


def test_what_fully_shard_spreads_is_gathered(one_process):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    tensors = named_tensors(model)
    assert is_sharded(tensors)
    taken = snapshot(tensors, select(model, tensors), copy=False)
    for name, array in taken.parts.items():
        np.testing.assert_array_equal(array, expected[name].numpy())
    assert torch.equal(gathered(tensors["0.weight"]), expected["0.weight"])


def test_fsdp_s_first_version_is_refused_clearly():
    class FullyShardedDataParallel(nn.Module):
        """Stands for the class of that name, by which it is known."""

        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2)

    with pytest.raises(InputError, match="hand the full state dict"):
        named_tensors(FullyShardedDataParallel())


def test_other_ranks_do_not_write(monkeypatch):
    assert is_first_rank()
    monkeypatch.setitem(os.environ, "RANK", "2")
    assert not is_first_rank()
    monkeypatch.setitem(os.environ, "RANK", "0")
    assert is_first_rank()


def test_on_the_cpu_nothing_is_copied_unless_training_is_to_go_on():
    model = nn.Linear(4, 3)
    tensors = named_tensors(model)
    chosen = select(model, tensors)
    taken = snapshot(tensors, chosen, copy=False)
    taken.wait()
    assert taken.shared
    assert np.shares_memory(taken.parts["weight"], model.weight.detach().numpy())
    copied = snapshot(tensors, chosen, copy=True)
    assert not copied.shared
    before = copied.parts["weight"].copy()
    with torch.no_grad():
        model.weight += 1
    np.testing.assert_array_equal(copied.parts["weight"], before)
    np.testing.assert_array_equal(taken.parts["weight"], before + 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions(dtype):
    model = nn.Linear(4, 3).to(dtype)
    tensors = named_tensors(model)
    array = snapshot(tensors, select(model, tensors), copy=False).parts["weight"]
    np.testing.assert_array_equal(array.astype(float), model.weight.detach().double().numpy())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_one_copy_is_taken_while_training_goes_on():
    model = nn.Linear(512, 512).cuda()
    expected = model.weight.detach().cpu().numpy().copy()
    tensors = named_tensors(model)
    taken = snapshot(tensors, select(model, tensors), copy=False)
    with torch.no_grad():
        model.weight += 1
    taken.wait()
    assert not taken.shared
    np.testing.assert_array_equal(taken.parts["weight"], expected)


def test_what_is_no_model():
    with pytest.raises(InputError, match=r"expected a torch\.nn\.Module or a state dict, not int"):
        named_tensors(3)


def test_logged_values_are_numbers():
    assert as_number("loss", torch.tensor(0.5)) == 0.5
    assert as_number("loss", np.float32(2)) == 2.0
    for wrong in ("high", torch.zeros(2), None):
        with pytest.raises(InputError, match="record: loss is"):
            as_number("loss", wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_weight_that_is_kept_as_parts_is_made_of_them(dtype):
    """Weight norm in both of torch's forms: what counts is the weight that acts."""
    torch.manual_seed(0)
    parametrised = nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)).to(dtype)
    with torch.no_grad():
        parametrised.parametrizations.weight.original0.mul_(1.5)
    tensors = named_tensors(parametrised)
    chosen = select(parametrised, tensors)
    assert [matrix.tensor for matrix in chosen.selection.matrices] == ["weight"]
    arrays = snapshot(tensors, chosen, copy=False).arrays(chosen)
    expected = parametrised.weight.detach().double().numpy()
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    np.testing.assert_allclose(arrays["weight"], expected, rtol=tolerance, atol=tolerance)


def test_adapters_and_state_dicts_have_no_modules():
    model = nn.Linear(4, 3)
    chosen = select(model.state_dict(), named_tensors(model.state_dict()))
    assert chosen.parts == ["weight", "bias"]
    assert chosen.derived == {}

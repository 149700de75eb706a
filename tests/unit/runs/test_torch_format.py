"""torch's own files: wrappers, prefixes, odd tensors, and files that are broken or unsafe."""

import io
import os
import pickle
import re
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.checkpoint_forms import as_arrays, network
from tests.support.metrics_twin import assert_close, twin
from training_maps.metrics.compute import run_metrics
from training_maps.runs.checkpoints import Checkpoint, Run, write_manifest
from training_maps.runs.formats import CheckpointReader, describe
from training_maps.utils.errors import InputError, UnreadableCheckpoint


def metrics_of(path, **options):
    """The one row of metrics of a torch file, without its step."""
    manifest = path.parent / "checkpoints.json"
    write_manifest(Run(0, (Checkpoint(7, None, path),)), manifest)
    return dict(run_metrics(manifest, **options).iloc[0].drop("step"))


def optimiser_state():
    layer = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    return optimiser.state_dict()


@pytest.mark.parametrize("version", ["2.5.1", "2.9.1+cu130"])
def test_a_torch_that_a_file_can_make_run_code_reads_none(tmp_path, monkeypatch, version):
    path = tmp_path / "x.pt"
    torch.save(network(1), path)
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion(version))
    with pytest.raises(InputError, match=rf"x\.pt: torch {re.escape(version)}.* torch 2\.10 or"):
        metrics_of(path)
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.10.0+cpu"))
    assert metrics_of(path)


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        lambda tensors: {"state_dict": tensors, "epoch": 3, "rng": torch.zeros(5056).byte()},
        lambda tensors: {"model": tensors, "optimizer": optimiser_state(), "args": {"lr": 0.1}},
        lambda tensors: {"model_state_dict": tensors, "optimizer_state_dict": optimiser_state()},
        lambda tensors: {"module": tensors, "client_state": {"step": 3}},
        lambda tensors: {"model": {"state_dict": {"network": tensors}}, "best": 0.5},
        lambda tensors: {f"module.{name}": tensor for name, tensor in tensors.items()},
        lambda tensors: {
            "model": {f"_orig_mod.module.{name}": tensor for name, tensor in tensors.items()}
        },
        lambda tensors: {**tensors, "version": 3, "layer._extra_state": None, "name": "x"},
    ],
)
def test_wrappers_and_prefixes_are_removed(tmp_path, wrap, old_format):
    tensors, path = network(1), tmp_path / "x.pt"
    torch.save(wrap(tensors), path, _use_new_zipfile_serialization=not old_format)
    expected = [(name, str(tensor.dtype), tensor.shape) for name, tensor in tensors.items()]
    types = {"torch.float32": "F32", "torch.int64": "I64"}
    assert describe(path) == [(name, types[dtype], tuple(shape)) for name, dtype, shape in expected]
    assert_close(metrics_of(path), twin(*as_arrays(tensors)))


def test_a_prefix_that_not_all_tensors_have_stays(tmp_path):
    torch.save({"module.w": torch.eye(2), "v": torch.eye(3)}, tmp_path / "x.pt")
    assert [name for name, *_ in describe(tmp_path / "x.pt")] == ["module.w", "v"]
    torch.save({"module.": torch.eye(2)}, tmp_path / "x.pt")
    assert [name for name, *_ in describe(tmp_path / "x.pt")] == ["module."]


def test_parameters_of_a_module_are_tensors(tmp_path):
    layer = torch.nn.Linear(3, 2)
    torch.save(dict(layer.named_parameters()), tmp_path / "x.pt")
    expected = twin([layer.weight.detach().numpy()], [layer.bias.detach().numpy()])
    assert_close(metrics_of(tmp_path / "x.pt"), expected)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"weights": network(1), "epoch": 3}, r"keys here are epoch, weights \(tensors are under"),
        ({"generator": network(1), "critic": network(2)}, "under generator, critic"),
        ({"weights": network(1), "rng": torch.ones(3)}, "under weights"),
        ({"model": network(1), "network": network(2)}, "tensors are under model and network"),
        ({"epoch": 3}, "no state dict is found; the keys here are epoch"),
        ({}, "the keys here are none"),
        ([torch.eye(2)], "holds a list, not a state dict"),
        (torch.eye(2), "holds a Tensor, not a state dict"),
    ],
)
def test_where_no_state_dict_is_found(tmp_path, data, message):
    torch.save(data, tmp_path / "x.pt")
    with pytest.raises(InputError, match=rf"x\.pt: .*{message}") as caught:
        describe(tmp_path / "x.pt")
    assert not isinstance(caught.value, UnreadableCheckpoint)


def test_a_key_of_ones_own(tmp_path):
    path, tensors = tmp_path / "x.pt", network(1)
    data = {"weights": tensors, "ema": {"model": network(2)}, "a.b": network(3)}
    torch.save(data, path)
    for key, seed in (("weights", 1), ("ema.model", 2), ("ema", None), ("a.b", 3)):
        if seed is None:
            with pytest.raises(InputError, match="tensors are under model"):
                metrics_of(path, state_dict_key=key)
        else:
            expected = twin(*as_arrays(network(seed)))
            assert_close(metrics_of(path, state_dict_key=key), expected)
    for key, message in (("ema.x", "has no key x .*keys here are model"), ("y", "has no key y")):
        with pytest.raises(InputError, match=message):
            describe(path, key)


def test_what_would_have_to_be_unpickled_is_refused(tmp_path):
    class Run:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    for data, needed in (
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"model": network(1), "evil": Run()}, "posix.mkdir"),
        ({"state_dict": network(1), "array": np.ones(3)}, "numpy"),
    ):
        for old_format in (False, True):
            path = tmp_path / "x.pt"
            torch.save(data, path, _use_new_zipfile_serialization=not old_format)
            message = rf"x\.pt: holds more than tensors.*{needed}.*torch.save\(model.state_dict"
            with pytest.raises(InputError, match=message):
                describe(path)
    path.write_bytes(pickle.dumps(Run()))
    with pytest.raises(InputError, match=r"x\.pt: "):
        describe(path)
    assert not (tmp_path / "made").exists()


def test_torchscript_and_compressed_archives_are_refused(tmp_path):
    script, packed = tmp_path / "script.pt", tmp_path / "packed.pt"
    with pytest.warns(FutureWarning, match="torch.jit"):
        torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(script)
    with pytest.raises(InputError, match=r"script.pt: .*it is a TorchScript archive"):
        describe(script)
    torch.save(network(1), tmp_path / "x.pt")
    plain = zipfile.ZipFile(tmp_path / "x.pt")
    with plain, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for part in plain.namelist():
            target.writestr(part, plain.read(part))
    with pytest.raises(InputError, match=r"packed.pt: part .* is compressed"):
        describe(packed)


def test_tied_tensors_count_once(tmp_path):
    weight = torch.randn(4, 4)
    tied = {"a.weight": weight, "b.weight": weight, "c.weight": weight.T, "d.weight": weight[:2]}
    torch.save(tied, tmp_path / "x.pt")
    names = [name for name, *_ in describe(tmp_path / "x.pt")]
    assert names == ["a.weight", "c.weight", "d.weight"]
    values = weight.double().numpy()
    assert_close(metrics_of(tmp_path / "x.pt"), twin([values, values.T, values[:2]]))


def test_tensors_of_no_values_are_not_tied(tmp_path):
    torch.save(
        {"a": torch.zeros(0, 3), "b": torch.zeros(0, 3), "w": torch.eye(2)}, tmp_path / "x.pt"
    )
    assert len(describe(tmp_path / "x.pt")) == 3


def test_values_that_are_not_in_order_are_read_right(tmp_path):
    base = torch.randn(3, 8, 10)
    views = {
        "a.weight": base[0].T,
        "b.weight": base[1, ::2, 1::3],
        "c.W_Q": base.permute(2, 0, 1).to(torch.bfloat16),
        "d.weight": torch.randn(1, 7).expand(4, 7),
        "e.bias": base[2, :, 3],
    }
    torch.save(views, tmp_path / "x.pt")
    exact = {name: view.double().numpy() for name, view in views.items()}
    weights = [exact[name] for name in views if name != "e.bias"]
    assert_close(metrics_of(tmp_path / "x.pt"), twin(weights, [exact["e.bias"]]))


def test_values_are_mapped_and_not_copied(tmp_path):
    torch.save({"w": torch.randn(50, 40)}, tmp_path / "x.pt")
    opened = CheckpointReader().open(tmp_path / "x.pt")
    _, tensors = opened.source(["w"])
    dtype, array = tensors["w"]
    assert dtype == "F32"
    assert array.ctypes.data == opened.tensors["w"].data_ptr()
    assert str(tmp_path / "x.pt") in Path("/proc/self/maps").read_text()


ODD = {
    "sparse": torch.eye(3).to_sparse(),
    "complex": torch.eye(3, dtype=torch.complex64),
    "float8": torch.eye(4).to(torch.float8_e4m3fn),
    "meta": torch.empty(3, 3, device="meta"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_tensors_are_named_if_they_would_count(tmp_path, kind):
    path = tmp_path / "x.pt"
    torch.save({"a.weight": ODD[kind], "b.weight": torch.eye(3)}, path)
    dtype = {"sparse": "sparse F32", "complex": "C64", "float8": "F8_E4M3"}
    expected = dtype.get(kind, "F32 without values")
    assert describe(path)[0] == ("a.weight", expected, tuple(ODD[kind].shape))
    with pytest.raises(InputError, match=rf"^seed 0, step 7: .*'a.weight' has dtype {expected}; "):
        metrics_of(path)
    torch.save({"norm.weight": ODD[kind], "b.weight": torch.eye(3)}, path)
    assert metrics_of(path)["trace"] == 3


@contextmanager
def allow_input_errors(named):
    """Only our own errors, and only if they name the file, or the step."""
    try:
        yield
    except InputError as error:
        if named not in str(error):
            raise


def read_or_refuse(path):
    """Read a file that may be corrupt."""
    with allow_input_errors(path.name):
        for name, _, shape in describe(path):
            assert isinstance(name, str)
            assert all(side >= 0 for side in shape)
        with allow_input_errors("step 7"):
            metrics_of(path)


def small_file(tmp_path, old_format):
    path = tmp_path / "x.pt"
    torch.save(
        {"w": torch.randn(4, 3), "b.bias": torch.randn(5).bfloat16()},
        path,
        _use_new_zipfile_serialization=not old_format,
    )
    return path


@pytest.mark.parametrize("old_format", [False, True])
def test_a_truncated_file_is_named_wherever_it_ends(tmp_path, old_format):
    path = small_file(tmp_path, old_format)
    content = path.read_bytes()
    for length in [*range(0, len(content), max(1, len(content) // 60)), len(content) - 1]:
        path.write_bytes(content[:length])
        # Cut within a name, the old format asks for something that nobody knows.
        message = r"is not a whole torch file" + "|it needs [a-z_.]+" * old_format
        with pytest.raises(InputError, match=rf"x\.pt: .*({message})"):
            describe(path)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0, 1),
)
def test_changed_bytes_are_read_or_refused(tmp_path, old_format, changes, keep):
    path = tmp_path / "x.pt"
    content = bytearray(_CONTENTS[old_format])
    for place, byte in changes:
        content[int(place * len(content))] = byte
    path.write_bytes(content[: len(content) if keep > 0.5 else int(2 * keep * len(content))])
    read_or_refuse(path)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_archives_with_wrong_contents_are_read_or_refused(tmp_path, data):
    """Parts that are missing, replaced, cut short or longer than they should be."""
    original, path = tmp_path / "original.pt", tmp_path / "x.pt"
    original.write_bytes(_CONTENTS[False])
    with zipfile.ZipFile(original) as source, zipfile.ZipFile(path, "w") as target:
        for part in source.namelist():
            content = source.read(part)
            action = data.draw(st.sampled_from(["keep", "keep", "drop", "cut", "grow", "other"]))
            if action == "cut":
                content = content[: data.draw(st.integers(0, len(content)))]
            elif action == "grow":
                content += bytes(data.draw(st.integers(1, 99)))
            elif action == "other":
                content = data.draw(st.binary(max_size=60))
            if action != "drop":
                target.writestr(part, content)
    read_or_refuse(path)


def _contents(old_format):
    file = io.BytesIO()
    tensors = {"w": torch.arange(12.0).reshape(4, 3), "b.bias": torch.ones(5).bfloat16()}
    torch.save(tensors, file, _use_new_zipfile_serialization=not old_format)
    return file.getvalue()


_CONTENTS = {old_format: _contents(old_format) for old_format in (False, True)}


def test_another_network_beside_the_one_that_is_taken_is_told(tmp_path, caplog):
    optimiser = {"state": {0: {"exp_avg": torch.ones(2)}}}
    data = {
        "model": network(1),
        "ema": network(2),
        "optimizer": optimiser,
        "rng_state": {"a": torch.ones(2)},
    }
    torch.save(data, tmp_path / "x.pt")
    with caplog.at_level("INFO"):
        describe(tmp_path / "x.pt")
    assert "beside it the files have tensors under 'ema'; to take those" in caplog.text


def archive_of(path: Path, state: object, method: int = zipfile.ZIP_STORED) -> Path:
    """An archive as Stable-Baselines3's `model.save` writes one."""
    content = io.BytesIO()
    torch.save(state, content)
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("data", '{"policy_class": {":serialized:": "gASV"}}')
        archive.writestr("policy.optimizer.pth", b"not read")
        archive.writestr("policy.pth", content.getvalue())
    return path


def test_an_archive_of_stable_baselines3_is_its_policy(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    state = network.state_dict(prefix="mlp_extractor.policy_net.")
    opened = CheckpointReader().open(archive_of(tmp_path / "ppo_100_steps.zip", state))
    assert {name: shape for name, _, shape in opened.description} == {
        name: tuple(value.shape) for name, value in state.items()
    }
    for name, value in state.items():
        np.testing.assert_array_equal(opened.doubles([name])[0], value.numpy())


def test_of_an_archive_that_is_not_theirs_it_is_said_what_is_missing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(InputError, match=r"x\.zip: holds no policy\.pth"):
        CheckpointReader().open(tmp_path / "x.zip")
    packed = archive_of(tmp_path / "y.zip", {"a": torch.ones(3, 3)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="is compressed"):
        CheckpointReader().open(packed)
    (tmp_path / "z.zip").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(UnreadableCheckpoint, match=r"z\.zip: "):
        CheckpointReader().open(tmp_path / "z.zip")
    hostile = archive_of(tmp_path / "w.zip", {"a": torch.nn.Linear(2, 2)})
    with pytest.raises(InputError, match="reading it could run any code"):
        CheckpointReader().open(hostile)

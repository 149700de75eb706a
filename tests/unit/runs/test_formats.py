"""Checkpoints in every form: which files they are, what is in them, and what is refused."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.support.checkpoint_forms import FORMS, as_arrays, network, write, write_shards
from tests.support.metrics_twin import assert_close, twin
from training_maps.metrics.compute import run_metrics
from training_maps.runs.checkpoints import Checkpoint, Run, find_run, write_manifest
from training_maps.runs.formats import IN_FOLDER, describe
from training_maps.utils.errors import InputError, UnreadableCheckpoint

DESCRIBED = [
    ("hidden.bias", "F32", (6,)),
    ("hidden.weight", "F32", (6, 4)),
    ("output.weight", "F32", (3, 6)),
    ("steps", "I64", (1,)),
]


def manifest_of(folder, paths):
    """A manifest, without digests, of checkpoints at steps 0, 10, 20, ..."""
    checkpoints = [Checkpoint(10 * i, None, path) for i, path in enumerate(paths)]
    write_manifest(Run(3, tuple(checkpoints)), folder / "checkpoints.json")
    return folder / "checkpoints.json"


@pytest.mark.parametrize("form", FORMS)
def test_what_is_in_a_checkpoint(tmp_path, form):
    assert sorted(describe(write(tmp_path, form, network(1)))) == DESCRIBED


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("form", FORMS)
def test_metrics_of_every_form_are_those_of_the_exact_values(tmp_path, form, dtype):
    networks = [network(seed, dtype) for seed in range(3)]
    paths = [write(tmp_path / f"{i}", form, tensors) for i, tensors in enumerate(networks)]
    table = run_metrics(manifest_of(tmp_path, paths), threads=1)
    assert table["step"].tolist() == [0, 10, 20]
    for (_, row), tensors in zip(table.iterrows(), networks, strict=True):
        assert_close(dict(row.drop("step")), twin(*as_arrays(tensors)))
    reference = [write(tmp_path / f"r{i}", "safetensors", n) for i, n in enumerate(networks)]
    pd.testing.assert_frame_equal(
        run_metrics(manifest_of(tmp_path, reference), threads=2), table, check_exact=True
    )


def test_a_run_may_mix_forms(tmp_path):
    networks = [network(seed) for seed in range(len(FORMS))]
    paths = [
        write(tmp_path / f"{i}", f, n) for i, (f, n) in enumerate(zip(FORMS, networks, strict=True))
    ]
    table = run_metrics(manifest_of(tmp_path, paths), columns=["paper", "distance_from_start"])
    for (_, row), tensors in zip(table.iterrows(), networks, strict=True):
        assert_close(dict(row.drop(["step", "distance_from_start"])), twin(*as_arrays(tensors)))


def test_a_folder_of_torch_files_is_no_run_without_a_manifest(tmp_path):
    write(tmp_path, "torch", network(1))
    with pytest.raises(InputError, match="no checkpoint found"):
        find_run(tmp_path)


def test_a_folder_has_an_order_of_preference(tmp_path):
    for seed, name in reversed(list(enumerate(IN_FOLDER))):
        tensors = {f"of{seed}.weight": torch.eye(2)}
        form = next(f for f, file in FORMS.items() if file == name)
        write(tmp_path, form, tensors)
        assert describe(tmp_path) == [(f"of{seed}.weight", "F32", (2, 2))]


def test_paths_may_have_any_name(tmp_path):
    for name in ("ein ordner\n", "\N{SNOWMAN}", "a'b"):
        path = write(tmp_path / name, "safetensors", network(1))
        assert run_metrics(manifest_of(tmp_path, [path])).shape == (1, 15)


def test_the_manifest_names_files_below_it_and_files_elsewhere(tmp_path):
    inside = write(tmp_path / "run", "torch", network(1))
    outside = write(tmp_path / "elsewhere", "folder: torch", network(2))
    manifest = manifest_of(tmp_path / "run", [inside, outside])
    files = [row["file"] for row in json.loads(manifest.read_text())["checkpoints"]]
    assert files == ["x.pt", str(outside)]
    assert len(run_metrics(manifest)) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.pt", "nothing.pt is missing"),
        ("x.npy", r"is no checkpoint by its name; .*\.safetensors, \.pt, .*\.index\.json"),
        ("empty", r"holds no checkpoint; expected one of model\.safetensors, "),
    ],
)
def test_what_is_no_checkpoint(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.npy").touch()
    with pytest.raises(InputError, match=message):
        describe(tmp_path / name)


@pytest.mark.parametrize("form", ["safetensors shards", "torch shards"])
class TestIndex:
    def test_a_missing_shard(self, tmp_path, form):
        index = write(tmp_path, form, network(1))
        next(tmp_path.glob("*00002*")).unlink()
        with pytest.raises(UnreadableCheckpoint, match=r"index.json: shard .*00002.* is missing"):
            describe(index)

    def test_a_shard_without_a_tensor_of_the_index(self, tmp_path, form):
        index = write(tmp_path, form, network(1))
        data = json.loads(index.read_text())
        data["weight_map"]["more"] = data["weight_map"]["steps"]
        index.write_text(json.dumps(data))
        with pytest.raises(UnreadableCheckpoint, match=r"00001-of.* has no tensor 'more'"):
            describe(index)

    @pytest.mark.parametrize(
        ("file", "message"),
        [
            ("../{}", "leads out of the folder"),
            ("a/../../{}", "leads out of the folder"),
            ("/{}", "leads out of the folder"),
            (".", "leads out of the folder"),
            ("", "is no file name"),
            ("a\0b", "is no file name"),
            (7, "7 is no file name"),
            (None, "None is no file name"),
        ],
    )
    def test_shards_that_lead_elsewhere(self, tmp_path, form, file, message):
        inner = tmp_path / "inner"
        index = write(inner, form, network(1))
        data = json.loads(index.read_text())
        shard = data["weight_map"]["steps"]
        (tmp_path / shard).write_bytes((inner / shard).read_bytes())
        if isinstance(file, str):
            file = file.format(shard)
        index.write_text(json.dumps({"weight_map": {**data["weight_map"], "steps": file}}))
        with pytest.raises(UnreadableCheckpoint, match=message):
            describe(index)

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "7", '{"weight_map": {}}', '{"weight_map": 3}', "[" * 100_000, "\udcff"],
    )
    def test_what_is_no_index(self, tmp_path, form, text):
        path = tmp_path / FORMS[form]
        path.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(UnreadableCheckpoint, match=r"index.json: is no index of shards"):
            describe(path)

    def test_shards_may_be_links_out_of_the_folder(self, tmp_path, form):
        """So does the hub's cache keep them."""
        index = write(tmp_path / "snapshot", form, network(1))
        for i, shard in enumerate((tmp_path / "snapshot").glob("*-of-*")):
            shard.rename(tmp_path / f"blob{i}")
            shard.symlink_to(tmp_path / f"blob{i}")
        assert sorted(describe(index)) == DESCRIBED


def test_a_tensor_in_two_safetensors_shards_is_named(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    save_file({"a": torch.eye(2), "b": torch.eye(2)}, tmp_path / "1.safetensors")
    save_file({"b": torch.eye(2)}, tmp_path / "2.safetensors")
    index.write_text('{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}')
    with pytest.raises(UnreadableCheckpoint, match=r"2\.saf.*tensor 'b' is in another file"):
        describe(index)
    torch.save({"a": torch.eye(2), "b": torch.eye(2)}, tmp_path / "1.bin")
    torch.save({"b": torch.eye(2)}, tmp_path / "2.bin")
    index.write_text('{"weight_map": {"a": "1.bin", "b": "2.bin"}}')
    with pytest.raises(UnreadableCheckpoint, match=r"2\.bin: tensor 'b' is in another file"):
        describe(index)
    index.write_text('{"weight_map": {"a": "1.bin", "b": "2.safetensors"}}')
    with pytest.raises(UnreadableCheckpoint, match="both safetensors files and torch files"):
        describe(index)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("1.safetensors"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["weight_map", "metadata"]), json_values) | json_values)
def test_any_json_as_an_index_is_read_or_refused(tmp_path, data):
    save_file({"a": torch.eye(2)}, tmp_path / "1.safetensors")
    index = tmp_path / "x.index.json"
    index.write_text(json.dumps(data))
    try:
        described = describe(index)
    except InputError as error:
        described = str(error)
    assert described == [("a", "F32", (2, 2))] or str(tmp_path) in described


def test_later_checkpoints_have_the_first_ones_tensors_in_torch_files_too(tmp_path):
    first = write(tmp_path / "0", "torch", network(0))
    second = network(1)
    for changed, message in (
        ({**second, "new.weight": torch.eye(3)}, "tensor 'new.weight' counts, and the run's first"),
        ({**second, "output.weight": torch.eye(3)}, r"'output.weight' has shape \[3, 3\]"),
        ({n: t for n, t in second.items() if n != "hidden.bias"}, "'hidden.bias' is missing"),
        ({**second, "output.weight": second["output.weight"].int()}, "dtype I32; expected F64"),
    ):
        for form in ("torch", "safetensors", "torch shards"):
            path = write(tmp_path / "1", form, changed)
            with pytest.raises(InputError, match=rf"^seed 3, step 10: .*{message}"):
                run_metrics(manifest_of(tmp_path, [first, path]))


def test_new_tensors_that_do_not_count_are_welcome(tmp_path):
    second = {**network(1), "position_ids": torch.arange(5), "norm.weight": torch.ones(3)}
    for form in ("torch", "safetensors"):
        paths = [write(tmp_path / "0", form, network(0)), write(tmp_path / "1", form, second)]
        assert len(run_metrics(manifest_of(tmp_path, paths))) == 2


def test_what_is_unwrapped_is_said_once(tmp_path, caplog):
    caplog.set_level(logging.INFO, "training_maps")
    paths = []
    for i in range(4):
        paths.append(tmp_path / f"{i}.ckpt")
        wrapped = {f"module.{name}": tensor for name, tensor in network(i).items()}
        torch.save({"state_dict": wrapped, "epoch": i}, paths[-1])
    run_metrics(manifest_of(tmp_path, paths))
    assert caplog.text.count("under 'state_dict'") == 1
    assert caplog.text.count("'module.' is removed") == 1


def test_shards_are_read_whatever_their_order(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {f"{i}.weight": torch.from_numpy(rng.normal(size=(5, 4))) for i in range(12)}
    write_shards(tmp_path / "model.safetensors.index.json", tensors)
    table = run_metrics(manifest_of(tmp_path, [tmp_path]))
    expected = twin([tensor.numpy() for tensor in tensors.values()])
    assert_close(dict(table.iloc[0].drop("step")), expected)

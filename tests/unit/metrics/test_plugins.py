"""Metrics that users add, by a tiny distribution in a folder of its own."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from training_maps.cli import main
from training_maps.metrics import plugins
from training_maps.metrics.compute import run_metrics
from training_maps.metrics.definitions import metric_columns
from training_maps.metrics.parameters import select_parameters
from training_maps.metrics.plugins import arrays_of, compute, identity, installed
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.utils.errors import InputError

MODULE = """\
import numpy as np

calls = []


def nuclear_norm(weights, biases):
    calls.append([w.shape for w in weights] + [b.shape for b in biases])
    return sum(np.linalg.svd(w, compute_uv=False).sum() for w in weights)


def largest_bias(weights, biases):
    return max(np.abs(b).max() for b in biases)


def nothing(weights, biases):
    weights.clear()
    biases.clear()
    return float("nan")


def writes(weights, biases):
    weights[0][0, 0] = 1


def fails(weights, biases):
    raise KeyError("no such thing")


def returns(what):
    return lambda weights, biases: what


text, infinite, truth, vector = returns("7"), returns(np.inf), returns(True), returns(np.ones(2))
whole, scalar = returns(3), returns(np.array(2.5, dtype=np.float32))
number = 5
"""
NAMES = (
    "nuclear_norm", "largest_bias", "nothing", "writes", "fails", "text", "infinite", "truth",
    "vector", "whole", "scalar", "number", "absent",
)  # fmt: skip


@pytest.fixture
def offer(tmp_path, monkeypatch):
    """Offers metrics as a distribution that is installed; forgets all of it afterwards."""

    def install(names=NAMES, version="1.2", name="tiny_metrics", module="tiny_metrics"):
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
        )
        lines = "".join(f"{entry} = {module}:{entry}\n" for entry in names)
        (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{lines}")
        forget()

    def forget():
        importlib.invalidate_caches()
        sys.modules.pop("tiny_metrics", None)
        installed.cache_clear()
        plugins._loaded.cache_clear()

    (tmp_path / "tiny_metrics.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    forget()


def arrays():
    draw = np.random.default_rng(0)
    return [draw.normal(size=(3, 5)), draw.normal(size=(4, 2))], [draw.normal(size=3)]


def test_nothing_is_installed_unless_somebody_did():
    installed.cache_clear()
    assert not installed()
    assert identity(["l1", "nuclear_norm"]) == ""


def test_a_function_gets_the_tensors_and_its_number_is_the_metric(offer):
    offer()
    weights, biases = arrays()
    found = compute(
        ["nothing", "nuclear_norm", "largest_bias", "whole", "scalar"], weights, biases, "step 3"
    )
    twin = sum(torch.linalg.matrix_norm(torch.from_numpy(w), "nuc").item() for w in weights)
    assert list(found) == ["nothing", "nuclear_norm", "largest_bias", "whole", "scalar"]
    assert found["nuclear_norm"] == pytest.approx(twin, rel=1e-12)
    assert found["largest_bias"] == np.abs(biases[0]).max()
    assert np.isnan(found["nothing"])  # and what it cleared was its own
    assert (found["whole"], found["scalar"]) == (3.0, 2.5)
    assert all(isinstance(value, float) for value in found.values())
    assert sys.modules["tiny_metrics"].calls == [[(3, 5), (4, 2), (3,)]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", r"failed: KeyError: 'no such thing', in \S+tiny_metrics.py, line \d+"),
        ("writes", r"failed: ValueError: .*read-only"),
        ("text", r"returned '7' of type str; expected a finite number, or NaN"),
        ("infinite", r"returned inf of type float"),
        ("truth", r"returned True of type bool"),
        ("vector", r"returned array\(\[1., 1.\]\) of type ndarray"),
        ("number", r"tiny_metrics:number is 5; expected a function"),
        ("absent", r"tiny_metrics:absent cannot be imported \(AttributeError"),
    ],
)
def test_what_goes_wrong_names_metric_distribution_and_checkpoint(name, message, offer):
    offer()
    of_checkpoint = name not in ("number", "absent")
    where = "seed 2, step 30: " if of_checkpoint else ""
    with pytest.raises(InputError, match=f"^{where}metric {name} of tiny-metrics 1.2:? {message}"):
        compute([name], *arrays(), "seed 2, step 30")


def test_an_update_changes_the_identity(offer):
    offer(["whole", "scalar"], version="1.2")
    assert identity(["l1", "whole"]) == "metric whole of tiny-metrics 1.2"
    assert identity(["l1"]) == ""


def test_two_of_one_name_are_refused(offer):
    offer(["whole"])
    offer(["whole"], name="other_metrics")
    with pytest.raises(InputError, match=r"metric whole of .*metrics 1.2 and .* the same name"):
        installed()


@pytest.mark.parametrize("name", ["step", "paper", "7th", "a b"])
def test_names_that_are_no_columns_are_refused(name, offer):
    offer([name])
    with pytest.raises(InputError, match="cannot be a column's name"):
        installed()


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_tensors_of_every_type_are_read_exactly(kind, tmp_path):
    torch.manual_seed(0)
    tensors = {
        "hidden.weight": torch.randn(4, 6),
        "conv.weight": torch.randn(2, 3, 2, 2),
        "hidden.bias": torch.randn(4),
        "scale": torch.randn(3),
        "count": torch.tensor(7),
    }
    tensors = {
        name: value.to(kind) if value.is_floating_point() else value
        for name, value in tensors.items()
    }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    types = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16"}
    types[torch.bfloat16] = "BF16"
    described = [
        (name, types.get(value.dtype, "I64"), tuple(value.shape)) for name, value in tensors.items()
    ]
    selection = select_parameters(described, "model")
    assert [m.tensor for m in selection.matrices] == ["conv.weight", "hidden.weight"]
    bits = {
        name: (
            types[kind],
            value.view(torch.uint16).numpy() if value.itemsize == 2 else value.numpy(),
        )
        for name, value in tensors.items()
        if name in ("hidden.weight", "conv.weight", "hidden.bias", "scale")
    }
    for source in ([str(tmp_path / "model.safetensors")], bits):
        weights, biases = arrays_of((None, source), selection)
        assert {array.dtype for array in (*weights, *biases)} == {np.dtype(np.float64)}
        expected = [tensors["conv.weight"].reshape(2, 12), tensors["hidden.weight"]]
        for array, value in zip(weights, expected, strict=True):
            np.testing.assert_array_equal(array, value.double().numpy())
        for array, name in zip(biases, selection.biases, strict=True):
            np.testing.assert_array_equal(array, tensors[name].double().numpy())


@pytest.fixture
def run_of_two_forms(tmp_path):
    """Two runs of the same networks, in safetensors and in torch's own format."""
    torch.manual_seed(1)
    states = [{"hidden.weight": torch.randn(4, 6), "hidden.bias": torch.randn(4)} for _ in range(5)]
    manifests = []
    for seed, suffix, save in (("7", "safetensors", save_file), ("8", "pt", torch.save)):
        (tmp_path / seed).mkdir()
        for step, state in enumerate(states):
            save(state, tmp_path / seed / f"step-{step}.{suffix}")
        pattern = str(tmp_path / "{seed}" / f"step-{{step}}.{suffix}")
        manifests.append(tmp_path / seed / "checkpoints.json")
        call = ["collect", "--pattern", pattern, "--seed", seed, "--output", str(manifests[-1])]
        assert main(call) == 0
    return states, manifests


def test_they_are_computed_beside_the_others(run_of_two_forms, offer):
    offer()
    states, manifests = run_of_two_forms
    for manifest in manifests:
        columns = ["l2", "nuclear_norm", "distance_from_start", "largest_bias"]
        table = run_metrics(manifest, columns=columns)
        assert list(table.columns) == ["step", *columns]
        for row, state in zip(table.itertuples(), states, strict=True):
            weight = state["hidden.weight"].double()
            assert row.nuclear_norm == pytest.approx(
                torch.linalg.matrix_norm(weight, "nuc").item(), rel=1e-12
            )
            assert row.largest_bias == state["hidden.bias"].abs().max().item()
            assert row.l2 == pytest.approx(torch.linalg.matrix_norm(weight).item(), rel=1e-12)


def test_the_paper_s_metrics_do_not_ask_what_is_installed(offer, monkeypatch):
    monkeypatch.setattr(plugins, "entry_points", None)
    plugins.installed.cache_clear()
    assert len(metric_columns(["paper", "distance_from_start"])) == 15


def test_names_that_nobody_offers_are_refused_with_those_that_there_are(offer):
    offer(["whole"])
    with pytest.raises(InputError, match=r"no metric hole \(did you mean whole\?\).*, whole, and"):
        metric_columns(["hole"])
    offer(["l1"], name="other_metrics")
    with pytest.raises(InputError, match=r"metric l1 of other-metrics 1.2: l1 is a metric of this"):
        metric_columns(["whole"])


def test_command(run_of_two_forms, offer, tmp_path, capsys):
    offer()
    _, (manifest, _) = run_of_two_forms
    output = tmp_path / "metrics.parquet"
    call = ["metrics", "--checkpoints", str(manifest), "--output", str(output)]
    assert main([*call, "--columns", "paper", "whole"]) == 0
    assert pd.read_parquet(output)["whole"].tolist() == [3.0] * 5
    assert main([*call, "--columns", "fails"]) == 1
    told = capsys.readouterr().err
    assert "seed 7, step 0: metric fails of tiny-metrics 1.2 failed: KeyError" in told


def test_they_are_the_same_when_computed_while_training(offer, tmp_path):
    offer()
    task = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "hidden_size": 16})
    recipe = Recipe(batch_size=20, length=6, checkpoint_every=2, unit="step")
    columns = ("l1", "nuclear_norm", "largest_bias")
    train(task, "p", recipe, [1, 2], Recording(tmp_path / "files"), device="cpu")
    recording = Recording(tmp_path / "memory", "metrics", columns=columns)
    train(task, "p", recipe, [1, 2], recording, device="cpu")
    for seed in (1, 2):
        table = pd.read_parquet(tmp_path / "memory" / f"seed-{seed}" / "metrics.parquet")
        expected = run_metrics(tmp_path / "files" / f"seed-{seed}", columns=columns)
        pd.testing.assert_frame_equal(table, expected, check_exact=True)

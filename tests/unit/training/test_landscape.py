"""The loss landscape; the twin is a dense Hessian by torch's autograd and NumPy's eigenvalues."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.func import functional_call

from tests.support.twin import begin, train_epochs
from training_maps.metrics.compute import run_metrics
from training_maps.metrics.definitions import LANDSCAPE, metric_columns
from training_maps.training import landscape
from training_maps.training.landscape import Landscape, largest_and_trace, sample_of
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task, make_task
from training_maps.utils.errors import InputError

PARITIES = make_task(
    "sparse_parities",
    {"n_bits": 4, "n_relevant_bits": 2, "n_train": 40, "n_eval": 5, "hidden_size": 6},
)


@dataclasses.dataclass(frozen=True)
class Normed(Task):
    """Parities by a network with batch norm."""

    side_by_side = False

    def data(self, generator):
        return PARITIES.data(generator)

    def network(self):
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 1))

    def loss(self, outputs, targets):
        return (outputs.squeeze(-1) - targets).square().mean()

    def correct(self, outputs, targets):
        return outputs.squeeze(-1) * targets > 0


RECIPE = Recipe(learning_rate=0.1, batch_size=8, length=2)


def measured(task, seeds, n_epochs=0):
    """Seeds' values, each seed's tensors, and the examples that they were measured on."""
    examples, networks = begin(task, RECIPE, seeds)
    batches = examples.batches()
    for _ in range(n_epochs * examples.steps_per_epoch):
        networks.step(*next(batches))
    tensors = {name: value.clone() for name, value in networks.tensors().items()}
    groups = sample_of(examples)
    return Landscape(task, task.network()).measure(tensors, groups), tensors, groups


def dense(task, tensors, groups, row):
    """One network's Hessian (n, n), and the gradient (n,) of each group, in float64."""
    network = task.network().double().eval()
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    own = {name: value[row].double() for name, value in tensors.items()}
    flat = torch.cat([own[name].flatten() for name in trained])
    place = [(x[row if len(x) > 1 else 0], y[row if len(y) > 1 else 0]) for x, y in groups]

    def loss(flat, inputs, targets):
        named, first = dict(own), 0
        for name in trained:
            size = own[name].numel()
            named[name] = flat[first : first + size].view(own[name].shape)
            first += size
        inputs = inputs.double() if inputs.is_floating_point() else inputs
        return task.loss(functional_call(network, named, (inputs,)), targets)

    whole = torch.cat([x for x, _ in place]), torch.cat([y for _, y in place])
    hessian = torch.autograd.functional.hessian(lambda p: loss(p, *whole), flat).numpy()
    flat = flat.requires_grad_()
    gradients = [torch.autograd.grad(loss(flat, *one), flat)[0].numpy() for one in place]
    return hessian, np.array(gradients)


@pytest.mark.parametrize("n_epochs", [0, 3])
def test_side_by_side_each_network_has_its_dense_hessians_values(n_epochs, monkeypatch):
    monkeypatch.setattr(landscape, "ITERATIONS", 100)
    values, tensors, groups = measured(PARITIES, [3, 5], n_epochs)
    assert len({v["hessian_max"] for v in values}) == 2
    for row, found in enumerate(values):
        hessian, gradients = dense(PARITIES, tensors, groups, row)
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(8, len(hessian)))
        mean = gradients.mean(axis=0)
        noise = len(groups[0][1][0]) * gradients.var(axis=0, ddof=1).sum()
        expected = {
            "hessian_max": np.linalg.eigvalsh(hessian)[-1],
            "hessian_trace": np.einsum("pi,ij,pj->p", signs, hessian, signs).mean(),
            "gradient_norm": np.linalg.norm(mean),
            "gradient_noise_scale": noise / (mean @ mean),
        }
        assert found == pytest.approx(expected, rel=1e-4)


def test_a_network_with_buffers_is_measured_as_it_evaluates(monkeypatch):
    """Batch norm's running statistics are held fast, and count as no parameters."""
    monkeypatch.setattr(landscape, "ITERATIONS", 60)
    (found,), tensors, groups = measured(Normed(), [2], 1)
    hessian, gradients = dense(Normed(), tensors, groups, 0)
    assert len(hessian) == 3 * 4 + 3 + 3 + 3 + 1 * 3 + 1
    assert found["hessian_max"] == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-3)
    assert found["gradient_norm"] == pytest.approx(np.linalg.norm(gradients.mean(0)), rel=1e-3)


def times(matrices):
    """The product of each matrix and a vector of its own."""
    return lambda vectors: (matrices @ vectors[:, :, None])[:, :, 0]


class TestEigenvalues:
    @pytest.fixture
    def matrices(self):
        rng = np.random.default_rng(1)
        halves = rng.normal(size=(3, 60, 60))
        return torch.from_numpy(halves + halves.transpose(0, 2, 1))

    def test_lanczos_ends_at_numpys_largest(self, matrices, monkeypatch):
        monkeypatch.setattr(landscape, "ITERATIONS", 60)
        largest, _ = largest_and_trace(times(matrices), matrices[:, 0])
        np.testing.assert_allclose(largest, np.linalg.eigvalsh(matrices.numpy())[:, -1], rtol=1e-9)

    def test_as_many_steps_as_are_made_do_where_it_stands_apart(self, matrices):
        """As those of networks' Hessians do."""
        outer = torch.ones(60, 60, dtype=torch.float64)
        matrices = matrices + 2 * outer
        largest, _ = largest_and_trace(times(matrices), matrices[:, 0])
        np.testing.assert_allclose(largest, np.linalg.eigvalsh(matrices.numpy())[:, -1], rtol=1e-6)

    def test_the_largest_is_no_large_negative_one(self):
        diagonal = torch.tensor([[-9.0, 1.0, 2.0, 0.5, -3.0]], dtype=torch.float64)
        largest, trace = largest_and_trace(lambda v: diagonal * v, diagonal)
        assert largest.item() == pytest.approx(2)
        # Random signs give a diagonal matrix's trace exactly.
        assert trace.item() == pytest.approx(-8.5)

    def test_a_space_that_is_complete_early_ends_it(self):
        """Two eigenvalues, so that two steps reach all; and flat ground, whose Hessian is 0."""
        two = torch.tensor([[1.0] * 30 + [4.0] * 10, [0.0] * 40, [-2.0] * 40], dtype=torch.float64)
        largest, trace = largest_and_trace(lambda v: two * v, two)
        assert largest.tolist() == pytest.approx([4, 0, -2])
        assert trace.tolist() == pytest.approx([70, 0, -80])

    def test_the_trace_is_right_on_average(self, matrices, monkeypatch):
        monkeypatch.setattr(landscape, "PROBES", 4000)
        monkeypatch.setattr(landscape, "ITERATIONS", 2)
        _, trace = largest_and_trace(times(matrices), matrices[:, 0])
        for matrix, found in zip(matrices.numpy(), trace, strict=True):
            off = matrix - np.diag(np.diag(matrix))
            error = np.sqrt(2 * (off**2).sum() / 4000)  # its standard error (Hutchinson 1990)
            assert abs(found - np.trace(matrix)) < 4 * error


def test_the_noise_scale_of_single_examples_is_that_of_their_covariance():
    """Groups of one example: the trace of the gradients' covariance, without bias."""
    small = dataclasses.replace(PARITIES, n_train=12)
    (found,), tensors, groups = measured(small, [1])
    assert [x.shape[1] for x, _ in groups] == [1] * 12
    _, gradients = dense(small, tensors, groups, 0)
    mean = gradients.mean(axis=0)
    expected = np.trace(np.cov(gradients.T)) / (mean @ mean)
    assert found["gradient_noise_scale"] == pytest.approx(expected, rel=1e-4)


@dataclasses.dataclass(frozen=True)
class Flat(Task):
    """A loss that is 0 whatever the network."""

    def data(self, generator):
        return PARITIES.data(generator)

    def network(self):
        return PARITIES.network()

    def loss(self, outputs, targets):
        return (outputs * 0).mean()

    def correct(self, outputs, targets):
        return outputs.squeeze(-1) > 0


def test_on_flat_ground_there_is_no_noise_scale():
    (found,), _, _ = measured(Flat(), [0])
    assert np.isnan(found.pop("gradient_noise_scale"))
    assert found == {"hessian_max": 0, "hessian_trace": 0, "gradient_norm": 0}


def test_they_are_recorded_beside_the_others_of_the_same_training(tmp_path):
    columns = ("hessian_max", "l2", "gradient_norm")
    recording = Recording(tmp_path / "with", "metrics", columns=columns)
    train(PARITIES, "sparse_parities", RECIPE, [3, 5], recording, device="cpu")
    train(PARITIES, "sparse_parities", RECIPE, [3, 5], Recording(tmp_path / "out"), device="cpu")
    after = train_epochs(PARITIES, RECIPE, [3, 5], 2)
    start, _, _ = measured(PARITIES, [3, 5])
    for row, seed in enumerate((3, 5)):
        table = pd.read_parquet(tmp_path / f"with/seed-{seed}/metrics.parquet")
        assert list(table.columns) == ["step", *columns]
        kept = run_metrics(tmp_path / f"out/seed-{seed}", columns=["l2"])
        np.testing.assert_array_equal(table["l2"], kept["l2"])  # measuring changes no training
        assert table["hessian_max"].iloc[0] == pytest.approx(start[row]["hessian_max"], rel=1e-5)
        l2 = np.mean([np.linalg.norm(after[seed][f"{n}.weight"]) for n in ("hidden", "output")])
        assert table["l2"].iloc[-1] == pytest.approx(l2, rel=1e-5)


def test_of_checkpoints_alone_they_cannot_be_had(tmp_path):
    assert metric_columns(["l1", *LANDSCAPE], data=True) == ("l1", *LANDSCAPE)
    train(PARITIES, "sparse_parities", RECIPE, [3], Recording(tmp_path), device="cpu")
    with pytest.raises(InputError, match=r"hessian_trace takes the network's loss .*"):
        run_metrics(tmp_path / "seed-3", columns=["l2", "hessian_trace"])

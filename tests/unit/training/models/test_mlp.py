"""The perceptron's two ways to start; its forward pass is tested with its tasks."""

import numpy as np
import pytest
import torch

from training_maps.training.models.mlp import INITIALISATIONS, MLP
from training_maps.training.tasks import settings_schema
from training_maps.utils.errors import InputError


def test_torchs_own_start():
    torch.manual_seed(3)
    network = MLP(7, 5, 2)
    torch.manual_seed(3)
    hidden, output = torch.nn.Linear(7, 5), torch.nn.Linear(5, 2)
    assert torch.equal(network.hidden.weight, hidden.weight)
    assert torch.equal(network.hidden.bias, hidden.bias)
    assert torch.equal(network.output.weight, output.weight)
    assert torch.equal(network.output.bias, output.bias)


def test_xavier_is_uniform_within_its_bound_and_without_biases():
    torch.manual_seed(0)
    network = MLP(300, 200, 50, initialisation="xavier")
    for layer, n_inputs, n_outputs in ((network.hidden, 300, 200), (network.output, 200, 50)):
        bound = np.sqrt(6 / (n_inputs + n_outputs))
        values = layer.weight.detach().double().numpy().ravel() / bound
        assert not layer.bias.any()
        # The largest of n uniform values lies about 1/n below the bound.
        assert 1 - 20 / values.size < np.abs(values).max() <= 1
        # Moments of a uniform variable: mean 0, mean square 1/3, both within five standard errors.
        assert abs(values.mean()) < 5 / np.sqrt(3 * values.size)
        assert abs((values**2).mean() - 1 / 3) < 5 * np.sqrt(4 / 45 / values.size)


def test_other_starts_are_refused():
    with pytest.raises(InputError, match="expected one of torch, xavier, got 'glorot'"):
        MLP(2, 2, 2, initialisation="glorot")


@pytest.mark.parametrize("task", ["sparse_parities", "mnist"])
def test_tasks_offer_all_starts(task):
    schema = settings_schema(task)["properties"]["initialisation"]
    assert schema["enum"] == list(INITIALISATIONS)
    assert schema["default"] == "torch"

"""Small digits: what the narrow ResNets see, which of their parts are on, and training them."""

import numpy as np
import pytest
from torch import nn

from tests.support.twin import plain_loop, train_epochs
from training_maps.metrics.parameters import select_parameters
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task


def test_the_network_sees_standardised_digits():
    data = make_task("small_digits", {}).data(np.random.default_rng(0))
    assert data.train_inputs.shape == (1437, 1, 8, 8)
    assert data.eval_inputs.shape == (360, 1, 8, 8)
    seen = (data.train_inputs.astype(np.float32) - data.mean) / data.std
    assert seen.dtype == np.float32
    assert seen.mean() == pytest.approx(0, abs=1e-5)
    assert seen.std() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_batch_norm_and_shortcuts_are_each_on_or_off(batch_norm, residual):
    settings = {"batch_norm": batch_norm, "residual": residual, "width": 4}
    network = make_task("small_digits", settings).network()
    parts = list(network.modules())
    assert any(isinstance(part, nn.BatchNorm2d) for part in parts) == batch_norm
    described = [(name, "F32", value.shape) for name, value in network.state_dict().items()]
    matrices = {m.tensor for m in select_parameters(described).matrices}
    # 17 convolutions and the last layer; three shortcuts change the number of channels.
    assert len(matrices) == 18 + 3 * residual
    assert network.fc.weight.shape == (10, 8 * 4)


@pytest.mark.parametrize("stable", [True, False])
def test_training_is_a_plain_loop(stable):
    task = make_task("small_digits", {"batch_norm": stable, "residual": stable, "width": 2})
    # A rate so small that rounding, which batch norm amplifies, does not grow.
    recipe = Recipe("sgd", learning_rate=0.001, batch_size=500)
    (tensors,) = train_epochs(task, recipe, [4], 1).values()
    twin = plain_loop(task, 4, recipe, 1, nn.CrossEntropyLoss())
    for name, value in tensors.items():
        np.testing.assert_allclose(value, twin[name], rtol=1e-4, atol=2e-5, err_msg=name)

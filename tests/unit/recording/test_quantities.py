"""What only the training loop sees of a step."""

import numpy as np
import pytest
import torch
from torch import nn

from training_maps.recording.quantities import (
    ActivationNorm,
    UpdateSize,
    gradient_norm,
    learning_rate,
    renamed,
)


def test_the_gradient_is_one_vector():
    model = nn.Linear(3, 2)
    assert gradient_norm(model.parameters()) == 0.0
    model(torch.randn(5, 3)).square().sum().backward()
    whole = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
    assert gradient_norm(model.parameters()) == pytest.approx(np.linalg.norm(whole), rel=1e-6)
    model.bias.grad = None
    expected = np.linalg.norm(model.weight.grad.numpy())
    assert gradient_norm(model.parameters()) == pytest.approx(expected, rel=1e-6)


def test_a_large_gradient_does_not_overflow():
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.full((2,), 1e30)
    assert gradient_norm([parameter]) == pytest.approx(np.sqrt(2) * 1e30, rel=1e-6)


def test_the_learning_rate_is_that_of_the_first_group():
    parameter = nn.Parameter(torch.zeros(2))
    assert learning_rate(torch.optim.SGD([parameter], lr=0.25)) == 0.25


def test_numbers_get_the_workflow_s_names():
    logs = {"loss": 1, "val/acc": torch.tensor(0.5), "note": "text", "none": None}
    found = renamed(logs, {"train_loss": "loss", "eval_accuracy": "val/acc"})
    assert found == {"train_loss": 1.0, "eval_accuracy": 0.5}


def test_an_update_is_as_long_as_the_step():
    parameter = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    size = UpdateSize()
    assert size.after([parameter]) is None
    parameter.grad = torch.tensor([3.0, 4.0])
    size.before([parameter])
    optimizer.step()
    assert size.after([parameter]) == pytest.approx(2.5)
    assert size.after([parameter]) is None


def test_activations_are_looked_at_when_they_are_asked_for():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    norm = ActivationNorm(model)
    x = torch.randn(5, 3)
    model(x)
    assert norm.stop() is None
    norm.start()
    model(x)
    hidden = model[0](x).detach()  # looked at as well
    outputs = [model[0](x), model(x)]
    expected = [hidden, outputs[1].detach()]
    assert len(norm._squares) == 6
    found = norm.stop()
    of_layers = [float(one.detach().square().mean().sqrt()) for one in expected]
    # The first layer was called four times, the second twice.
    assert found == pytest.approx((4 * of_layers[0] + 2 * of_layers[1]) / 6)
    model(x)
    assert norm.stop() is None

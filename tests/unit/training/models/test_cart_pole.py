"""Cart and pole: the physics by hand, one episode at a time, and where gradients come from."""

import math

import numpy as np
import pytest
import torch

from training_maps.training.models.cart_pole import CartPole, pushed, stands


def tick(x, v, a, w, direction):
    """The equations as Barto, Sutton and Anderson 1983 have them, for one cart."""
    force, total = 10.0 * direction, 1.1
    turn = (
        9.8 * math.sin(a)
        + math.cos(a) * (-force - 0.05 * w**2 * math.sin(a)) / total
    ) / (0.5 * (4 / 3 - 0.1 * math.cos(a) ** 2 / total))  # fmt: skip
    faster = (force + 0.05 * (w**2 * math.sin(a) - turn * math.cos(a))) / total
    return x + 0.02 * v, v + 0.02 * faster, a + 0.02 * w, w + 0.02 * turn


def episode(policy, start, draws):
    """What is done at each step, its log-probability, and whether the pole still stands."""
    p = {name: value.detach().numpy() for name, value in policy.named_parameters()}
    state, alive, rows = tuple(start), True, []
    for draw in draws:
        hidden = np.maximum(p["hidden.weight"] @ state + p["hidden.bias"], 0)
        right = 1 / (1 + math.exp(-(p["output.weight"] @ hidden + p["output.bias"])[0]))
        pushes_right = draw < right
        rows.append((math.log(right if pushes_right else 1 - right), float(alive)))
        if alive:
            state = tick(*state, 1 if pushes_right else -1)
            alive = abs(state[0]) <= 2.4 and abs(state[2]) <= 12 * math.pi / 180
    return rows


@pytest.fixture
def network(double):
    torch.manual_seed(3)
    return CartPole(5)


def test_one_tick_is_that_of_the_equations(double):
    rng = np.random.default_rng(0)
    states, directions = rng.normal(size=(20, 4)), rng.choice([-1.0, 1.0], 20)
    expected = [tick(*state, d) for state, d in zip(states, directions, strict=True)]
    found = pushed(torch.from_numpy(states), torch.from_numpy(directions))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_pole_has_fallen_beyond_12_degrees_and_the_cart_left_beyond_2_4_metres(double):
    states = torch.tensor([[2.39, 9, 0.2, 9], [-2.41, 0, 0, 0], [0, 0, -0.21, 0]])
    assert stands(states).tolist() == [True, False, False]


def test_episodes_are_those_of_a_loop_over_single_carts(network):
    rng = np.random.default_rng(1)
    inputs = np.concatenate([rng.uniform(-0.05, 0.05, (6, 4)), rng.random((6, 60))], 1)
    outputs = network(torch.from_numpy(inputs)).detach().numpy()
    alive = outputs[..., 1].sum(1)
    assert 5 < alive.min() < 30 < alive.max()  # poles fall, at different times, or do not
    for found, row in zip(outputs, inputs, strict=True):
        expected = np.array(episode(network.policy, row[:4], row[4:]))
        np.testing.assert_allclose(found[:, 1], expected[:, 1])
        standing = expected[:, 1] > 0
        np.testing.assert_allclose(found[standing, 0], expected[standing, 0], rtol=1e-9)


def test_only_what_was_done_has_a_gradient(network):
    rng = np.random.default_rng(1)
    inputs = np.concatenate([rng.uniform(-0.05, 0.05, (3, 4)), rng.random((3, 9))], 1)
    outputs = network(torch.from_numpy(inputs))
    gradient = torch.autograd.grad(
        outputs[..., 1].sum(), network.policy.output.bias, allow_unused=True, retain_graph=True
    )
    assert gradient == (None,) or not gradient[0].any()
    assert torch.autograd.grad(outputs[..., 0].sum(), network.policy.output.bias)[0].any()

"""Modular addition: data and loss."""

import numpy as np
import pytest
import torch

from training_maps.training.tasks import make_task


def test_modular_addition_has_every_pair_once_and_its_sum():
    data = make_task("modular_addition", {}).data(np.random.default_rng(0))
    assert data.train_inputs.shape == (3830, 3)  # 30 % of 113 x 113, rounded down
    assert data.eval_inputs.shape == (8939, 3)
    inputs = np.concatenate([data.train_inputs, data.eval_inputs])
    targets = np.concatenate([data.train_targets, data.eval_targets])
    assert inputs.dtype == targets.dtype == np.int64
    # All pairs are there and none twice, so that none is in both parts.
    pairs = {(int(x), int(y)) for x, y, _ in inputs}
    assert pairs == {(x, y) for x in range(113) for y in range(113)}
    assert (inputs[:, 2] == 113).all()
    for (x, y, _), z in zip(inputs.tolist(), targets.tolist(), strict=True):
        assert z == (x + y if x + y < 113 else x + y - 113)


def test_modular_addition_is_split_by_the_runs_own_generator():
    task = make_task("modular_addition", {"modulus": 11, "train_share": 0.5})
    first, again, other = (task.data(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert len(first.train_inputs) == 60
    np.testing.assert_array_equal(first.train_inputs, again.train_inputs)
    assert set(map(tuple, first.train_inputs)) != set(map(tuple, other.train_inputs))
    # A random half, and not, say, the small sums: every number is met on both sides.
    assert set(first.train_inputs[:, 0]) == set(first.eval_inputs[:, 0]) == set(range(11))


def test_cross_entropy_and_accuracy_by_hand():
    task = make_task("modular_addition", {"modulus": 2})
    outputs = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1]])) + 3
    targets = torch.tensor([0, 1, 1])
    expected = -np.log([0.5, 0.1, 0.8]).mean()
    assert task.loss(outputs, targets).item() == pytest.approx(expected, rel=1e-6)
    assert task.correct(outputs, targets).tolist() == [True, False, True]

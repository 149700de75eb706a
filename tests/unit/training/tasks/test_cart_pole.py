"""Cart and pole: fresh episodes, REINFORCE's gradient, returns, and agents side by side."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.support.twin import begin
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task

TASK = make_task("cart_pole", {"n_steps": 20, "n_train": 8, "n_eval": 4, "hidden_size": 4})


def test_episodes_are_fresh_in_each_epoch_and_those_to_evaluate_stay():
    examples, _ = begin(TASK, Recipe(batch_size=8), [0, 1])
    batches = examples.batches()
    (first, _), (second, _) = next(batches), next(batches)
    assert first.shape == (2, 8, 24)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])  # each seed has its own
    assert first[..., :4].abs().max() <= 0.05
    assert 0 <= first[..., 4:].min() < 0.1 < 0.9 < first[..., 4:].max() < 1


def test_the_loss_is_reinforces_by_hand():
    rng = np.random.default_rng(0)
    n, alive = 3, np.array([[1.0] * 20, [1.0] * 12 + [0] * 8, [1.0] * 5 + [0] * 15])
    logs = np.log(rng.random((n, 20)))
    follows = np.zeros((n, 20))
    for t in range(20):
        for k in range(t, 20):
            follows[:, t] += 0.97 ** (k - t) * alive[:, k]
    total = 0.0
    for t in range(20):
        standing = alive[:, t] > 0
        usual = follows[standing, t].mean()
        total += (logs[standing, t] * (follows[standing, t] - usual)).sum()
    outputs = torch.tensor(np.stack([logs, alive], -1))
    targets = torch.zeros(3)
    assert TASK.loss(outputs, targets).item() == pytest.approx(-total / alive.sum())
    assert TASK.correct(outputs, targets).tolist() == pytest.approx([1.0, 0.6, 0.25])


def test_agents_learn_to_balance_and_side_by_side_is_as_alone(tmp_path):
    task = make_task("cart_pole", {"n_steps": 30, "n_train": 32, "hidden_size": 8})
    recipe = Recipe(
        "adamw", learning_rate=0.03, batch_size=32, unit="step", length=30, checkpoint_every=10
    )
    logs = {}
    for which, seeds in (("both", [0, 1]), ("alone", [1])):
        train(task, "cart_pole", recipe, seeds, Recording(tmp_path / which), device="cpu")
        logs[which] = pd.read_parquet(tmp_path / which / "seed-1/training_log.parquet")
        assert logs[which]["eval_accuracy"].iloc[-1] > logs[which]["eval_accuracy"].iloc[0] + 0.1
    first = [log.iloc[:2][["train_loss", "eval_accuracy"]] for log in logs.values()]
    pd.testing.assert_frame_equal(*first, rtol=1e-4)

"""Digits in turn: which task is trained when, what is evaluated, and that one is forgotten."""

import numpy as np
import pandas as pd
import torch

from tests.support.twin import begin
from training_maps.training.datasets.small_digits import N_TRAIN, small_digits
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task

TASK = make_task("digits_in_turn", {"first_epochs": 2, "hidden_size": 32})
RECIPE = Recipe(
    "adamw", learning_rate=0.005, batch_size=256, unit="epoch", length=12, checkpoint_every=6
)


def one_epoch(examples, start):
    """Of one epoch the inputs and targets, in the order of the targets' bytes of their inputs."""
    batches = examples.batches(start)
    some = [next(batches) for _ in range(examples.steps_per_epoch)]
    return torch.cat([x for x, _ in some], 1)[0].numpy(), torch.cat([y for _, y in some], 1)[0]


def rows(inputs, targets):
    return sorted((x.tobytes(), int(y)) for x, y in zip(inputs, targets, strict=True))


def test_digits_as_they_are_come_first_and_permuted_ones_after():
    images, labels = small_digits()
    plain = images[:N_TRAIN].reshape(N_TRAIN, 64).astype(np.float32) / np.float32(16)
    data = TASK.data(np.random.default_rng(0))
    permuted = data.train_inputs.astype(np.float32) / np.float32(16)
    assert not np.array_equal(plain, permuted)
    np.testing.assert_array_equal(np.sort(plain, axis=1), np.sort(permuted, axis=1))
    for epoch, expected in ((0, plain), (1, plain), (2, permuted), (7, permuted)):
        examples, _ = begin(TASK, RECIPE, [0])
        found = one_epoch(examples, epoch * examples.steps_per_epoch)
        assert rows(*found) == rows(expected, labels[:N_TRAIN]), epoch


def test_the_second_task_begins_in_the_same_pass_over_the_data():
    """Without a restart, and after one within the last epoch of the first task."""
    examples, _ = begin(TASK, RECIPE, [0])
    whole = examples.batches()
    taken = [next(whole)[0] for _ in range(4 * examples.steps_per_epoch)]
    again, _ = begin(TASK, RECIPE, [0])
    stopped = examples.steps_per_epoch + 3
    first = again.batches()
    for _ in range(stopped):
        next(first)
    again.restore(again.positions(stopped))
    later = again.batches(stopped)
    for step in range(stopped, len(taken)):
        torch.testing.assert_close(next(later)[0], taken[step], rtol=0, atol=0)


def test_the_first_task_is_learned_and_then_forgotten_for_the_second(tmp_path):
    task = make_task("digits_in_turn", {"first_epochs": 6, "hidden_size": 32})
    train(task, "digits_in_turn", RECIPE, [0, 1], Recording(tmp_path, "metrics"), device="cpu")
    for seed in (0, 1):
        log = pd.read_parquet(tmp_path / f"seed-{seed}/training_log.parquet").set_index("epoch")
        first, second = log["eval_accuracy"], log["train_accuracy"]
        assert first[6] > 0.8
        assert second[6] < 0.4
        assert second[12] > 0.8
        assert first[12] < first[6] - 0.1

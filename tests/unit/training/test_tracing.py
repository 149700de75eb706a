"""Traced functions do what the functions do, to the bit."""

import numpy as np
from torch.fx.experimental.proxy_tensor import make_fx

from tests.support.twin import train_epochs
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task

TASK = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "n_eval": 20, "hidden_size": 16})
RECIPE = Recipe(learning_rate=0.1, weight_decay=0.01, batch_size=20, length=6, checkpoint_every=4)


def test_tracing_changes_no_bit(monkeypatch):
    with_tracing = train_epochs(TASK, RECIPE, [0, 1, 2], 2)
    monkeypatch.setattr(
        "training_maps.training.side_by_side.traced", lambda function, *_, **__: function
    )
    for seed, tensors in train_epochs(TASK, RECIPE, [0, 1, 2], 2).items():
        for name, value in tensors.items():
            np.testing.assert_array_equal(value, with_tracing[seed][name])


def test_the_graph_that_a_gpu_runs_changes_no_bit(monkeypatch):
    with_tracing = train_epochs(TASK, RECIPE, [0, 1, 2], 2)
    monkeypatch.setattr(
        "training_maps.training.side_by_side.traced",
        lambda function, arguments, **_: make_fx(function)(*arguments),
    )
    for seed, tensors in train_epochs(TASK, RECIPE, [0, 1, 2], 2).items():
        for name, value in tensors.items():
            np.testing.assert_array_equal(value, with_tracing[seed][name])

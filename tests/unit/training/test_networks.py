"""Networks in training: they are measured, and they learn."""

import numpy as np

from tests.support.twin import begin
from training_maps.training.networks import measured
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task

TASK = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "n_eval": 20, "hidden_size": 16})
RECIPE = Recipe(learning_rate=0.1, weight_decay=0.01, batch_size=20, length=6, checkpoint_every=4)


def test_evaluation_in_pieces_is_the_same():
    examples, networks = begin(TASK, RECIPE, [0, 1])
    whole = measured(networks, examples.part("train", 45))
    pieces = measured(networks, examples.part("train", 7))
    np.testing.assert_allclose(pieces, whole, rtol=1e-6)


def test_it_learns():
    task = make_task("sparse_parities", {"n_bits": 8, "n_relevant_bits": 2, "n_train": 200})
    examples, networks = begin(task, Recipe(learning_rate=0.1, weight_decay=0.001), [0, 1])
    batches = examples.batches()
    for _ in range(60 * examples.steps_per_epoch):
        networks.step(*next(batches))
    assert (measured(networks, examples.part("eval", 100))[1] > 0.95).all()

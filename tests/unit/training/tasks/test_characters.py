"""Characters: the text, its pieces, the loss, and networks side by side."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.twin import plain_loop, train_epochs
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.training.tasks.characters import documentation
from training_maps.utils.errors import InputError

SMALL = {"context": 6, "n_train": 30, "n_eval": 5, "d_model": 8, "n_heads": 2, "d_mlp": 8}


def test_the_text_is_words_of_letters():
    text = documentation()
    assert len(text) > 200_000
    assert (text.min(), text.max()) == (0, 26)
    assert not ((text[1:] == 0) & (text[:-1] == 0)).any()
    words = "".join(" abcdefghijklmnopqrstuvwxyz"[c] for c in text)
    assert " the import statement " in words


def test_pieces_do_not_overlap_and_targets_are_the_next_characters():
    task, text = make_task("characters", SMALL), documentation()
    data = task.data(np.random.default_rng(0))
    np.testing.assert_array_equal(data.train_inputs.ravel(), text[:180])
    np.testing.assert_array_equal(data.train_targets.ravel(), text[1:181])
    np.testing.assert_array_equal(data.eval_inputs.ravel(), text[-31:-1])
    np.testing.assert_array_equal(data.eval_targets.ravel(), text[-30:])


def test_loss_and_accuracy_by_hand():
    task = make_task("characters", SMALL)
    right = torch.tensor([[[0.5, 0.25, 0.25], [0.2, 0.1, 0.7]], [[0.1, 0.8, 0.1]] * 2]).log()
    targets = torch.tensor([[0, 1], [1, 1]])
    expected = -np.log([0.5, 0.1, 0.8, 0.8]).mean()
    assert task.loss(right, targets).item() == pytest.approx(expected, rel=1e-6)
    assert task.correct(right, targets).tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"d_model": 9, "n_heads": 2}, r"d_model \(9\) is no multiple of n_heads \(2\)"),
        ({"n_train": 10**6}, r"the text has \d+ characters, and 1000000 \+ 256 examples"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        make_task("characters", settings).data(np.random.default_rng(0))


def test_training_is_a_plain_loop():
    task = make_task("characters", SMALL)
    recipe = Recipe("adamw", learning_rate=0.01, weight_decay=0.1, batch_size=8)

    def loss(outputs, targets):
        return nn.CrossEntropyLoss()(outputs.transpose(1, 2), targets)

    for seed, tensors in train_epochs(task, recipe, [2, 4], 3).items():
        for name, value in plain_loop(task, seed, recipe, 3, loss).items():
            np.testing.assert_allclose(tensors[name], value, rtol=1e-3, atol=1e-5, err_msg=name)

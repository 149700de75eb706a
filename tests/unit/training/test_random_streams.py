"""Random numbers of a run: streams of its seed, each for one use."""

import json

import numpy as np
import torch

from tests.support.twin import begin
from training_maps.training.random_streams import Streams, noise_state, restore_noise
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task

TASK = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "n_eval": 20, "hidden_size": 16})
RECIPE = Recipe(learning_rate=0.1, weight_decay=0.01, batch_size=20, length=6, checkpoint_every=4)


def test_seeds_differ_in_data_initialisation_and_batches():
    examples, networks = begin(TASK, RECIPE, [0, 1])
    first, second = networks.tensors()["hidden.weight"]
    assert not torch.allclose(first, second)
    inputs, _ = next(examples.part("train", 45))
    assert not torch.equal(inputs[0], inputs[1])
    orders = [Streams(seed).batches.permutation(45) for seed in (0, 1)]
    assert not np.array_equal(*orders)
    batch, _ = next(examples.batches())
    for row, order in enumerate(orders):
        assert torch.equal(batch[row], inputs[row][order[:20]])


def drawn(streams):
    names = ("data", "batches", "augmentation")
    return {name: getattr(streams, name).random(5).tolist() for name in names}


def test_a_seed_always_has_the_same_streams_and_no_two_are_alike():
    assert drawn(Streams(3)) == drawn(Streams(3))
    different = [tuple(numbers) for seed in (0, 1, 3) for numbers in drawn(Streams(seed)).values()]
    assert len(set(different)) == len(different)


def test_one_stream_does_not_move_another():
    used, fresh = Streams(3), Streams(3)
    used.data.random(1000)
    used.initialise(TASK)
    assert used.batches.random() == fresh.batches.random()
    assert used.augmentation.random() == fresh.augmentation.random()


def test_the_initial_network_is_the_seeds_and_torchs_generator_stays():
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    first = Streams(4).initialise(TASK).state_dict()
    assert torch.equal(torch.rand(3), expected)
    again = Streams(4).initialise(TASK).state_dict()
    other = Streams(5).initialise(TASK).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_generators_go_on_from_where_they_were():
    streams = Streams(3)
    streams.batches.random(7)
    streams.augmentation.random(3)
    state = json.loads(json.dumps(streams.state()))
    ahead = [streams.batches.random(), streams.augmentation.random()]
    again = Streams(3)
    again.restore(state)
    assert [again.batches.random(), again.augmentation.random()] == ahead


def test_what_networks_draw_is_the_seeds_and_torchs_generator_stays():
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    with Streams(4).noise("cpu"):
        first = torch.rand(3)
        middle = noise_state("cpu")
        later = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with Streams(4).noise("cpu"):
        assert torch.equal(torch.rand(3), first)
        torch.rand(99)
        restore_noise(middle)
        assert torch.equal(torch.rand(3), later)
    with Streams(5).noise("cpu"):
        assert not torch.equal(torch.rand(3), first)

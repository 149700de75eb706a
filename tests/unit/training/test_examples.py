"""Examples on the device: order, scaling, augmentation, and going on after an interruption."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
import torch

from training_maps.training.examples import Examples
from training_maps.training.random_streams import Streams
from training_maps.training.tasks import Data, Task, make_task
from training_maps.utils.errors import InputError

PARITIES = make_task("sparse_parities", {"n_bits": 6, "n_train": 25, "n_eval": 10})


@dataclasses.dataclass(frozen=True)
class Shifted(Task):
    """Inputs are 0, 10, 20, ...; augmentation adds what it draws, 0 to 9, to each."""

    shared_data: ClassVar[bool] = True

    def data(self, generator):
        inputs = np.arange(0, 230, 10, dtype=np.uint8)[:, None]
        targets = np.arange(23)
        return Data(
            inputs, targets, inputs[:4], targets[:4],
            mean=np.full(1, 5.0), std=np.full(1, 2.0),
        )  # fmt: skip

    def augmentation(self, generator, n):
        return generator.integers(0, 10, size=(n, 1), dtype=np.uint8)

    def augment(self, inputs, draws):
        return inputs + draws


def examples(task, seeds=(0, 1), batch_size=10):
    return Examples(task, [Streams(seed) for seed in seeds], batch_size, "cpu")


def one_epoch(batches, n):
    some = [next(batches) for _ in range(n)]
    return torch.cat([x for x, _ in some], 1), torch.cat([y for _, y in some], 1)


def test_an_epoch_has_each_example_once():
    held = examples(PARITIES)
    assert (held.n_train, held.steps_per_epoch) == (25, 3)
    batches = held.batches()
    first, second = (one_epoch(batches, 3)[0] for _ in range(2))
    ((whole, _),) = held.part("train", 100)
    for row in range(2):
        for epoch in (first, second):
            assert sorted(map(tuple, epoch[row].tolist())) == sorted(
                map(tuple, whole[row].tolist())
            )
    assert not torch.equal(first, second)


def test_shared_data_are_in_memory_once_and_each_seed_has_its_order():
    held = examples(Shifted())
    ((inputs, targets),) = held.part("eval", 100)
    assert inputs.shape == (1, 4, 1)
    assert inputs.flatten().tolist() == [-2.5, 2.5, 7.5, 12.5]  # (x - 5) / 2, in float32
    assert inputs.dtype == torch.float32
    assert targets.tolist() == [[0, 1, 2, 3]]
    _, order = one_epoch(held.batches(), 3)
    assert sorted(order[0].tolist()) == sorted(order[1].tolist()) == list(range(23))
    assert not torch.equal(order[0], order[1])


def test_augmentation_is_drawn_anew_for_each_example_seed_and_epoch():
    batches = examples(Shifted()).batches()
    draws = []
    for _ in range(2):
        inputs, targets = one_epoch(batches, 3)
        added = inputs.squeeze(-1) * 2 + 5 - 10 * targets
        assert added.min() >= 0
        assert added.max() <= 9
        draws.append(added)
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0][0], draws[0][1])
    # Seed by seed these are the numbers that its own generator draws.
    twin = Streams(1)
    for added in draws:
        drawn = Shifted().augmentation(twin.augmentation, 23)[:, 0]
        np.testing.assert_array_equal(added[1].numpy(), drawn)


def test_evaluation_on_training_examples_takes_the_first_ones_unaugmented():
    held = examples(Shifted())
    inputs = torch.cat([x for x, _ in held.part("train", 3, limit=8)], 1)
    assert (inputs.flatten() * 2 + 5).tolist() == [0, 10, 20, 30, 40, 50, 60, 70]


def test_it_goes_on_from_any_step():
    for task in (PARITIES, Shifted()):
        undisturbed = examples(task).batches()
        expected = [next(undisturbed) for _ in range(12)]
        for step in range(9):
            held = examples(task)
            batches = held.batches()
            for _ in range(step):
                next(batches)
            positions = held.positions(step)
            resumed = examples(task)
            resumed.restore(positions)
            batches = resumed.batches(step % resumed.steps_per_epoch)
            for inputs, targets in expected[step:]:
                found = next(batches)
                assert torch.equal(found[0], inputs)
                assert torch.equal(found[1], targets)


@dataclasses.dataclass(frozen=True)
class Broken(Task):
    """Data as they should not be."""

    n_inputs: int = 5
    n_targets: int = 5

    def data(self, generator):
        inputs, targets = np.zeros((self.n_inputs, 2)), np.zeros(self.n_targets)
        return Data(inputs, targets, inputs, targets)


@pytest.mark.parametrize(("n_inputs", "n_targets"), [(5, 4), (0, 0)])
def test_inputs_and_targets_are_as_many(n_inputs, n_targets):
    message = f"Broken: there are {n_inputs} train inputs and {n_targets} train targets"
    with pytest.raises(InputError, match=message):
        examples(Broken(n_inputs, n_targets))


def test_data_are_arrays():
    class Lists(Broken):
        def data(self, generator):
            return Data([1], [2], [3], [4])

    with pytest.raises(InputError, match="train data are a list; expected NumPy arrays"):
        examples(Lists())


def test_shared_data_that_are_drawn_are_the_same_in_every_job():
    class Drawn(Broken):
        shared_data = True

        def data(self, generator):
            inputs = generator.normal(size=(5, 2))
            return Data(inputs, inputs[:, 0], inputs, inputs[:, 0])

    parts = [list(examples(Drawn(), seeds).part("train", 5)) for seeds in ((0, 1), (7,))]
    assert torch.equal(parts[0][0][0], parts[1][0][0])

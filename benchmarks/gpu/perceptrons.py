"""Part 7: forty perceptrons on digits, side by side against one after another."""

from __future__ import annotations

from benchmarks.gpu.checks import Part
from benchmarks.gpu.runs import apart, begin, images, seconds_of, trained
from training_maps.training.devices import use_precision
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task


def run(part: Part) -> None:
    """Time both ways, and compare what they train."""
    n_seeds, n, steps = (3, 128, 6) if part.toy else (40, 10_000, 200)
    task = make_task(
        "mnist", {"dataset": images((28, 28), n), "hidden_size": 32 if part.toy else 800}
    )
    recipe = Recipe("sgd", learning_rate=0.05, batch_size=64 if part.toy else 256)
    use_precision(recipe.precision)
    seeds = list(range(n_seeds))

    def seconds(some: list[int]) -> float:
        examples, networks = begin(task, recipe, some, part.device)
        batches = examples.batches()
        for _ in range(3):
            networks.step(*next(batches))
        return seconds_of(part.device, steps, lambda: networks.step(*next(batches)))

    together, one = seconds(seeds), seconds(seeds[:1])
    part.numbers |= {"seconds_together": together, "seconds_of_one": one}
    part.numbers["times_as_fast"] = n_seeds * one / together
    among = trained(task, recipe, seeds, steps, part.device)
    few = seeds[:3]
    alone = [trained(task, recipe, [seed], steps, part.device)[0] for seed in few]
    part.at_most(
        "off the same networks alone",
        max(apart(among[seed], alone[seed]) for seed in few),
        1e-3,
        control=apart(among[1], alone[0]),
    )

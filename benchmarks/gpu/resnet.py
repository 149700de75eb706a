"""Part 4: how many images a ResNet-18 trains on in a second, by precision; and that it learns."""

from __future__ import annotations

import dataclasses
import math
import statistics

from benchmarks.gpu.checks import Part
from benchmarks.gpu.runs import begin, images, seconds_of
from training_maps.training.devices import use_precision
from training_maps.training.networks import measured
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task, make_task

# Images a second in bfloat16 on a GPU of the H100's class.
AT_LEAST = 20_000


def run(part: Part) -> None:
    """Time steps in float32, tf32 and bfloat16, plain and compiled."""
    batch = 4 if part.toy else 256
    shape = (3, 32, 32)
    task = make_task("cifar", {"dataset": images(shape, 5 * batch if part.toy else 20 * batch)})
    recipe = Recipe("adamw", learning_rate=1e-3, weight_decay=0.01, batch_size=batch)
    settings = {
        name: dataclasses.replace(recipe, precision=name)
        for name in ("float32", "tf32", "bfloat16")
    }
    settings["bfloat16, compiled"] = dataclasses.replace(recipe, precision="bfloat16", compile=True)
    if part.toy:
        settings = {"float32": settings["float32"]}
    speeds = {name: _images_a_second(part, task, one) for name, one in settings.items()}
    part.numbers |= {f"images_per_s, {name}": speed for name, speed in speeds.items()}
    what = "ResNet-18, bfloat16: images a second"
    if part.toy:
        part.skip(what, "a toy size tells nothing of speed")
    else:
        part.at_least(what, speeds["bfloat16"], AT_LEAST, control=speeds["bfloat16"] / 100)
    if part.toy:  # a ResNet takes too many steps to learn there
        digits = images((28, 28), 160)
        task = make_task("mnist", {"dataset": digits, "model": "lenet5", "batch_norm": True})
        recipe = dataclasses.replace(recipe, batch_size=16)
        _learns(part, "LeNet-5", task, recipe, steps=40, limit=0.9)
    else:
        _learns(part, "ResNet-18", task, settings["bfloat16"], steps=100, limit=0.5)


def _images_a_second(part: Part, task: Task, recipe: Recipe) -> float:
    """The median of five windows, after steps that are not counted."""
    use_precision(recipe.precision)
    examples, networks = begin(task, recipe, [0], part.device)
    batches = examples.batches()
    steps, windows = (1, 2) if part.toy else (20, 5)
    for _ in range(1 if part.toy else 10):
        networks.step(*next(batches))
    times = [
        seconds_of(part.device, steps, lambda: networks.step(*next(batches)))
        for _ in range(windows)
    ]
    return steps * recipe.batch_size / statistics.median(times)


def _learns(part: Part, name: str, task: Task, recipe: Recipe, *, steps: int, limit: float) -> None:
    """The loss on images that are trained on falls below chance's; without learning it does not."""
    chance = math.log(10)

    def loss_left(learning_rate: float) -> float:
        own = dataclasses.replace(recipe, learning_rate=learning_rate)
        examples, networks = begin(task, own, [0], part.device)
        batches = examples.batches()
        for _ in range(steps):
            networks.step(*next(batches))
        pieces = examples.part("train", networks.evaluation_batch, 2 * recipe.batch_size)
        return float(measured(networks, pieces)[0][0]) / chance

    # The planted fault takes steps of nearly nothing.
    what = f"{name}: loss after {steps} steps, of that by chance"
    part.at_most(what, loss_left(1e-3), limit, control=loss_left(1e-12))

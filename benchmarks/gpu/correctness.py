"""Part 1: the device trains what a plain loop in float64 on a CPU trains."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from tests.support.small_networks import STACKED, small_task

from benchmarks.gpu.checks import Part
from benchmarks.gpu.runs import (
    Tensors,
    apart,
    begin,
    images,
    norm,
    parities,
    plain_float64,
    trained,
)
from training_maps.training.random_streams import Streams
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task, make_task

SEEDS = [0, 1, 2]
RECIPE = Recipe("sgd", learning_rate=0.05, weight_decay=0.001, batch_size=32)
LIMITS = {"float32": 1e-4, "tf32": 1e-2, "bfloat16": 1e-2}
# What a stack, its trace or the optimiser has got wrong before, or may.
NETWORKS = ("einsum", "transposed_parameter", "tied", "frozen", "grouped", "lstm", "layer_norm")


def run(part: Part) -> None:
    """Compare tasks, kinds of networks, starts, orders and augmentation."""
    tasks = _tasks(part)
    for name, task in tasks.items():
        _compare(part, name, task, 5 if part.toy else 50)
    names = NETWORKS[:3] if part.toy else [*NETWORKS, *(n for n in STACKED if "attention" in n)]
    for name in names:
        task = small_task(name, side_by_side=True)
        recipe = dataclasses.replace(RECIPE, batch_size=8)
        _compare_precision(part, f"network {name}", task, recipe, 6 if part.toy else 50)
    _same_start(part, tasks["sparse_parities"])
    _same_augmentation(part)


def _tasks(part: Part) -> dict[str, Task]:
    digits = images((28, 28), 100 if part.toy else 1000)
    sums = {"modulus": 7 if part.toy else 31, "d_model": 16 if part.toy else 64}
    tasks = {
        "sparse_parities": parities(n_train=200),
        "modular_addition": make_task("modular_addition", sums | {"train_share": 0.6}),
        "mnist, mlp": make_task("mnist", {"dataset": digits, "hidden_size": 64}),
        "mnist, lenet5 with batch norm": make_task(
            "mnist", {"dataset": digits, "model": "lenet5", "batch_norm": True}
        ),
    }
    if not part.toy:
        pictures = images((3, 32, 32), 320)
        tasks["cifar, ResNet-18"] = make_task("cifar", {"dataset": pictures})
    return tasks


def _compare(part: Part, name: str, task: Task, steps: int) -> None:
    """One task in every precision that it can have."""
    precisions = ["float32"] if not part.on_gpu else ["float32", "tf32"]
    if not task.side_by_side:
        precisions.append("bfloat16")
    steps = min(steps, 10) if "ResNet" in name else steps
    for precision in precisions:
        recipe = dataclasses.replace(RECIPE, precision=precision)
        _compare_precision(part, name, task, recipe, steps)


def _compare_precision(part: Part, name: str, task: Task, recipe: Recipe, steps: int) -> None:
    allowed = recipe.precision != "float32"
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
    seeds = SEEDS[:1] if "ResNet" in name or part.toy else SEEDS
    worst, control = 0.0, 0.0
    for seed, found in zip(seeds, trained(task, recipe, seeds, steps, part.device), strict=True):
        start, twin = plain_float64(task, recipe, seed, steps)
        worst = max(worst, apart(_floats(found), _floats(twin)))
        # The fault that is planted: the network of another seed.
        other = plain_float64(task, recipe, seed + 100, 1)[1]
        control = max(control, apart(_floats(other), _floats(twin)))
        part.numbers[f"{name}: change in training"] = norm(
            {n: v - start[n] for n, v in _floats(twin).items()}
        ) / norm(_floats(start))
    what = f"{name}, {recipe.precision}: off a plain loop in float64"
    part.at_most(what, worst, LIMITS[recipe.precision], control=control)


def _floats(tensors: Tensors) -> Tensors:
    return {name: v for name, v in tensors.items() if np.issubdtype(v.dtype, np.floating)}


def _same_start(part: Part, task: Task) -> None:
    """The device starts from the CPU's networks, and sees its batches."""
    there, _ = begin(task, RECIPE, SEEDS, part.device)
    here, _ = begin(task, RECIPE, SEEDS, "cpu")
    others, _ = begin(task, RECIPE, [seed + 100 for seed in SEEDS], "cpu")
    batches = [next(examples.batches()) for examples in (there, here, others)]
    (found, wanted), control = (b[0].cpu() for b in batches[:2]), batches[2][0]
    part.holds(
        "the first batch is the CPU's, to the bit",
        torch.equal(found, wanted),
        control=torch.equal(control, wanted),
    )
    start = trained(task, RECIPE, SEEDS, 0, part.device)
    same = trained(task, RECIPE, SEEDS, 0, "cpu")
    other = trained(task, RECIPE, [seed + 100 for seed in SEEDS], 0, "cpu")
    equal = [
        all(np.array_equal(a[n], b[n]) for a, b in zip(start, them, strict=True) for n in a)
        for them in (same, other)
    ]
    part.holds("networks start as on the CPU, to the bit", equal[0], control=equal[1])


def _same_augmentation(part: Part) -> None:
    """Crops and flips on the device are the CPU's, to the bit."""
    task = make_task("cifar", {"dataset": "unused.npz"})
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (64, 3, 32, 32), dtype=np.uint8))
    draws, others = (
        torch.from_numpy(task.augmentation(Streams(seed).augmentation, 64)) for seed in (0, 1)
    )
    found = task.augment(pixels.to(part.device), draws.to(part.device)).cpu()
    wrong = task.augment(pixels, others)
    wanted = task.augment(pixels, draws)
    part.holds(
        "augmentation is the CPU's, to the bit",
        torch.equal(found, wanted),
        control=torch.equal(wrong, wanted),
    )

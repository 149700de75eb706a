"""What the parts train: tasks on made-up data, and plain loops in float64 to hold them against."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from training_maps.training.examples import Examples
from training_maps.training.loop import make_networks
from training_maps.training.networks import Networks
from training_maps.training.random_streams import Streams
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task, make_task

Tensors = dict[str, np.ndarray]


def images(shape: tuple[int, ...], n: int, n_classes: int = 10, noise: int = 120) -> str:
    """The path of an .npz of pictures, random but for a bright patch that tells the class."""
    rng = np.random.default_rng(0)

    def some(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(n) % n_classes
        pixels = rng.integers(0, noise, (n, *shape))
        for picture, label in zip(pixels, labels, strict=True):
            picture[..., label : label + 8, label : label + 8] += 255 - noise
        return pixels.astype(np.uint8), labels

    (train, train_labels), (held, held_labels) = some(n), some(max(10, n // 10))
    path = Path(tempfile.mkdtemp(prefix="training-maps-gpu-")) / "images.npz"
    np.savez(
        path, train_images=train, train_labels=train_labels, eval_images=held,
        eval_labels=held_labels,
    )  # fmt: skip
    return str(path)


def begin(task: Task, recipe: Recipe, seeds: list[int], device: str) -> tuple[Examples, Networks]:
    """The examples and networks of some seeds, as training begins with them."""
    streams = [Streams(seed) for seed in seeds]
    examples = Examples(task, streams, recipe.batch_size, device)
    return examples, make_networks(task, streams, recipe, device)


def trained(task: Task, recipe: Recipe, seeds: list[int], steps: int, device: str) -> list[Tensors]:
    """Each seed's tensors after some steps, by the package's own means."""
    groups = [seeds] if task.side_by_side else [[seed] for seed in seeds]
    found = []
    for group in groups:
        examples, networks = begin(task, recipe, group, device)
        batches = examples.batches()
        for _ in range(steps):
            networks.step(*next(batches))
        tensors = {name: value.cpu().numpy() for name, value in networks.tensors().items()}
        found += [{n: np.array(v[row]) for n, v in tensors.items()} for row in range(len(group))]
    return found


def plain_float64(task: Task, recipe: Recipe, seed: int, steps: int) -> tuple[Tensors, Tensors]:
    """One network's tensors before and after a plain loop in float64 on the CPU, by SGD."""
    streams = Streams(seed)
    data = task.data(np.random.default_rng(0) if task.shared_data else streams.data)
    network = streams.initialise(task).double()
    optimizer = torch.optim.SGD(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    inputs, targets = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_targets)
    if data.mean is not None and data.std is not None:
        mean, std = (torch.from_numpy(np.asarray(x, np.float64)) for x in (data.mean, data.std))
    before = copied(network)
    done = 0
    while done < steps:
        order = torch.from_numpy(streams.batches.permutation(len(inputs)))
        draws = task.augmentation(streams.augmentation, len(inputs))
        for rows in order.split(recipe.batch_size)[: steps - done]:
            batch = inputs[rows]
            if draws is not None:
                first = done % -(-len(inputs) // recipe.batch_size) * recipe.batch_size
                batch = task.augment(batch, torch.from_numpy(draws[first : first + len(rows)]))
            if data.mean is not None:
                batch = (batch.double() - mean) / std
            batch = batch.double() if batch.is_floating_point() else batch
            wanted = targets[rows].double() if targets.is_floating_point() else targets[rows]
            optimizer.zero_grad()
            task.loss(network(batch), wanted).backward()
            optimizer.step()
            done += 1
    return before, copied(network)


def copied(network: torch.nn.Module) -> Tensors:
    """A network's tensors, tied ones once, as copies."""
    own = dict(network.named_parameters()) | dict(network.named_buffers())
    return {name: value.detach().numpy().copy() for name, value in own.items()}


def apart(found: Tensors, twin: Tensors) -> float:
    """How far two networks are from each other: of the L2 norm of all tensors together."""
    differences = [np.linalg.norm(np.float64(found[name]) - value) for name, value in twin.items()]
    return float(np.linalg.norm(differences) / norm(twin))


def norm(tensors: Tensors) -> float:
    """The L2 norm of all tensors together."""
    return float(np.linalg.norm([np.linalg.norm(np.float64(v)) for v in tensors.values()]))


def parities(**settings: int) -> Task:
    """A task of small perceptrons."""
    return make_task("sparse_parities", settings)


def synchronise(device: str) -> None:
    """Wait until the device has done what it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds_of(device: str, steps: int, step: object) -> float:
    """How long some steps take, the device waited for before and after."""
    synchronise(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()  # type: ignore[operator]
    synchronise(device)
    return time.perf_counter() - start

"""The independent second opinion on training: one network, as PyTorch's tutorials train it."""

import numpy as np
import torch

from training_maps.training.examples import Examples
from training_maps.training.loop import make_networks
from training_maps.training.random_streams import Streams


def alone(task, seed, recipe):
    """The streams, network and optimizer of `seed`, and its training inputs and targets."""
    streams = Streams(seed)
    data = task.data(np.random.default_rng(0) if task.shared_data else streams.data)
    network = streams.initialise(task)
    optimizer = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[recipe.optimizer](
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    inputs, targets = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_targets)
    if data.mean is not None:
        inputs = (inputs.float() - torch.from_numpy(data.mean)) / torch.from_numpy(data.std)
    return streams, network, optimizer, inputs, targets


def plain_loop(task, seed, recipe, n_epochs, loss):
    """Train the network of `seed` alone; `loss(outputs, targets)` is not the task's own.

    Returns:
        Its parameters by name, as arrays.
    """
    streams, network, optimizer, inputs, targets = alone(task, seed, recipe)
    for _ in range(n_epochs):
        order = torch.from_numpy(streams.batches.permutation(len(inputs)))
        for batch in order.split(recipe.batch_size):
            optimizer.zero_grad()
            loss(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    return {name: value.detach().numpy() for name, value in network.state_dict().items()}


def begin(task, recipe, seeds):
    """The examples and the networks of `seeds`, as training begins with them."""
    streams = [Streams(seed) for seed in seeds]
    examples = Examples(task, streams, recipe.batch_size, "cpu")
    return examples, make_networks(task, streams, recipe, "cpu")


def train_epochs(task, recipe, seeds, n_epochs):
    """Train the networks of `seeds` by the project's own means: each seed's arrays by name."""
    examples, networks = begin(task, recipe, seeds)
    batches = examples.batches()
    for _ in range(n_epochs * examples.steps_per_epoch):
        networks.step(*next(batches))
    tensors = {name: value.numpy() for name, value in networks.tensors().items()}
    return {
        seed: {name: np.array(value[row]) for name, value in tensors.items()}
        for row, seed in enumerate(seeds)
    }

"""The independent second opinion on training: one network, as PyTorch's tutorials train it."""

import torch

from training_maps.training import Streams


def plain_loop(task, seed, recipe, n_epochs, loss):
    """Train the network of `seed` alone; `loss(outputs, targets)` is not the task's own.

    Returns:
        Its parameters by name, as arrays.
    """
    streams = Streams(seed)
    data = task.data(streams.data)
    network = streams.initialise(task)
    optimizer = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[recipe.optimizer](
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    inputs, targets = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_targets)
    for _ in range(n_epochs):
        order = torch.from_numpy(streams.batches.permutation(len(inputs)))
        for batch in order.split(recipe.batch_size):
            optimizer.zero_grad()
            loss(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    return {name: value.detach().numpy() for name, value in network.named_parameters()}

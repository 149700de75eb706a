"""Training forty sparse-parity networks: side by side against one after another.

The plain loop is what one writes without this software: one network, shuffled batches as slices of
tensors, `loss.backward()`, `optimizer.step()`. The loader loop takes the same batches from a
`torch.utils.data.DataLoader`, item by item, as most tutorials do. All train the same networks for
the same number of epochs and evaluate as often.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import median_seconds, print_table, versions
from training_maps.tasks import make_task
from training_maps.training import Recipe, Streams, train

N_SEEDS = 40
N_PLAIN = 4  # networks that the plain loops train; a loop's time is proportional to their number
N_EPOCHS = 200
EVERY = 10
TASK = make_task("sparse_parities", {})
RECIPE = Recipe("sgd", 0.1, 0.01, 32, length=N_EPOCHS, checkpoint_every=EVERY)


def plain(seed: int, loader: bool = False) -> None:
    """Train one network as a tutorial would."""
    streams = Streams(seed)
    data = TASK.data(streams.data)
    network = streams.initialise(TASK)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.01)
    inputs, targets = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_targets)
    held_out = torch.from_numpy(data.eval_inputs), torch.from_numpy(data.eval_targets)
    batches = DataLoader(TensorDataset(inputs, targets), batch_size=32, shuffle=True)

    def evaluate() -> None:
        with torch.no_grad():
            for part in ((inputs, targets), held_out):
                TASK.loss(network(part[0]), part[1]).item()

    def shuffled():
        for rows in torch.randperm(len(inputs)).split(32):
            yield inputs[rows], targets[rows]

    evaluate()
    for epoch in range(1, N_EPOCHS + 1):
        for x, y in batches if loader else shuffled():
            optimizer.zero_grad()
            TASK.loss(network(x), y).backward()
            optimizer.step()
        if epoch % EVERY == 0:
            evaluate()


def side_by_side() -> None:
    """Train all networks at once, checkpoints written and all."""
    with tempfile.TemporaryDirectory() as folder:
        train(TASK, "sparse_parities", RECIPE, range(N_SEEDS), Path(folder), device="cpu")


def timed(seeds: range, loader: bool) -> float:
    """Seconds a network that the plain loop takes."""
    start = time.perf_counter()
    for seed in seeds:
        plain(seed, loader)
    return (time.perf_counter() - start) / len(seeds)


def main() -> None:
    """Time all three, in turn, and print a line for each number of threads."""
    rows = []
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        ours = median_seconds(side_by_side, repeats=3) / N_SEEDS
        loop = timed(range(N_PLAIN), loader=False)
        loader = timed(range(1), loader=True)
        rows.append(
            [threads, f"{ours:.3f}", f"{loop:.2f}", f"{loop / ours:.1f}", f"{loader:.2f}",
             f"{loader / ours:.1f}"]
        )  # fmt: skip
    print(
        f"{N_SEEDS} networks side by side, checkpoints written, against {N_PLAIN} in a plain loop "
        f"and 1 with a DataLoader; {N_EPOCHS} epochs of 32 steps; {versions('torch', 'numpy')}\n"
    )
    print_table(
        ["threads", "side by side, s a network", "plain loop, s a network", "ratio",
         "DataLoader loop, s a network", "ratio"],
        rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()

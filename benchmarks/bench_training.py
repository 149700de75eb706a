"""Training many networks: with this software against the loops that people write.

The *plain loop* trains one network after another: shuffled batches as slices of tensors,
`loss.backward()`, `optimizer.step()`. The *published way* is that of the paper's code: a
`torch.utils.data.DataLoader` that takes one example at a time, the loss and the number of right
answers fetched after every step, evaluation batch by batch; for modular addition a transformer that
computes all three positions, and for MNIST digits that are images until they are made tensors, one
by one, as torchvision's data set and its `ToTensor` do. The plain loop trains the network as it is
written down: of modular addition, the transformer without tables. All use float32 and evaluate as
often; only ours also measures the loss on training examples, and writes checkpoints. A loop's time
is proportional to the number of its networks, so that it is timed on one.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks import print_table, versions
from training_maps.training.loop import Recording, train
from training_maps.training.models.transformer import Transformer
from training_maps.training.random_streams import Streams
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import Task, make_task

REPEATS = 3
# Times that a plain loop is to take.
GOALS = {"modular addition": 1.7, "modular addition, stabilised": 1.7, "MNIST": 1.5}
# Of ours alone: the loops to compare with are on the CPU.
DEVICE = os.environ.get("TRAINING_MAPS_BENCH_DEVICE", "cpu")


@dataclasses.dataclass(frozen=True)
class Case:
    """A setting: how many of its networks train side by side, and for how long here."""

    name: str
    task: Task
    recipe: Recipe
    n_seeds: int
    plain_network: Callable[[], nn.Module] | None = None
    published_network: Callable[[], nn.Module] | None = None


class PublishedTransformer(nn.Module):
    """The one-layer transformer as it is usually written: every position, by einsum."""

    def __init__(
        self,
        vocabulary: int = 114,
        d: int = 128,
        heads: int = 4,
        width: int = 32,
        layer_norm: bool = False,
    ) -> None:
        """Make random parameters."""
        super().__init__()

        def normal(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape) / d**0.5)

        self.embed, self.positions = normal(d, vocabulary), normal(3, d)
        self.key, self.query, self.value = (normal(heads, width, d) for _ in range(3))
        self.output = normal(d, heads * width)
        self.w_in, self.b_in = normal(4 * d, d), nn.Parameter(torch.zeros(4 * d))
        self.w_out, self.b_out = normal(d, 4 * d), nn.Parameter(torch.zeros(d))
        self.unembed = normal(d, vocabulary)
        self.norms = nn.ModuleList(
            nn.LayerNorm(d) if layer_norm else nn.Identity() for _ in range(2)
        )
        self.register_buffer("mask", torch.tril(torch.ones(3, 3)))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits at the last position: (batch, 3) tokens to (batch, vocabulary)."""
        x = torch.einsum("dbp->bpd", self.embed[:, tokens]) + self.positions
        k, q, v = (
            torch.einsum("ihd,bpd->biph", matrix, x)
            for matrix in (self.key, self.query, self.value)
        )
        scores = torch.einsum("biph,biqh->biqp", k, q) - 1e10 * (1 - self.mask)
        pattern = (scores / k.shape[-1] ** 0.5).softmax(-1)
        read = torch.einsum("biph,biqp->bqih", v, pattern).flatten(2)
        x = self.norms[0](x + torch.einsum("df,bqf->bqd", self.output, read))
        hidden = torch.relu(torch.einsum("md,bpd->bpm", self.w_in, x) + self.b_in)
        x = self.norms[1](x + torch.einsum("dm,bpm->bpd", self.w_out, hidden) + self.b_out)
        return (x @ self.unembed)[:, -1]


def cases(folder: Path) -> list[Case]:
    """The settings of the paper whose networks train side by side."""
    rng = np.random.default_rng(0)
    digits = folder / "digits.npz"  # of MNIST's size; what is on them takes no time
    np.savez(
        digits,
        train_images=rng.integers(0, 256, (60_000, 28, 28), dtype=np.uint8),
        train_labels=rng.permutation(60_000) % 10,
        eval_images=rng.integers(0, 256, (10_000, 28, 28), dtype=np.uint8),
        eval_labels=rng.permutation(10_000) % 10,
    )
    sums = {"learning_rate": 1e-3, "weight_decay": 1.0, "length": 60}
    return [
        Case(
            "sparse parities",
            make_task("sparse_parities", {}),
            Recipe("sgd", 0.1, 0.01, 32, length=200),
            40,
        ),
        Case(
            "modular addition",
            make_task("modular_addition", {}),
            Recipe("adamw", batch_size=2048, **sums),
            8,
            functools.partial(Transformer, 114, 3),
            PublishedTransformer,
        ),
        Case(
            "modular addition, stabilised",
            make_task("modular_addition", {"layer_norm": True}),
            Recipe("adamw", batch_size=256, **sums),
            8,
            functools.partial(Transformer, 114, 3, layer_norm=True),
            functools.partial(PublishedTransformer, layer_norm=True),
        ),
        Case(
            "MNIST",
            make_task("mnist", {"dataset": str(digits)}),
            Recipe(
                "adamw", 1e-3, 1.0, 256, "step", 200, 20, train_examples_evaluated=2_000
            ),
            4,
        ),
    ]  # fmt: skip


def ours(case: Case) -> None:
    """Train all networks of a case at once, checkpoints and logs written."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Recording(Path(folder))
        train(case.task, "benchmark", case.recipe, range(case.n_seeds), recording, device=DEVICE)


def one_network(case: Case, published: bool) -> None:
    """Train one network of a case in a loop."""
    streams = Streams(0)
    data = case.task.data(streams.data)
    network = streams.initialise(case.task)
    make_network = case.published_network if published else case.plain_network
    if make_network is not None:
        network = make_network()
    kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[case.recipe.optimizer]
    optimizer = kind(
        network.parameters(), lr=case.recipe.learning_rate, weight_decay=case.recipe.weight_decay
    )
    parts = {}
    for part in ("train", "eval"):
        inputs = torch.from_numpy(getattr(data, f"{part}_inputs"))
        if data.mean is not None:
            inputs = (inputs.float() - torch.from_numpy(data.mean)) / torch.from_numpy(data.std)
        parts[part] = (inputs, torch.from_numpy(getattr(data, f"{part}_targets")))
    make_batches = loader if published else slices
    step = 0
    while True:
        for x, y in make_batches(parts["train"], case.recipe.batch_size, True):
            optimizer.zero_grad()
            outputs = network(x)
            loss = case.task.loss(outputs, y)
            loss.backward()
            optimizer.step()
            if published:
                loss.item(), case.task.correct(outputs, y).sum().item()
            step += 1
            if case.recipe.unit == "step" and step % case.recipe.checkpoint_every == 0:
                evaluate(case, network, make_batches(parts["eval"], 2048, False))
                if step == case.recipe.length:
                    return
        epoch = step // -(-len(parts["train"][0]) // case.recipe.batch_size)
        if case.recipe.unit == "epoch" and epoch % case.recipe.checkpoint_every == 0:
            evaluate(case, network, make_batches(parts["eval"], 2048, False))
            if epoch == case.recipe.length:
                return


@torch.no_grad()
def evaluate(case: Case, network: nn.Module, batches) -> None:
    """Loss and accuracy on the examples held out."""
    for x, y in batches:
        outputs = network(x)
        case.task.loss(outputs, y).item(), case.task.correct(outputs, y).sum().item()


class PublishedDigits(Dataset):
    """Digits as torchvision hands them out: a picture each, then a tensor from 0 to 1, flat."""

    def __init__(self, part: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Keep the pixels in uint8."""
        self.pixels = (part[0] * 255).round().to(torch.uint8).unflatten(1, (28, 28))
        self.labels = part[1]

    def __len__(self) -> int:
        """How many digits there are."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """One digit and its label."""
        picture = Image.fromarray(self.pixels[index].numpy())
        pixels = torch.from_numpy(np.array(picture)).view(28, 28, 1).permute(2, 0, 1).contiguous()
        return torch.flatten(pixels.to(torch.float32).div(255)), int(self.labels[index])


def loader(part: tuple[torch.Tensor, torch.Tensor], size: int, shuffle: bool):
    """Batches that a DataLoader collates from one example at a time."""
    examples = PublishedDigits(part) if part[0].shape[-1] == 784 else TensorDataset(*part)
    return DataLoader(examples, batch_size=size, shuffle=shuffle)


def slices(part: tuple[torch.Tensor, torch.Tensor], size: int, shuffle: bool):
    """Batches as slices of the whole tensors."""
    n = len(part[0])
    for rows in (torch.randperm(n) if shuffle else torch.arange(n)).split(size):
        yield part[0][rows], part[1][rows]


def seconds(function: Callable[..., None], *arguments: object) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main() -> None:
    """Time all three ways in turn, several times, and print medians for each setting."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder)):
            times: dict[str, list[float]] = {"ours": [], "plain": [], "published": []}
            short = dataclasses.replace(case.recipe, length=1, checkpoint_every=1)
            ours(dataclasses.replace(case, recipe=short))  # the first call imports and traces
            for _ in range(REPEATS):
                times["ours"].append(seconds(ours, case) / case.n_seeds)
                times["plain"].append(seconds(one_network, case, False))
                times["published"].append(seconds(one_network, case, True))
            ours_, plain, published = (statistics.median(some) for some in times.values())
            rows.append(
                [case.name, case.n_seeds, f"{case.recipe.length} {case.recipe.unit}s",
                 f"{ours_:.3g}", f"{plain:.3g}", f"{plain / ours_:.1f}",
                 GOALS.get(case.name, ""), f"{published:.3g}",
                 f"{published / ours_:.1f}"]
            )  # fmt: skip
    print(
        "Seconds a network (medians of "
        f"{REPEATS}), {torch.get_num_threads()} threads, ours on {DEVICE}; "
        f"{versions('torch', 'numpy')}\n"
    )
    print_table(
        ["setting", "side by side", "length", "ours", "plain loop", "ratio", "goal",
         "published way", "ratio"],
        rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()

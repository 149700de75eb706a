"""Progress measures of modular addition, from the checkpoints of its runs (Nanda et al. 2023).

    python -m tools.progress_measures results/modular_addition

writes `reference/modular_addition/progress.parquet`: for each run and checkpoint what a network
that adds by trigonometry shows on its way there. Such a network answers with waves
cos(w(a + b - c)) of a few *key frequencies* w = 2 pi k / p; here, those that carry at least
`KEY_SHARE` of the waves' power in a run's last checkpoint.

- `loss`: the network's own, over all sums. (The logit of "=" is left out, of all losses here; once
  training has begun it is tiny.)
- `restricted_loss`: the loss over all sums if of the logits only their mean over sums and the waves
  of the key frequencies in a + b are kept. It falls as the circuit forms.
- `excluded_loss`: the loss over the sums trained on if these waves alone are taken away. It falls
  while a network memorises, and rises as it comes to rest on the circuit instead.
- `key_share`: the share of the key frequencies in the power of all waves in a + b.
- `embedding_gini`: the Gini coefficient of the embedding's norm over frequencies: 0 if all are as
  strong, near 1 if few are there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from tools.reference_data import REFERENCE

from training_maps.training.random_streams import Streams
from training_maps.training.tasks.modular_addition import ModularAddition
from training_maps.utils.files import replace_when_whole, table_metadata
from training_maps.utils.numbers import Floats
from training_maps.utils.progress import Progress

KEY_SHARE = 0.02
COLUMNS = ("loss", "restricted_loss", "excluded_loss", "key_share", "embedding_gini")


class Sums(NamedTuple):
    """All sums of two numbers below `modulus`: the first, the second, and which are trained on."""

    a: np.ndarray
    b: np.ndarray
    trained_on: np.ndarray

    @property
    def modulus(self) -> int:
        """What is added modulo."""
        return int(self.a.max()) + 1

    @property
    def answers(self) -> np.ndarray:
        """a + b modulo `modulus`: (n,)."""
        return (self.a + self.b) % self.modulus


def main() -> None:
    """Read the command line, and write the measures of all runs that have checkpoints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, help="folder of an experiment's results")
    parser.add_argument("--output", type=Path, default=REFERENCE / "modular_addition")
    parser.add_argument("--every", type=int, default=1, help="take every n-th checkpoint")
    arguments = parser.parse_args()
    runs = sorted(arguments.results.glob("runs/seed-*/checkpoints"), key=lambda at: seed_of(at))
    progress = Progress(len(runs), "run", "progress measures")
    tables = []
    for done, folder in enumerate(runs, start=1):
        tables.append(of_run(folder, arguments.every))
        progress.update(done)
    with replace_when_whole(arguments.output / "progress.parquet") as aside:
        pd.concat(tables, ignore_index=True).to_parquet(aside, compression="zstd", index=False)


def seed_of(checkpoints: Path) -> int:
    """The seed of the run whose folder of checkpoints this is."""
    return int(checkpoints.parent.name.removeprefix("seed-"))


def of_run(checkpoints: Path, every: int = 1) -> pd.DataFrame:
    """The measures of a run's checkpoints: `seed`, `step` and `COLUMNS`."""
    seed = seed_of(checkpoints)
    task = task_of(table_metadata(checkpoints.parent / "training_log.parquet"))
    files = {
        int(file.stem.removeprefix("step-")): file
        for file in checkpoints.glob("step-*.safetensors")
    }
    steps = sorted(files)
    sums = sums_of(task, seed)
    key = key_frequencies(sums, logits_of(task, load_file(files[steps[-1]]), sums))
    rows = []
    for step in [*steps[:-1:every], steps[-1]]:
        tensors = load_file(files[step])
        measures = measure(sums, logits_of(task, tensors, sums), key)
        spread = gini(embedding_power(tensors["embed"].double().numpy()[: sums.modulus]) ** 0.5)
        rows.append({"seed": seed, "step": step, **measures, "embedding_gini": spread})
    return pd.DataFrame(rows)


def task_of(recipe: Mapping[str, object]) -> ModularAddition:
    """The task that a run was trained on, from its log's record of how."""
    own = ("modulus", "train_share", "d_model", "n_heads", "d_head", "d_mlp", "layer_norm")
    return ModularAddition(**{name: recipe[name] for name in own})  # type: ignore[arg-type]


def sums_of(task: ModularAddition, seed: int) -> Sums:
    """All sums, those that the run of `seed` was trained on first, as its training drew them."""
    data = task.data(Streams(seed).data)
    inputs = np.concatenate([data.train_inputs, data.eval_inputs])
    trained_on = np.arange(len(inputs)) < len(data.train_inputs)
    return Sums(inputs[:, 0], inputs[:, 1], trained_on)


def logits_of(task: ModularAddition, tensors: Mapping[str, torch.Tensor], sums: Sums) -> Floats:
    """What a network with these parameters answers to each sum: (n, modulus)."""
    network = task.network()
    network.load_state_dict(dict(tensors))
    tokens = np.stack([sums.a, sums.b, np.full_like(sums.a, sums.modulus)], axis=1)
    with torch.no_grad():
        logits = network(torch.from_numpy(tokens))
    return np.asarray(logits[:, : sums.modulus].double().numpy())


def waves(sums: Sums, logits: Floats) -> np.ndarray:
    """Fourier coefficients in a + b of the logits: complex, (modulus // 2 + 1, modulus)."""
    means = np.zeros((sums.modulus, sums.modulus))
    np.add.at(means, sums.answers, logits / sums.modulus)  # each answer has `modulus` sums
    return np.fft.rfft(means, axis=0)


def key_frequencies(sums: Sums, logits: Floats, share: float = KEY_SHARE) -> np.ndarray:
    """The frequencies k >= 1 that carry at least `share` of the waves' power, ascending."""
    power = (np.abs(waves(sums, logits)[1:]) ** 2).sum(axis=1)
    return 1 + np.flatnonzero(power >= share * power.sum())


def measure(sums: Sums, logits: Floats, key: Iterable[int]) -> dict[str, float]:
    """The losses (nats), and the key frequencies' share of the waves' power."""
    coefficients = waves(sums, logits)
    kept = np.zeros_like(coefficients)
    kept[list(key)] = coefficients[list(key)]
    of_key = np.fft.irfft(kept, n=sums.modulus, axis=0)[sums.answers]
    mean = logits.mean(axis=0)
    power = (np.abs(coefficients[1:]) ** 2).sum()
    on = sums.trained_on
    return {
        "loss": loss(logits, sums.answers),
        "restricted_loss": loss(mean + of_key, sums.answers),
        "excluded_loss": loss((logits - of_key)[on], sums.answers[on]),
        "key_share": float((np.abs(kept[1:]) ** 2).sum() / power) if power else 0.0,
    }


def loss(logits: Floats, answers: np.ndarray) -> float:
    """Mean cross entropy, in nats."""
    largest = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - largest).sum(axis=1)) + largest[:, 0]
    return float((total - logits[np.arange(len(logits)), answers]).mean())


def embedding_power(embedding: Floats) -> Floats:
    """Power of each frequency k >= 1 in an embedding (modulus, width): (modulus // 2,)."""
    return (np.abs(np.fft.rfft(embedding, axis=0)[1:]) ** 2).sum(axis=1)


def gini(values: Floats) -> float:
    """The Gini coefficient of non-negative values: their mean absolute difference over 2 means."""
    ordered = np.sort(values)
    ranks = 2 * np.arange(1, len(ordered) + 1) - len(ordered) - 1
    return float(ranks @ ordered / (len(ordered) * ordered.sum()))


if __name__ == "__main__":
    main()

"""How well new runs are placed: every run of the reference data as if it were new.

One run is left out, the map's model is fitted to the others and calibrated on them, and the run is
placed on it: does it get a warning although it is like the others, is it told that it is slow, and
how good is the predicted time? Then trouble is planted into its metrics at a random step. The kind
of model and its number of states are those that the recommended method chooses on all runs
(reference/*/verdicts.json), or with --paper the paper's method, whose z-scores are of each run.
docs/new_runs.md tells what comes out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import print_table
from training_maps.analysis.semantics.outcomes import convergence_times, time_outcome
from training_maps.hmm.observations import observations
from training_maps.model_selection.fit import fit_hmm
from training_maps.placing.calibrate import Runs, reference_of
from training_maps.placing.place import NewRun, Placement, place_run
from training_maps.placing.reference import Reference
from training_maps.runs.tables import read_logs, read_metrics
from training_maps.settings.sections import Scale
from training_maps.utils.files import read_json

REFERENCE = Path(__file__).parents[1] / "reference"
# Evaluation accuracy beyond which a run has converged, in experiments/*.yaml.
THRESHOLDS = {"mnist_t10k": 0.97, "mnist_t10k_released": 0.97}
#: Shares of training at which the predicted time is judged.
SHARES = (0.1, 0.25, 0.5)
# How a metric grows with the weights: as their size to this power. The others do not.
POWERS = {
    "l1": 1, "l2": 1, "mean_w": 1, "median_w": 1, "var_w": 2, "mean_b": 1, "median_b": 1,
    "var_b": 2, "trace": 1, "lambda_max": 1, "mean_lambda": 1, "var_lambda": 2,
}  # fmt: skip
# Weight matrices of each task's network, of which one dies.
MATRICES = {"sparse_parities": 2, "mnist": 2, "modular_addition": 9}


@dataclass(frozen=True)
class Data:
    """A reference set: tables of metrics and logs by seed, and how it was trained."""

    name: str
    metrics: Mapping[int, pd.DataFrame]
    logs: Mapping[int, pd.DataFrame]
    recipe: Mapping[str, Any]
    n_states: int
    model: str
    scale: Scale

    @classmethod
    def read(cls, name: str, paper: bool = False) -> Data:
        """Read one."""
        folder = REFERENCE / name
        about = read_json(folder / "settings.json")
        chosen = read_json(folder / "verdicts.json")["recommended"]
        if paper:
            states = read_json(folder / "results.json")["n_states"]
            chosen = {"n_states": states, "model": "gaussian"}
        seeds = list(range(about["n_runs"]))
        return cls(
            name,
            dict(read_metrics(f"{folder}/metrics.parquet", seeds)),
            dict(read_logs(f"{folder}/training_log.parquet", seeds)),
            about["recipe"],
            chosen["n_states"],
            chosen["model"],
            "run" if paper else "pooled",
        )

    @property
    def threshold(self) -> float:
        """The evaluation accuracy beyond which a run has converged."""
        return THRESHOLDS.get(self.name, 0.9)

    def map_without(self, seed: int) -> Reference:
        """What runs are placed by on the map of all runs but one."""
        tables = {one: table for one, table in self.metrics.items() if one != seed}
        obs = observations(tables, scale=self.scale)
        hmm = fit_hmm(obs, self.n_states, model=self.model, restarts=2, random_state=0).hmm
        times = convergence_times({s: self.logs[s] for s in tables}, self.threshold)
        about = time_outcome(times, "eval_accuracy", self.threshold).to_dict()
        outcome = times.assign(outcome=times["step"].astype(float), censored=~times["converged"])
        return reference_of(
            Runs.of(obs, tables), hmm, {"experiment": self.name}, outcome=(about, outcome)
        )


def spike(table: pd.DataFrame, at: int, data: Data) -> pd.DataFrame:
    """A loss spike that stays: the weights are a third larger from then on."""
    return _scaled(table, np.where(np.arange(len(table)) >= at, 1.3, 1.0))


def dead_layer(table: pd.DataFrame, at: int, data: Data) -> pd.DataFrame:
    """One of the weight matrices is 0 from then on, and the means over matrices that much less."""
    matrices = next(n for task, n in MATRICES.items() if data.name.startswith(task))
    table = table.copy()
    columns = table.columns[1:]
    table.loc[table.index[at:], columns] *= 1 - 1 / matrices
    return table


def fast(table: pd.DataFrame, at: int, data: Data) -> pd.DataFrame:
    """A learning rate ten times too high: ten checkpoints' way from one checkpoint to the next."""
    rows = np.arange(len(table))
    rows[at:] = np.minimum(at + 10 * (rows[at:] - at), len(table) - 1)
    return table.iloc[rows].assign(step=table["step"].to_numpy()).reset_index(drop=True)


def no_decay(table: pd.DataFrame, at: int, data: Data) -> pd.DataFrame:
    """Weight decay off: the weights grow by what it took from them, up to e-fold."""
    recipe = data.recipe
    since = (table["step"] - table["step"].iloc[at]).clip(lower=0)
    grown = recipe["learning_rate"] * recipe["weight_decay"] * since
    return _scaled(table, np.exp(grown.clip(upper=1.0).to_numpy()))


def _scaled(table: pd.DataFrame, size: np.ndarray) -> pd.DataFrame:
    """The table with weights `size` (n,) times as large."""
    return table.assign(**{c: table[c] * size ** POWERS.get(c, 0) for c in table.columns[1:]})


TROUBLE = {
    "loss spike that stays": spike,
    "dead layer": dead_layer,
    "learning rate x 10": fast,
    "weight decay off": no_decay,
}


@dataclass(frozen=True)
class Found:
    """What is said of one run that was left out, and what came of it."""

    seed: int
    placed: Placement
    reference: Reference
    converged: int
    censored: bool
    caught: Mapping[str, int | None]


def placed(data: Data) -> Iterator[Found]:
    """Every run, placed on the map of the others, as it is and with trouble planted."""
    draw = np.random.default_rng(0)
    times = convergence_times(data.logs, data.threshold).set_index("seed")
    for seed, table in data.metrics.items():
        reference = data.map_without(seed)
        log = data.logs[seed]
        caught = {}
        for kind, plant in TROUBLE.items():
            at = int(draw.integers(len(table) // 10, len(table) * 8 // 10))
            rows = place_run(reference, NewRun(kind, plant(table, at, data), None)).table
            late = np.flatnonzero(rows["warning"].to_numpy()[at:])
            caught[kind] = int(late[0]) if len(late) else None
        row = times.loc[seed]
        yield Found(
            seed,
            place_run(reference, NewRun(f"seed {seed}", table, log)),
            reference,
            int(row["step"]),
            not row["converged"],
            caught,
        )


def warnings_row(found: Sequence[Found]) -> list[str]:
    """How many runs get any warning though they are as they were, which, and when first."""
    warned = [one for one in found if one.placed.first_warning is not None]
    named = ", ".join(
        f"{one.seed} ({one.placed.table['step'][one.placed.first_warning]})" for one in warned
    )
    rank = "ranks" if found[0].reference.usual.by_rank else "Student's t"
    return [f"{len(warned)} of {len(found)}", named or "none", rank]


def trouble_row(found: Sequence[Found]) -> list[str]:
    """Of each trouble the share that is caught, and how soon, in checkpoints."""
    cells = []
    for kind in TROUBLE:
        late = [one.caught[kind] for one in found if one.caught[kind] is not None]
        soon = f", {np.median(late):.0f}" if late else ""
        cells.append(f"{len(late) / len(found):.0%}{soon}")
    return cells


def slow_row(found: Sequence[Found]) -> list[str]:
    """How many slow runs are told, how long before they converge, and how many others are."""
    slow = [one for one in found if one.converged > one.reference.forecast.slow_after]
    others = [one for one in found if one.converged <= one.reference.forecast.slow_after]
    told = [one for one in slow if one.placed.slow_since is not None]
    wrong = sum(one.placed.slow_since is not None for one in others)
    leads = [_checkpoint(one, one.converged) - one.placed.slow_since for one in told]
    spare = [
        _checkpoint(one, one.converged) - _checkpoint(one, one.reference.forecast.slow_after)
        for one in slow
    ]
    lead = f"{np.median(leads):.0f} ({min(leads)} to {max(leads)})" if leads else "-"
    waiting = f"{np.median(spare):.0f}" if spare else "-"
    return [f"{len(told)} of {len(slow)}", lead, waiting, f"{wrong} of {len(others)}"]


def _checkpoint(one: Found, step: float) -> int:
    """The number of a run's first checkpoint at a step or later."""
    return int(np.searchsorted(one.placed.table["step"], step))


def time_rows(name: str, found: Sequence[Found], draw: np.random.Generator) -> list[list[str]]:
    """How good the predicted time is, at shares of training, of the runs not converged by then."""
    rows = []
    for share in SHARES:
        errors, plain, inside, widths = [], [], [], []
        for one in found:
            table = one.placed.table
            row = table.iloc[round(share * (len(table) - 1))]
            outcome = one.reference.forecast.outcome
            later = outcome[outcome > row["step"]]
            if one.converged <= row["step"] or len(later) < 5:
                continue
            scale = np.diff(table["step"]).min()
            errors.append(abs(row["predicted"] - one.converged) / scale)
            plain.append(abs(np.median(later) - one.converged) / scale)
            inside.append(row["predicted_low"] <= one.converged <= row["predicted_high"])
            widths.append((row["predicted_high"] - row["predicted_low"]) / scale)
        if len(errors) < 5:
            rows.append([name, f"{share:.0%}", len(errors), "-", "-", "-", "-"])
            continue
        errors, plain = np.array(errors), np.array(plain)
        skill = 1 - errors.mean() / plain.mean()
        drawn = draw.integers(len(errors), size=(2000, len(errors)))
        spread = 1 - errors[drawn].mean(axis=1) / np.maximum(plain[drawn].mean(axis=1), 1e-9)
        low, high = np.quantile(spread, [0.025, 0.975])
        rows.append(
            [name, f"{share:.0%}", len(errors), f"{errors.mean():.1f}, {plain.mean():.1f}",
             f"{skill:.2f} ({low:.2f} to {high:.2f})", f"{np.mean(inside):.0%}",
             f"{np.median(widths):.0f}"]
        )  # fmt: skip
    return rows


def main(names: Sequence[str]) -> None:
    """Print the tables of the reference sets named, or of all."""
    paper, names = "--paper" in names, [name for name in names if name != "--paper"]
    names = names or sorted(file.parent.name for file in REFERENCE.glob("*/settings.json"))
    draw = np.random.default_rng(0)
    warned, trouble, slow, times = [], [], [], []
    for name in names:
        begin = time.perf_counter()
        data = Data.read(name, paper)
        found = list(placed(data))
        warned.append([name, *warnings_row(found)])
        trouble.append([name, *trouble_row(found)])
        slow.append([name, *slow_row(found)])
        times += time_rows(name, found, draw)
        print(f"{name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    print_table(["reference set", "runs with any warning", "seed (step of the first)",
                 "limit by"], warned)  # fmt: skip
    print_table(["reference set", *(f"{kind}: caught, after" for kind in TROUBLE)], trouble)
    print_table(["reference set", "slow runs told", "checkpoints before converging: median, range",
                 "by waiting", "others called slow"], slow)  # fmt: skip
    print_table(["reference set", "of training", "runs left", "mean error, of the median",
                 "skill (95 %)", "in the 90 % interval", "its width"], times)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])

"""Observations: the runs' metrics as z-scored sequences, with runs set aside for validation.

Hu et al. 2023, section 2.1: every metric of every run is z-scored with the mean and standard
deviation of that run's first 1000 checkpoints, and 20 % of the runs (not of the checkpoints) are
held out for choosing the number of states.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training_maps.hmm.standards import Standards, common_standards
from training_maps.settings.sections import MetricsSettings, NonFinite, ObservationsSettings, Scale
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, read_table, table_metadata, write_table
from training_maps.utils.notes import Note, notes_from
from training_maps.utils.numbers import LARGEST_STEP, MISSING_SHARE
from training_maps.utils.seeds import first_seeds, named_seeds
from training_maps.utils.wording import plural

Split = Literal["train", "validation"]

POLICIES = ("stop", "drop", "cut")
# Columns that say which row it is and are never metrics.
BOOKKEEPING = ("seed", "step", "split", "epoch")


@dataclass(frozen=True)
class Observations:
    """What the hidden Markov model sees.

    Attributes:
        table: columns `seed`, `step`, `split` ("train" or "validation") and the z-scored metrics,
            sorted by seed and step; NaN where a metric is missing at a checkpoint.
        metrics: names of the d metric columns, in order.
        notes: what a reader must know of how the observations were made.
    """

    table: pd.DataFrame
    metrics: tuple[str, ...]
    notes: tuple[Note, ...] = ()

    @property
    def seeds(self) -> list[int]:
        """Seeds of all runs, ascending."""
        return sorted(int(seed) for seed in self.table["seed"].unique())

    @property
    def has_validation(self) -> bool:
        """Whether some runs are held out for validation."""
        return bool((self.table["split"] == "validation").any())

    def sequences(
        self, split: Split | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], list[int]]:
        """The runs' observations, concatenated by ascending seed, as hmmlearn takes them.

        Args:
            split: "train" or "validation" for those runs only; all runs if None.

        Returns:
            Observations (n, d), NaN where one is missing, the runs' lengths (which sum to n), and
            their seeds.
        """
        # Of plain arrays: fits ask so often that selecting from a table would tell in their cost.
        rows = slice(None) if split is None else self.table["split"].to_numpy() == split
        values = self.table[list(self.metrics)].to_numpy(dtype=np.float64)[rows]
        of_rows = self.table["seed"].to_numpy()[rows]
        found, lengths = np.unique(of_rows, return_counts=True)
        seeds = [int(seed) for seed in found]
        values = np.ascontiguousarray(values)
        lengths = lengths.astype(np.int64)
        return values, lengths, seeds

    @property
    def digest(self) -> str:
        """SHA-256 of seeds, steps, split, metric names and values: the same data, the same digest.

        Models carry it, so that a model is never read together with other observations.
        """
        digest = hashlib.sha256("\n".join(self.metrics).encode())
        for column in ("seed", "step"):
            digest.update(self.table[column].to_numpy().astype("<i8").tobytes())
        digest.update("".join(name[0] for name in self.table["split"]).encode())
        digest.update(self.table[list(self.metrics)].to_numpy().astype("<f8").tobytes())
        return digest.hexdigest()

    def save(self, path: str | os.PathLike[str], settings: Mapping[str, Any] | None = None) -> None:
        """Write the table as Parquet, with the notes and `settings` (what made it) as metadata."""
        notes = [note.to_dict() for note in self.notes]
        write_table(self.table, path, made_by(**(settings or {}), notes=notes))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Observations:
        """Read what `save` wrote.

        Raises:
            InputError: if the file is missing, broken, or holds no observations.
        """
        table = read_table(path, columns=("seed", "step", "split"))
        metrics = tuple(column for column in table.columns if column not in BOOKKEEPING)
        if not metrics or table.empty:
            raise InputError(
                f"{path}: holds no observations; make it with 'training-maps observations'"
            )
        values = table[list(metrics)]
        if not all(pd.api.types.is_numeric_dtype(kind) for kind in values.dtypes):
            raise InputError(f"{path}: has metric columns that are not numbers")
        if np.isinf(values.to_numpy(dtype=np.float64)).any():
            raise InputError(f"{path}: has infinite values; observations never do")
        table = table.sort_values(["seed", "step"], ignore_index=True)
        return cls(table, metrics, notes_from(table_metadata(path).get("notes", ()), path))


def observations(
    tables: Mapping[int, pd.DataFrame] | Sequence[pd.DataFrame],
    *,
    max_checkpoints: int = ObservationsSettings.max_checkpoints,
    min_checkpoints: int = ObservationsSettings.min_checkpoints,
    scale: Scale = ObservationsSettings.scale,
    validation_share: float = ObservationsSettings.validation_share,
    split_seed: int = ObservationsSettings.split_seed,
    metrics: Sequence[str] | None = None,
    non_finite: NonFinite = MetricsSettings.non_finite,
) -> Observations:
    """Z-score the metrics of many runs and split the runs into training and validation.

    Per run and metric: z = (x - mean) / (population standard deviation), over the run's first
    `max_checkpoints` checkpoints, which are also all that is kept. With `scale` "pooled", mean and
    standard deviation are common to all runs: the mean of the runs' means, and the root of the mean
    of their variances. A metric that is constant in a run becomes 0 there ("pooled": stays
    constant), and one that is constant in every run is dropped. Constant means a range of at most
    1e-12 of the largest absolute value, so that rounding noise is not blown up to unit variance.
    The result's notes say what was done to the data.

    A metric may be missing (NaN) at up to 10 % of a run's checkpoints: mean and standard deviation
    are then those of the others, and the models treat the missing entries as unknown.

    Args:
        tables: one table a run, by seed (a list: seeds 0, 1, ...), with `step`, strictly
            ascending, and the same metric columns; `seed` and `epoch` are no metrics. Where
            `attrs["non_finite"]` is `{"step": ..., "tensor": ...}`, the run reached a non-finite
            weight there and the table ends before it; `attrs["unreadable"]` has step and reason of
            each checkpoint that has no row because it could not be read.
        max_checkpoints: checkpoints kept of a run, from its first.
        min_checkpoints: a run with fewer is refused.
        scale: "run", as in the paper, or "pooled".
        validation_share: share of the runs held out, rounded down.
        split_seed: seed of the draw of the validation runs.
        metrics: columns to use, in this order; all if None.
        non_finite: what to do about a run with a non-finite weight: "stop" with an error, "drop"
            the run, or use the "cut" run up to there.

    Returns:
        The observations; all for training if the share gives no run (fewer than 5 at 20 %).

    Raises:
        InputError: if a table cannot be used (naming seed, step and column), or nothing is left.
    """
    _check_settings(max_checkpoints, min_checkpoints, validation_share, non_finite)
    notes: list[Note] = []
    kept = dict(_finite_runs(tables, non_finite, notes))
    columns = _metric_columns(kept, metrics)
    for seed, table in kept.items():
        _check_run(seed, table, columns, min_checkpoints)
    used = {seed: table.iloc[:max_checkpoints] for seed, table in kept.items()}
    notes += _unreadable_notes(used)
    notes += _missing_notes(used, columns)
    values = (run[columns].to_numpy(dtype=np.float64) for run in used.values())
    common = common_standards(list(values)) if scale == "pooled" else None
    scored = {seed: _z_scores(table, columns, common) for seed, table in used.items()}
    constant = {c: [s for s, (_, flat) in scored.items() if c in flat] for c in columns}
    varying = _varying_metrics(constant, len(kept), scale, notes)
    split = _split(list(kept), validation_share, split_seed, notes)
    notes += _beyond_notes(kept, max_checkpoints)
    runs = [run.assign(seed=seed, split=split[seed]) for seed, (run, _) in scored.items()]
    table = pd.concat(runs, ignore_index=True)[["seed", "step", "split", *varying]]
    return Observations(table, tuple(varying), tuple(notes))


def _check_settings(
    max_checkpoints: int, min_checkpoints: int, validation_share: float, non_finite: str
) -> None:
    if min_checkpoints < 2:
        raise InputError(f"min_checkpoints: {min_checkpoints} is too few; a run needs at least 2")
    if max_checkpoints < min_checkpoints:
        raise InputError(
            f"max_checkpoints: {max_checkpoints} is less than min_checkpoints, {min_checkpoints}"
        )
    if not 0 <= validation_share < 1:
        raise InputError(
            f"validation_share: {validation_share} is not a share from 0 to below 1; "
            "some runs must be left for training"
        )
    if non_finite not in POLICIES:
        raise InputError(f"non_finite: {non_finite!r} is not one of {', '.join(POLICIES)}")


def _finite_runs(
    tables: Mapping[int, pd.DataFrame] | Sequence[pd.DataFrame], policy: str, notes: list[Note]
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Runs to use, by ascending seed and the policy for those with a non-finite weight."""
    by_seed = dict(tables) if isinstance(tables, Mapping) else dict(enumerate(tables))
    for seed, table in [(int(seed), by_seed[seed]) for seed in sorted(by_seed)]:
        found = table.attrs.get("non_finite")
        if not found:
            yield seed, table
            continue
        where = f"seed {seed}: a non-finite weight at step {found['step']} ({found['tensor']})"
        if policy == "stop":
            raise InputError(
                f"{where}; set non_finite to 'drop' to leave such runs out, or to 'cut' to use "
                "them up to there"
            )
        if policy == "drop":
            notes.append(Note("run_left_out", f"{where}; the run is left out."))
            continue
        notes.append(Note("run_cut", f"{where}; the run is used up to there."))
        yield seed, table


def _metric_columns(tables: Mapping[int, pd.DataFrame], metrics: Sequence[str] | None) -> list[str]:
    """The metric columns all runs have: those asked for, or those of the first run."""
    if not tables:
        raise InputError("observations: no run is left; give at least one run of metrics")
    first_seed, first = next(iter(tables.items()))
    expected = [column for column in first.columns if column not in BOOKKEEPING]
    if metrics is not None:
        if not metrics or len(set(metrics)) < len(metrics):
            raise InputError(f"metrics: {list(metrics)} is empty or names a metric twice")
        expected = list(metrics)
    for seed, table in tables.items():
        has = [column for column in table.columns if column not in BOOKKEEPING]
        missing = [column for column in expected if column not in has]
        if missing:
            raise InputError(
                f"seed {seed}: has no metric {', '.join(missing)}; "
                f"it has {', '.join(map(str, has))}"
            )
        extra = [str(column) for column in has if column not in expected]
        if extra and metrics is None:
            raise InputError(
                f"seed {seed}: has metric {', '.join(extra)}, which seed {first_seed} has not; all "
                "runs need the same metrics (or choose some with 'metrics')"
            )
    if not expected:
        raise InputError(f"seed {first_seed}: the table has no metric columns")
    return expected


def _check_run(
    seed: int, table: pd.DataFrame, columns: Sequence[str], min_checkpoints: int
) -> None:
    """Refuse a run that is too short, out of order, or has values that are no finite numbers."""
    if "step" not in table.columns:
        raise InputError(f"seed {seed}: the table has no column 'step'")
    if len(table) < min_checkpoints:
        cut = "; it was cut at a non-finite weight, set non_finite to 'drop' to leave it out"
        raise InputError(
            f"seed {seed}: has {len(table)} checkpoints, and at least {min_checkpoints} are needed "
            f"(min_checkpoints){cut if table.attrs.get('non_finite') else ''}"
        )
    steps = _numbers(seed, table, "step")
    if (steps != np.floor(steps)).any() or (np.abs(steps) > LARGEST_STEP).any():
        raise InputError(f"seed {seed}: column 'step' has steps that are not whole numbers")
    for before, step in pairwise(steps):
        if step <= before:
            problem = "is there twice" if step == before else f"comes after step {before:.0f}"
            raise InputError(f"seed {seed}: step {step:.0f} {problem}; steps must ascend")
    for column in columns:
        _numbers(seed, table, column)


def _numbers(seed: int, table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """A column as float64, or an error that names the first step with an infinite value.

    A metric may be missing (NaN), a step may not.
    """
    try:
        values = table[column].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(f"seed {seed}: column '{column}' does not hold numbers") from error
    if column == "step":
        wrong, where, expected = ~np.isfinite(values), "", "a finite number"
    else:
        wrong, where = np.isinf(values), "step {step}, "
        expected = "a finite number, or NaN where the metric is missing"
    if wrong.any():
        first = int(wrong.argmax())
        where = where.format(step=table["step"].iloc[first])
        raise InputError(
            f"seed {seed}: {where}column '{column}' is {values[first]}; every value must be "
            f"{expected}"
        )
    return values


def _beyond_notes(tables: Mapping[int, pd.DataFrame], most: int) -> list[Note]:
    """A sentence on the runs that have more checkpoints than are used."""
    longer = {seed: len(table) for seed, table in tables.items() if len(table) > most}
    if not longer:
        return []
    return [
        Note(
            "checkpoints_beyond",
            f"Only the first {most:,} checkpoints of {plural(len(longer), 'run')} "
            f"({named_seeds(longer)}) are used, of up to {max(longer.values()):,} "
            "(max_checkpoints).",
        )
    ]


def _unreadable_notes(tables: Mapping[int, pd.DataFrame]) -> list[Note]:
    """A sentence on every run that has no rows for checkpoints that could not be read."""
    notes = []
    for seed, table in tables.items():
        left_out = table.attrs.get("unreadable") or []
        if left_out:
            steps = ", ".join(str(found["step"]) for found in left_out)
            notes.append(
                Note(
                    "unreadable_checkpoints",
                    f"seed {seed}: {len(left_out)} checkpoint{'' if len(left_out) == 1 else 's'} "
                    f"could not be read and {'is' if len(left_out) == 1 else 'are'} left out (step "
                    f"{steps}; the first because {left_out[0]['reason']}).",
                )
            )
    return notes


def _missing_notes(tables: Mapping[int, pd.DataFrame], columns: Sequence[str]) -> list[Note]:
    """A sentence on every metric that is missing somewhere; refuses one missing too often."""
    notes = []
    for column in columns:
        missing = {seed: table[column].isna().to_numpy() for seed, table in tables.items()}
        for seed, where in missing.items():
            if where.mean() > MISSING_SHARE:
                step = tables[seed]["step"].iloc[int(where.argmax())]
                raise InputError(
                    f"seed {seed}: metric {column} is missing at {where.sum()} of {len(where)} "
                    f"checkpoints, the first at step {step}; at most {MISSING_SHARE:.0%} may be "
                    "(leave the metric out with 'metrics', or the run; of tables of your own, "
                    "incomplete_steps: drop uses only the steps that have all metrics)"
                )
        seeds = [seed for seed, where in missing.items() if where.any()]
        if seeds:
            count = sum(int(where.sum()) for where in missing.values())
            notes.append(
                Note(
                    "missing_values",
                    f"Metric {column} is missing at {count} checkpoint{'' if count == 1 else 's'} "
                    f"(seeds {first_seeds(seeds)}); the model treats it as unknown there.",
                )
            )
    return notes


def _z_scores(
    table: pd.DataFrame, columns: Sequence[str], common: Standards | None
) -> tuple[pd.DataFrame, list[str]]:
    """One run's z-scores, with its steps; and the metrics that do not vary in it."""
    values = table[list(columns)].to_numpy(dtype=np.float64)
    standards = Standards.of(values)
    result = pd.DataFrame((common or standards).z_scores(values), columns=list(columns))
    result.insert(0, "step", table["step"].to_numpy().astype(np.int64))
    flat = np.isinf(standards.deviation)
    return result, [column for column, constant in zip(columns, flat, strict=True) if constant]


def _varying_metrics(
    constant: Mapping[str, Sequence[int]], n_runs: int, scale: Scale, notes: list[Note]
) -> list[str]:
    """Metrics that vary in some run; the notes tell of those that do not everywhere."""
    varying = [column for column, seeds in constant.items() if len(seeds) < n_runs]
    if not varying:
        raise InputError(
            "observations: every metric is constant in every run; there is nothing to model"
        )
    for column, seeds in constant.items():
        if column not in varying:
            notes.append(
                Note(
                    "constant_metric", f"Metric {column} is constant in every run and is left out."
                )
            )
        elif seeds:
            there = "" if scale == "pooled" else " and is 0 there"
            notes.append(
                Note(
                    "partly_constant_metric",
                    f"Metric {column} is constant in {len(seeds)} of {n_runs} runs "
                    f"(seeds {first_seeds(seeds)}){there}.",
                )
            )
    return varying


def _split(
    seeds: Sequence[int], share: float, split_seed: int, notes: list[Note]
) -> dict[int, Split]:
    """Which runs are held out: a seeded draw from the ascending seeds."""
    # The tiny addition keeps shares such as 0.29 of 100 runs from losing a run to rounding.
    n_validation = math.floor(share * len(seeds) + 1e-9)
    if n_validation == 0:
        notes.append(
            Note(
                "no_validation",
                f"No run is held out for validation: {share:.0%} of {len(seeds)} "
                f"{'run' if len(seeds) == 1 else 'runs'} is less than one. The number of states is "
                "chosen on the training runs.",
            )
        )
    drawn = np.random.default_rng(split_seed).permutation(np.sort(seeds))[:n_validation]
    return {seed: "validation" if seed in drawn else "train" for seed in seeds}

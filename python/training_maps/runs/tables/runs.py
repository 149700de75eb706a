"""From tables to runs: which file and which rows are a run's, and one value for each step.

Rows may be in any order. Rows of one step are merged, as loggers write them that are called
several times a step: a column's value at a step is that of the row that has one. Two different
values are an error, unless it is said which of them counts.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from training_maps.runs.discovery import Pattern
from training_maps.runs.tables.clocks import STEP_NAMES, is_time_column
from training_maps.runs.tables.episodes import with_steps
from training_maps.runs.tables.event_files import event_files, read_events
from training_maps.runs.tables.long_form import differing_text, wide_form
from training_maps.runs.tables.mlflow_stores import is_store, read_store, store_files
from training_maps.runs.tables.resumption import goes_back, superseded
from training_maps.runs.tables.sheets import Column, Sheet, read_sheet
from training_maps.runs.tables.wandb_offline import offline_files, read_offline
from training_maps.settings.sources import RepeatedSteps, TablesSettings
from training_maps.utils.errors import InputError
from training_maps.utils.numbers import LARGEST_STEP
from training_maps.utils.seeds import first_seeds

SEED_NAME = "seed"

logger = logging.getLogger("training_maps")


@dataclass(frozen=True)
class LoggedRun:
    """The rows of one run.

    Attributes:
        seed: the run's seed.
        sheet: the file that its rows are in.
        rows: (n,) which rows of the sheet are the run's, ascending.
        step_column: the column of steps.
        repeated_steps: which of two different values at a step counts, or "stop", or "resumed".
    """

    seed: int
    sheet: Sheet
    rows: NDArray[np.int64]
    step_column: str
    repeated_steps: RepeatedSteps = TablesSettings.repeated_steps

    @cached_property
    def _with_step(self) -> NDArray[np.bool_]:
        return self.sheet.columns[self.step_column].present[self.rows]

    @cached_property
    def _grouped(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The steps, ascending, and for each row that has a step, which of them it is of."""
        rows = self.rows[self._kept]
        steps = _whole_numbers(self.sheet, self.step_column, rows)
        if not len(steps):
            raise InputError(
                f"{self.sheet.path}: seed {self.seed}: no row has a value in column "
                f"'{self.step_column}', the step"
            )
        unique, group = np.unique(steps, return_inverse=True)
        return unique, group

    @cached_property
    def _kept(self) -> NDArray[np.bool_]:
        """Of each row, whether it counts: not if it is of a branch that was given up."""
        kept = self._with_step.copy()
        if self.repeated_steps != "resumed":
            return kept
        rows = self.rows[kept]
        columns = [
            column.present[rows]
            for name, column in self.sheet.columns.items()
            if column.has_numbers and name != self.step_column and not is_time_column(name)
        ]
        void = superseded(_whole_numbers(self.sheet, self.step_column, rows), columns)
        if void.any():
            logger.info(
                "seed %d: the run was resumed from an earlier step; %d of %d rows are of what was "
                "given up then, and are left out",
                self.seed,
                void.sum(),
                len(void),
            )
            kept[np.flatnonzero(kept)[void]] = False
        return kept

    @property
    def steps(self) -> NDArray[np.int64]:
        """The m steps at which anything was logged, ascending."""
        return self._grouped[0]

    def column(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """A column's values (m,) at the steps, NaN where there is none, and where there is one.

        Raises:
            InputError: if a value is a text, has no step, or is one of two at a step (naming the
                lines).
        """
        column = self.sheet.columns[name]
        if column.texts is not None:
            row, text = column.texts
            raise InputError(
                f"{self.sheet.where(row)}: column '{name}' is '{text}', which is no number"
            )
        present = column.present[self.rows]
        stray = present & ~self._with_step
        if stray.any():
            raise InputError(
                f"{self.sheet.where(int(self.rows[stray][0]))}: column '{name}' has a value and "
                f"column '{self.step_column}', the step, has none"
            )
        steps, group = self._grouped
        used = present[self._kept]
        at, rows = group[used], self.rows[self._kept][used]
        values = column.values[rows]
        first = np.full(len(steps), np.nan)
        last = first.copy()
        first[at[::-1]] = values[::-1]  # of values at one place, the one written last stays
        last[at] = values
        differs = (first[at] != values) & ~(np.isnan(first[at]) & np.isnan(values))
        if differs.any() and self.repeated_steps == "stop":
            second = int(differs.argmax())
            self._refuse_repeated(name, steps[at[second]], rows[at == at[second]][0], rows[second])
        self._check_order(name, steps[at], rows)
        logged = np.zeros(len(steps), dtype=bool)
        logged[at] = True
        return (first if self.repeated_steps == "first" else last), logged

    def where(self, name: str, place: int) -> str:
        """File and line of the value that counts of a column at the step of number `place`."""
        _, group = self._grouped
        rows = self.rows[self._kept][group == place]
        rows = rows[self.sheet.columns[name].present[rows]]
        return self.sheet.where(int(rows[0 if self.repeated_steps == "first" else -1]))

    def _refuse_repeated(self, name: str, step: int, one: int, other: int) -> NoReturn:
        values = self.sheet.columns[name].values
        advice = differing_text(self.sheet, one, other) or (
            "If the run was resumed from an earlier step, set repeated_steps to 'resumed', which "
            "leaves out what was given up then; otherwise to 'first' or 'last', which keeps that "
            "one of the two, or name another column as the step"
        )
        raise InputError(
            f"{self.sheet.where(int(one))} and {self.sheet.locate(int(other))}: seed {self.seed} "
            f"has two values of '{name}' at step {step}, {values[one]:g} and {values[other]:g}. "
            f"{advice}"
        )

    def _check_order(self, name: str, steps: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Refuse a column whose steps go back, or warn where it was said how to take repeated ones.

        Other steps than before may follow, and then no value is repeated and yet some are stale.
        """
        place = None if self.repeated_steps == "resumed" else goes_back(steps)
        if place is None:
            return
        stale = int((steps[: place.row] >= steps[place.row]).sum())
        found = (
            f"{self.sheet.where(int(rows[place.before]))} and "
            f"{self.sheet.locate(int(rows[place.row]))}: seed {self.seed}: the steps of '{name}' "
            f"go back from {steps[place.before]} to {steps[place.row]}"
        )
        if self.repeated_steps == "stop":
            raise InputError(
                f"{found}, as those of a run do that was resumed from an earlier step. Set "
                f"repeated_steps to 'resumed', which leaves out the {stale} before that are "
                f"from step {steps[place.row]} on; or, if the rows are merely in another order, to "
                "'last', which keeps all"
            )
        logger.warning(
            "%s; if the run was resumed there, %d values from step %d on are stale, and "
            "repeated_steps: resumed leaves them out",
            found,
            stale,
            steps[place.row],
        )


def read_runs(
    path: str,
    seeds: Sequence[int],
    *,
    seed: str | None = None,
    step: str | None = None,
    repeated_steps: RepeatedSteps = TablesSettings.repeated_steps,
) -> Iterator[LoggedRun]:
    """The runs of `seeds`, one by one in that order.

    Args:
        path: a table with a column of seeds, or a pattern with {seed} for one table, or folder of
            event files, a run.
        seeds: which runs.
        seed: the column of seeds; "seed" if None. With a pattern there need be none.
        step: the column of steps; that of `STEP_NAMES` which is there if None.
        repeated_steps: which of two different values at one step counts: the "first", the "last",
            or neither ("stop" with an error); or "resumed": of a run whose steps go back, what
            comes last.

    Raises:
        InputError: naming the file and, where it can, the line.
    """
    files = table_files(path, seeds)
    if "{seed}" in path:
        for number, file in zip(seeds, files, strict=True):
            sheet = _read(file)
            rows = np.arange(sheet.n_rows)
            yield LoggedRun(number, sheet, rows, _step_column(sheet, step), repeated_steps)
        return
    sheet = _read(files[0])
    of_rows, in_table = _seeds_of_rows(sheet, seed or SEED_NAME)
    missing = sorted(set(seeds) - set(in_table))
    if missing:
        raise InputError(
            f"{sheet.path}: has no rows of seeds {first_seeds(missing)}; column "
            f"'{seed or SEED_NAME}' has {first_seeds(in_table)}"
        )
    by_seed = np.argsort(of_rows, kind="stable")
    begins, ends = (np.searchsorted(of_rows[by_seed], seeds, side) for side in ("left", "right"))
    for number, begin, end in zip(seeds, begins, ends, strict=True):
        rows = by_seed[begin:end]
        yield LoggedRun(number, sheet, rows, _step_column(sheet, step), repeated_steps)


def table_files(path: str, seeds: Sequence[int]) -> list[Path]:
    """The tables of `seeds`, one each if `path` has {seed} in it, or the one table of all.

    Raises:
        InputError: if a table is missing, or a seed has several.
    """
    if "{seed}" not in path:
        file = Path(path).expanduser()
        if not file.exists():
            raise InputError(f"{file}: does not exist")
        return [file]
    found = _tables_by_seed(path)
    for seed in seeds:
        if seed not in found:
            advice = Pattern.read(path, ("seed",)).explain_missing(seed)
            raise InputError(f"{path}: there is no table of seed {seed}; {advice}")
        if len(found[seed]) > 1:
            raise InputError(
                f"{path}: seed {seed} has {found[seed][0]} and {found[seed][1]}; make the pattern "
                "narrower, or remove one"
            )
    return [found[seed][0] for seed in seeds]


def input_files(path: str, seeds: Sequence[int]) -> list[Path]:
    """All files that are read for `seeds`: the tables, or the files in folders of event files."""
    return [file for table in table_files(path, seeds) for file in _files_of(table)]


def _files_of(table: Path) -> list[Path]:
    """The files that one table is read from."""
    if is_store(table):
        return store_files(table)
    return offline_files(table) or event_files(table) or [table]


def find_table_seeds(path: str, seed: str | None = None) -> list[int]:
    """The seeds that there are, ascending: by the pattern's files, or in the table's column."""
    if "{seed}" in path:
        return sorted(_tables_by_seed(path))
    (file,) = table_files(path, [])
    return _seeds_of_rows(_read(file), seed or SEED_NAME)[1]


def known_column(sheet: Sheet, name: str, what: str) -> Column:
    """The column called `name`; `what` names the setting that says so, for the message.

    Raises:
        InputError: if there is none; with the nearest name, and all that there are.
    """
    if name in sheet.columns:
        return sheet.columns[name]
    near = difflib.get_close_matches(name, list(sheet.columns), n=1)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    raise InputError(
        f"{sheet.path}: has no column '{name}'{hint}, which is asked for as {what}; it has "
        f"{listed(sheet.columns)}"
    )


def listed(names: Iterable[str], most: int = 30) -> str:
    """Names in a message, not more than a reader can take."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def _read(path: Path) -> Sheet:
    if is_store(path):
        return read_store(path)
    if offline_files(path):
        return read_offline(path)
    if path.is_dir() or event_files(path):
        return read_events(path)
    sheet = read_sheet(path)
    _refuse_chart(sheet)
    return with_steps(wide_form(sheet))


def _refuse_chart(sheet: Sheet) -> None:
    """Refuse a chart's export of Weights & Biases: columns of smoothed samples, and their range."""
    ranges = {name.removesuffix("__MIN") for name in sheet.columns if name.endswith("__MIN")}
    whole = any({name, f"{name}__MAX"} <= sheet.columns.keys() for name in ranges)
    if whole or (ranges and SEED_NAME not in sheet.columns):
        raise InputError(
            f"{sheet.path}: looks like a chart exported from Weights & Biases, with the runs side "
            "by side: its values are samples and averages. Export the runs' histories instead; "
            "docs/bring_your_own_runs.md shows how"
        )


def _tables_by_seed(path: str) -> dict[int, list[Path]]:
    found: dict[int, list[Path]] = {}
    for seed, file in sorted(Pattern.read(path, ("seed",)).find_by_seed()):
        found.setdefault(seed, []).append(file)
    return found


def _step_column(sheet: Sheet, name: str | None) -> str:
    """The column of steps: the one asked for, or the only one with a name that steps have."""
    if name is not None:
        known_column(sheet, name, "the step")
        return name
    if sheet.step is not None:
        return sheet.step
    found = [candidate for candidate in STEP_NAMES if candidate in sheet.columns] or [
        column for column in sheet.columns if column.lower() in STEP_NAMES
    ]
    if len(found) == 1:
        return found[0]
    problem = f"has columns {listed(found)}" if found else f"has no column {listed(STEP_NAMES)}"
    rest = (
        "which is the step?" if found else f"and which is the step? It has {listed(sheet.columns)}."
    )
    raise InputError(f"{sheet.path}: {problem}, {rest} Name it with 'step'")


def _seeds_of_rows(sheet: Sheet, name: str) -> tuple[NDArray[np.int64], list[int]]:
    """Each row's seed, -1 for an empty row, and the seeds that there are, ascending."""
    column = known_column(sheet, name, "the seed (a pattern with {seed} needs none)")
    seeds = np.full(sheet.n_rows, -1, dtype=np.int64)
    seeds[column.present] = _whole_numbers(sheet, name, np.flatnonzero(column.present))
    logged = np.zeros(sheet.n_rows, dtype=bool)
    for other in sheet.columns.values():
        logged |= other.present
    stray = np.flatnonzero(logged & ~column.present)
    if len(stray):
        raise InputError(f"{sheet.where(int(stray[0]))}: has values, and no seed in '{name}'")
    return seeds, [int(seed) for seed in np.unique(seeds[column.present])]


def _whole_numbers(sheet: Sheet, name: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """A column's cells in `rows`, which must be whole numbers from 0 on."""
    column = sheet.columns[name]
    values = column.values[rows]
    wrong = ~((values >= 0) & (values <= LARGEST_STEP) & (values == np.floor(values)))
    if wrong.any():
        row = int(rows[wrong][0])
        found = f"{column.values[row]:.17g}"
        if np.isnan(column.values[row]) and column.texts is not None:
            found = f"'{column.texts[1]}'" if column.texts[0] == row else "a text"
        raise InputError(
            f"{sheet.where(row)}: column '{name}' is {found}; expected a whole number from 0 on"
        )
    return values.astype(np.int64)

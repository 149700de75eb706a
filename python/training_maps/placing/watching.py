"""Runs followed while they train: what they leave on the disk is looked at again and again.

Nothing is taken for granted of the disk: it is asked for names, sizes and times, as network disks
tell of no change by themselves. A checkpoint is measured when two looks find it the same and it can
be read; one that cannot is looked at again. What was measured is kept in a journal below the
output, so that a checkpoint is measured once, may then be deleted, and a restart goes on.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from training_maps.metrics.definitions import DISTANCES
from training_maps.placing.new_runs import (
    Reading,
    checkpoints_of,
    find_new_runs,
    listed_run,
    measured,
)
from training_maps.placing.page import write_page
from training_maps.placing.place import NewRun, Placement, place_run
from training_maps.placing.reference import Reference
from training_maps.placing.sentences import line, to_dict, warning_sentence
from training_maps.runs.checkpoints import file_state
from training_maps.runs.journal import Journal, Line, tables_of
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, write_json

# What is known of runs across restarts.
STATE = "watched.json"
_JOURNALS = "measured"


@dataclass
class Watch:
    """Follows runs, and keeps a page and a JSON file of them up to date.

    Attributes:
        reference: what they are placed by.
        patterns: where the runs are, as `find_new_runs` takes them.
        reading: how they are read.
        folder: where page, JSON and journals go.
        on_warning: a command of the shell, run once for each run that gets a warning, with
            TRAINING_MAPS_RUN, TRAINING_MAPS_STEP and TRAINING_MAPS_SENTENCE in its environment.
        say: what lines are told to.
        every: seconds from one look to the next.
        placed: the runs so far, by name.
    """

    reference: Reference
    patterns: Sequence[str]
    reading: Reading
    folder: Path
    on_warning: str | None = None
    say: Callable[[str], object] = print
    every: float = 30.0
    placed: dict[str, Placement] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict)
    _seen: dict[Path, tuple[int, int]] = field(default_factory=dict)
    _warned: set[str] = field(default_factory=set)
    _lines: dict[str, int] = field(default_factory=dict)
    _found: dict[str, set[str]] = field(default_factory=dict)  # runs, by pattern

    def __post_init__(self) -> None:
        """Take up what an earlier watch of the same folder knew."""
        with suppress(InputError, TypeError, LookupError, AttributeError):
            state = read_json(self.folder / STATE)
            self._warned = set(state["warned"])
            self._lines = {str(run): int(step) for run, step in state["steps"].items()}

    def follow(
        self,
        patience: float,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look until all runs are at the map's last step, or nothing new came for `patience` s."""
        last = clock()
        while True:
            if self.look():
                last = clock()
            if self.finished():
                self.say("all runs are at the map's last step")
                return
            if clock() - last > patience:
                self.say(f"nothing new for {patience / 60:.0f} minutes")
                return
            sleep(self.every)

    def finished(self) -> bool:
        """Whether there are runs, and all that were found have reached the last step of the map.

        One that was found and not placed yet has not: it may still be written.
        """
        end = int(self.reference.steps[-1])
        there = bool(self.placed) and set().union(*self._found.values()) <= set(self.placed)
        return there and all(int(x.table["step"].iloc[-1]) >= end for x in self.placed.values())

    def look(self) -> bool:
        """Look once; returns whether there was anything new."""
        new = False
        for pattern in self.patterns:
            found: set[str] = set()
            try:
                for run in self._runs(pattern, found):
                    found.add(run.name)
                    new |= self._place(run)
                self._found[pattern] = found
                self._told.pop(pattern, None)
            except (InputError, OSError) as error:
                self._found.setdefault(pattern, {pattern})
                self._tell_once(pattern, f"waiting: {error}")
        if new:
            self._write()
        return new

    def _runs(self, pattern: str, found: set[str]) -> Iterator[NewRun]:
        """The runs of a pattern that can be placed; `found` gets the names of the others too."""
        if "{step}" not in pattern:
            yield from find_new_runs(pattern, self.reading)
            return
        for name, files in checkpoints_of(pattern).items():
            found.add(name)
            still = {step: path for step, path in files.items() if self._is_still(path)}
            if set(self.reading.metrics) & set(DISTANCES):
                if still:
                    yield measured(name, listed_run(still), Path(pattern), self._skipping)
            else:
                yield from self._of_journal(name, still, Path(pattern))

    @property
    def _skipping(self) -> Reading:
        return replace(self.reading, unreadable="skip")

    def _is_still(self, path: Path) -> bool:
        """Whether the last look found the checkpoint as it is now."""
        try:
            state = file_state(path)
        except (InputError, OSError):
            return False
        before, self._seen[path] = self._seen.get(path), state
        return before == state

    def _of_journal(self, name: str, files: dict[int, Path], where: Path) -> Iterator[NewRun]:
        """A run with its new checkpoints measured, and the others as they were."""
        journal = Journal(self.folder / _JOURNALS / name.replace("/", "_"))
        try:
            have = {one.step for one in journal.lines}
            first = min((step for step in files if step not in have), default=None)
            if first is not None:
                todo = {step: path for step, path in files.items() if step >= first}
                run = measured(name, listed_run(todo), where, self._skipping)
                for row in run.metrics.to_dict("records"):
                    step = int(row.pop("step"))
                    journal.append(Line(step, None, {str(k): v for k, v in row.items()}))
                if run.diverged is not None:
                    journal.append(Line(run.diverged, non_finite=""))
            metrics, _, bad = tables_of(journal.lines)
        finally:
            journal.close()
        if len(metrics):
            yield NewRun(name, metrics, None, None if bad is None else int(bad["step"]))

    def _place(self, run: NewRun) -> bool:
        """Place a run, and tell of its new checkpoints; returns whether there were any."""
        try:
            placed = place_run(self.reference, run)
        except InputError as error:
            self._tell_once(run.name, f"waiting: {error}")
            return False
        self._told.pop(run.name, None)
        known = self.placed.get(run.name)
        self.placed[run.name] = placed
        steps = placed.table["step"].to_numpy()
        after = self._lines.get(run.name, -1)
        for row in range(len(steps)):
            if steps[row] > after:
                self.say(line(self.reference, placed, row))
        self._lines[run.name] = int(steps[-1])
        warned = placed.first_warning
        if warned is not None and run.name not in self._warned:
            self._warned.add(run.name)
            self._save()  # before the command: one that kills this process is not run again
            self._warn(placed, int(placed.table["step"][warned]))
        return known is None or len(known.table) != len(steps) or int(steps[-1]) > after

    def _warn(self, placed: Placement, step: int) -> None:
        sentence = warning_sentence(self.reference, placed)
        self.say(f"{placed.run}: {sentence}")
        if self.on_warning is None:
            return
        told = {
            "TRAINING_MAPS_RUN": placed.run,
            "TRAINING_MAPS_STEP": str(step),
            "TRAINING_MAPS_SENTENCE": sentence,
        }
        done = subprocess.run(self.on_warning, shell=True, check=False, env={**os.environ, **told})
        if done.returncode:
            self.say(f"the command of --on-warning ended with {done.returncode}")

    def _tell_once(self, about: str, text: str) -> None:
        if self._told.get(about) != text:
            self._told[about] = text
            self.say(f"{about}: {text}")

    def _save(self) -> None:
        write_json({"warned": sorted(self._warned), "steps": self._lines}, self.folder / STATE)

    def _write(self) -> None:
        runs = [self.placed[name] for name in sorted(self.placed)]
        write_json([to_dict(self.reference, one) for one in runs], self.folder / "placed.json")
        refresh = max(1, round(self.every))
        write_page(self.folder / "placed.html", self.reference, runs, refresh)
        self._save()

"""Checkpoints of existing runs: which files and folders a pattern with {seed} and {step} finds.

    runs/seed{seed}/ckpt_{step}.pt              a file a checkpoint
    runs/*_seed{seed}/checkpoint-{step}/        a folder a checkpoint, as Transformers writes them

Numbers are read from names: `007` is 7, `7k` is no number. Nothing is written where the checkpoints
are.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from training_maps.runs.checkpoints import Checkpoint, Run, file_state
from training_maps.utils.errors import InputError

_PLACES = ("seed", "step")
_PIECE = re.compile(r"\{(\w*)\}|(\*)|([^{}*]+)|([{}])")
_MOST_NAMES = 5


@dataclass(frozen=True)
class _Part:
    """One name of a pattern's path: its text, and what tells whether a file's name fits it.

    `places` says of each group of `expression` whether it is the seed or the step.
    """

    text: str
    expression: re.Pattern[str] | None
    places: tuple[str, ...]

    def numbers(self, name: str) -> dict[str, set[int]] | None:
        """The numbers in `name`, by place; None if it does not fit."""
        if self.expression is None:
            return {} if name == self.text else None
        match = self.expression.fullmatch(name)
        if match is None:
            return None
        found: dict[str, set[int]] = {}
        for place, digits in zip(self.places, match.groups(), strict=True):
            found.setdefault(place, set()).add(int(digits))
        return found

    def filled(self, seed: int | None) -> str:
        """The name with the seed's number in it, and `*` for what may vary."""
        text = self.text if seed is None else self.text.replace("{seed}", str(seed))
        return text.replace("{seed}", "*").replace("{step}", "*")


@dataclass(frozen=True)
class Pattern:
    """Where checkpoints are: a path with {seed} and {step} in it, and * for anything in a name.

    `text` is the path as it was given, `start` the folder that `parts` begin in.
    """

    text: str
    start: Path
    parts: tuple[_Part, ...]

    @classmethod
    def read(cls, path: str, places: tuple[str, ...] = _PLACES) -> Pattern:
        """Read a pattern: relative to the working directory, or absolute; `~` is the user's home.

        Args:
            path: the pattern.
            places: what it has to have in braces; a table of a run's metrics is of no step.

        Raises:
            InputError: if {seed} or {step} is missing, or something else is in braces.
        """
        whole = Path(path).expanduser()
        names = whole.parts[1:] if whole.anchor else whole.parts
        parts = tuple(_read_part(name, path) for name in names)
        there = {place for part in parts for place in part.places}
        if there - set(places):
            raise InputError(f"{path}: has {{step}}; expected {{seed}} alone")
        missing = [f"{{{place}}}" for place in places if place not in there]
        if missing:
            raise InputError(
                f"{path}: has no {' and no '.join(missing)}; expected both where their numbers "
                "are, as in runs/seed{seed}/step_{step}.safetensors"
            )
        return cls(path, Path(whole.anchor), parts)

    def find(self, seed: int | None = None) -> Iterator[tuple[int, int, Path]]:
        """Seed, step and path of each checkpoint, in no order; of one seed, or of all."""
        known = {} if seed is None else {"seed": seed}
        for path, numbers in self._walk(self.start, 0, known):
            yield numbers["seed"], numbers["step"], path

    def find_by_seed(self) -> Iterator[tuple[int, Path]]:
        """Seed and path of whatever a pattern without {step} finds, in no order."""
        for path, numbers in self._walk(self.start, 0, {}):
            yield numbers["seed"], path

    def explain_missing(self, seed: int | None = None) -> str:
        """Where checkpoints were looked for, and what is there instead, in a sentence."""
        known = {} if seed is None else {"seed": seed}
        shown = self.start.joinpath(*(part.filled(seed) for part in self.parts))
        folders = [(self.start, known)]
        for part in self.parts:
            inside = [found for folder in folders for found in _matching(*folder, part)]
            if not inside:
                folder, name = folders[0][0], part.filled(seed)
                return f"looked for {shown}; there is no {folder / name}: {_contents(folder, name)}"
            folders = inside
        return f"looked for {shown}"

    def _walk(
        self, folder: Path, depth: int, known: dict[str, int]
    ) -> Iterator[tuple[Path, dict[str, int]]]:
        """What the pattern's names from `depth` on find below `folder`."""
        for path, numbers in _matching(folder, known, self.parts[depth]):
            if depth + 1 == len(self.parts):
                yield path, numbers
            else:
                yield from self._walk(path, depth + 1, numbers)


def find_runs(pattern: Pattern, seed: int | None = None) -> dict[int, dict[int, Path]]:
    """The checkpoints that are there, by seed and step, both ascending by their numbers.

    Args:
        pattern: where they are.
        seed: look only for this run's; None for every run's.

    Raises:
        InputError: if two of a run have the same step.
    """
    runs: dict[int, dict[int, Path]] = {}
    for found, step, path in sorted(pattern.find(seed)):
        other = runs.setdefault(found, {}).setdefault(step, path)
        if other != path:
            raise InputError(
                f"{pattern.text}: seed {found} has step {step} twice: {other} and {path}; remove "
                "one, or make the pattern narrower"
            )
    return runs


def list_run(pattern: Pattern, seed: int) -> Run:
    """One run's checkpoints, with each one's size and time of last change.

    Raises:
        InputError: if there is none, or two have the same step.
    """
    found = find_runs(pattern, seed).get(seed)
    if not found:
        raise InputError(
            f"there are no checkpoints of seed {seed}; {pattern.explain_missing(seed)}"
        )
    checkpoints = [
        Checkpoint(step, None, path.absolute(), None, *file_state(path))
        for step, path in found.items()
    ]
    return Run(seed, tuple(checkpoints))


def run_digest(checkpoints: Mapping[int, Path]) -> str:
    """A digest of a run's checkpoints: which there are, their sizes, and when they changed last.

    `checkpoints` are the paths by step, as `find_runs` gives them of each run.
    """
    lines = [f"{step} {path.absolute()} {file_state(path)}" for step, path in checkpoints.items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _read_part(text: str, pattern: str) -> _Part:
    """Make one name of `pattern` a regular expression, if it is more than a name."""
    pieces = [match.groups() for match in _PIECE.finditer(text)]
    places = tuple(place for place, *_ in pieces if place is not None)
    strange = [f"{{{place}}}" for place in places if place not in _PLACES]
    strange += [brace for *_, brace in pieces if brace]
    if strange:
        raise InputError(f"{pattern}: {strange[0]} is neither {{seed}} nor {{step}}")
    if re.search(r"\}\{", text):
        raise InputError(f"{pattern}: {{seed}} and {{step}} need something between them")
    if not places and "*" not in text:
        return _Part(text, None, ())
    expression = ""
    for i, (place, star, literal, _) in enumerate(pieces):
        # Beside a star a number is all of its digits; beside text, what the text leaves.
        after_star = i > 0 and pieces[i - 1][1]
        before_star = i + 1 < len(pieces) and pieces[i + 1][1]
        if place:
            expression += ("(?<![0-9])" if after_star else "") + "([0-9]+)"
            expression += "(?![0-9])" if before_star else ""
        else:
            expression += ".*" if star else re.escape(literal)
    return _Part(text, re.compile(expression, re.DOTALL), places)


def _matching(
    folder: Path, known: dict[str, int], part: _Part
) -> Iterator[tuple[Path, dict[str, int]]]:
    """What in `folder` fits `part` without contradicting the numbers already known."""
    if part.expression is None:
        if (folder / part.text).exists():
            yield folder / part.text, known
        return
    for name in _names(folder):
        found = part.numbers(name)
        if found is None:
            continue
        agreed = {place: min(values) for place, values in found.items() if len(values) == 1}
        if len(agreed) == len(found) and agreed.items() <= (agreed | known).items():
            yield folder / name, known | agreed


def _names(folder: Path) -> list[str]:
    """What is in a folder; nothing if it is none."""
    try:
        return [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror})") from error


def _contents(folder: Path, wanted: str) -> str:
    """What a folder holds, the names nearest to `wanted` first, for a message."""
    where = f"the folder {folder.absolute()}" if folder == Path() else str(folder)
    if not folder.is_dir():
        return f"{where} is not a folder"
    names = sorted(_names(folder))
    if not names:
        return f"{where} is empty"
    near = difflib.get_close_matches(wanted, names, n=_MOST_NAMES, cutoff=0.0)
    more = len(names) - len(near)
    return f"{where} has {', '.join(near)}" + (f" and {more} more" if more else "")

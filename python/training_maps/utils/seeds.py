"""Lists of seeds as people write them: `0-39,50` and back."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from training_maps.utils.errors import InputError, shown

MAXIMUM_SEEDS = 100_000  # more than this is a slip of the pen ("0-39999999"), not an experiment
MAXIMUM_SEED = 2**31 - 1  # torch and NumPy take larger ones, other libraries do not

_PART = re.compile(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?", re.ASCII)


def parse_seeds(seeds: str | int | Iterable[str | int], what: str = "seeds") -> list[int]:
    """Expand seeds such as `"0-39,50"`, `7` or `[0, 1, "4-6"]` into a sorted list.

    Args:
        seeds: numbers and ranges (both ends included), in one string separated by commas, or in a
            list.
        what: what the numbers are, for the error's message.

    Returns:
        The seeds, ascending.

    Raises:
        InputError: if there is none, or one is negative, not a whole number, or given twice.
    """
    try:
        return _distinct(sorted(_expand(seeds)))
    except InputError as error:
        raise InputError(f"{what}: {error}") from error


def _distinct(found: list[int]) -> list[int]:
    if not found:
        raise InputError("the list is empty; write for instance 0-39 or 0,1,5")
    if found[-1] > MAXIMUM_SEED:
        raise InputError(
            f"{shown(found[-1])} is more than {MAXIMUM_SEED}, the largest that there is"
        )
    repeated = sorted({seed for seed, following in pairwise(found) if seed == following})
    if repeated:
        raise InputError(f"{format_seeds(repeated)} is given more than once")
    return found


def format_seeds(seeds: Iterable[int]) -> str:
    """Write seeds in the shortest form that `parse_seeds` reads: `[0, 1, 2, 3, 50]` -> `0-3,50`.

    Three or more consecutive seeds become a range.
    """
    parts: list[str] = []
    consecutive: list[int] = []
    for seed in sorted(seeds):
        if consecutive and seed != consecutive[-1] + 1:
            parts.append(_format_range(consecutive))
            consecutive = []
        consecutive.append(seed)
    if consecutive:
        parts.append(_format_range(consecutive))
    return ",".join(parts)


def named_seeds(seeds: Collection[int]) -> str:
    """ "seed 3", "seeds 0-3,50"."""
    return f"seed{'' if len(seeds) == 1 else 's'} {format_seeds(seeds)}"


def _format_range(consecutive: Sequence[int]) -> str:
    if len(consecutive) < 3:
        return ",".join(map(str, consecutive))
    return f"{consecutive[0]}-{consecutive[-1]}"


def _expand(seeds: str | int | Iterable[str | int]) -> list[int]:
    if isinstance(seeds, bool):
        raise InputError(f"{seeds} is not a number; write for instance 0-39 or 0,1,5")
    if isinstance(seeds, str):
        return [seed for part in seeds.split(",") for seed in _expand_part(part)]
    if isinstance(seeds, Iterable):
        return [seed for part in seeds for seed in _expand(part)]
    try:
        seed = int(seeds)
    except (TypeError, ValueError, OverflowError):
        seed = -1
    if seed < 0 or seed != seeds:
        raise InputError(f"{shown(seeds)} is not a whole number from 0 on")
    return [seed]


def _expand_part(part: str) -> range:
    match = _PART.fullmatch(part)
    if match is None:
        raise InputError(
            f"{shown(part.strip())} is neither a whole number from 0 on nor a range such as 0-39"
        )
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if last < first:
        raise InputError(f"the range {first}-{last} runs backwards; write {last}-{first}")
    if last - first >= MAXIMUM_SEEDS:
        raise InputError(
            f"the range {first}-{last} has more than {MAXIMUM_SEEDS} numbers; is it meant?"
        )
    return range(first, last + 1)

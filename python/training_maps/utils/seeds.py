"""Lists of seeds, and of steps, as people write them: `0-39,50` and back."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from training_maps.utils.errors import InputError, shown

MOST_NUMBERS = 100_000  # more than this is a slip of the pen ("0-39999999"), not an experiment
MAXIMUM_SEED = 2**32 - 1  # of NumPy, and so of transformers, Lightning and others

# A sentence that names more single seeds and ranges than the first of these tells only the second.
_MOST_PARTS, _PARTS_TOLD = 100, 20

_NUMBER = r"\s*(\d{1,18})\s*"
_PART = re.compile(rf"{_NUMBER}(?:-{_NUMBER}(?::{_NUMBER})?)?", re.ASCII)


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
    return parse_numbers(seeds, what, MAXIMUM_SEED)


def parse_numbers(
    numbers: str | int | Iterable[str | int], what: str, largest: int, *, strides: bool = False
) -> list[int]:
    """As `parse_seeds`, of numbers up to `largest`; with `strides`, 0-20:5 is 0, 5, 10, 15, 20."""
    try:
        return _distinct(sorted(_expand(numbers, strides)), largest)
    except InputError as error:
        raise InputError(f"{what}: {error}") from error


def _distinct(found: list[int], largest: int) -> list[int]:
    if not found:
        raise InputError("the list is empty; write for instance 0-39 or 0,1,5")
    if found[-1] > largest:
        raise InputError(f"{shown(found[-1])} is more than {largest}, the largest that there is")
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


def first_seeds(seeds: Collection[int]) -> str:
    """For people: as `format_seeds`; of more than 100 parts the first 20, "and 1,880 more"."""
    parts = format_seeds(seeds).split(",")
    if len(parts) <= _MOST_PARTS:
        return ",".join(parts)
    shown = ",".join(parts[:_PARTS_TOLD])
    return f"{shown} and {len(seeds) - len(parse_seeds(shown)):,} more"


def named_seeds(seeds: Collection[int]) -> str:
    """ "seed 3", "seeds 0-3,50", as `first_seeds`."""
    return f"seed{'' if len(seeds) == 1 else 's'} {first_seeds(seeds)}"


def _format_range(consecutive: Sequence[int]) -> str:
    if len(consecutive) < 3:
        return ",".join(map(str, consecutive))
    return f"{consecutive[0]}-{consecutive[-1]}"


def _expand(numbers: str | int | Iterable[str | int], strides: bool) -> list[int]:
    if isinstance(numbers, bool):
        raise InputError(f"{numbers} is not a number; write for instance 0-39 or 0,1,5")
    if isinstance(numbers, str):
        return [number for part in numbers.split(",") for number in _expand_part(part, strides)]
    if isinstance(numbers, Iterable):
        return [number for part in numbers for number in _expand(part, strides)]
    try:
        number = int(numbers)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if number < 0 or number != numbers:
        raise InputError(f"{shown(numbers)} is not a whole number from 0 on")
    return [number]


def _expand_part(part: str, strides: bool) -> range:
    match = _PART.fullmatch(part)
    if match is None or (match[3] is not None and not strides):
        example = "0-20000:1000" if strides else "0-39"
        raise InputError(
            f"{shown(part.strip())} is neither a whole number from 0 on nor a range such as "
            f"{example}"
        )
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    stride = 1 if match[3] is None else int(match[3])
    if last < first:
        raise InputError(f"the range {first}-{last} runs backwards; write {last}-{first}")
    if stride == 0:
        raise InputError(f"the range {part.strip()} never moves; its stride must be at least 1")
    if (last - first) // stride >= MOST_NUMBERS:
        give = f"give a larger stride, as in {first}-{last}:1000" if strides else "is it meant?"
        raise InputError(f"the range {part.strip()} has more than {MOST_NUMBERS} numbers; {give}")
    return range(first, last + 1, stride)

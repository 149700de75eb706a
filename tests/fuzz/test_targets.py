"""The fuzzers' functions hold on whole files, on what was found with them, and on a few mutations."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.targets import TARGETS, seeds

SEEDS = seeds()
#: What fuzzers found, by target: each of these was once taken wrongly, or was no clear error.
FOUND: dict[str, list[bytes]] = {name: [] for name in TARGETS}


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A few bytes changed, a part left out or said twice."""
    made = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        place, length = draw.randrange(len(made) + 1), draw.randint(1, 8)
        kind = draw.randrange(3)
        if kind == 0:
            made[place : place + length] = draw.randbytes(length)
        elif kind == 1:
            del made[place : place + length]
        else:
            made[place:place] = made[place : place + length]
    return bytes(made)


@pytest.mark.parametrize("name", TARGETS)
def test_whole_files_and_what_was_found(name: str) -> None:
    for content in (b"", *SEEDS[name], *FOUND[name]):
        TARGETS[name](content)


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_mutations(name: str) -> None:
    draw = random.Random(0)
    for _ in range(200):
        TARGETS[name](mutated(draw.choice(SEEDS[name]), draw))

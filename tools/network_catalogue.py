"""Writes the table of docs/parameters.md on networks whose modules tell what each tensor is.

Run:  python -m tools.network_catalogue --write   (without --write it prints the table; a minute)

It takes transformers and timm, and stands between two lines that say so.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.support.network_catalogue import TIMM, TRANSFORMERS, Known, of_timm, of_transformers

from training_maps.metrics.parameters import Decision, decide
from training_maps.runs.derived_weights import find_derived, with_derived

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"
FIRST, LAST = "<!-- catalogue: begin -->", "<!-- catalogue: end -->"
_HEADER = (
    "| library | networks | tensors | right, told certain | right, assumed | wrong, assumed | "
    "wrong, told certain | parameters right |\n|---|---|---|---|---|---|---|---|"
)


@dataclass
class Count:
    """How many tensors were decided how, and how many parameters there are and are right."""

    networks: int = 0
    certain: int = 0
    assumed: int = 0
    wrong_assumed: int = 0
    wrong_certain: int = 0
    size: int = 0
    size_right: int = 0

    def add(self, tensors: Iterable[Known]) -> None:
        """Count the tensors of a network that its modules tell of."""
        self.networks += 1
        decided = decisions(list(tensors))
        for tensor in tensors:
            if tensor.kind is None or tensor.name not in decided:
                continue
            found = decided[tensor.name]
            right = found.kind == tensor.kind
            self.certain += right and not found.assumed
            self.assumed += right and found.assumed
            self.wrong_assumed += not right and found.assumed
            self.wrong_certain += not right and not found.assumed
            self.size += math.prod(tensor.shape)
            self.size_right += right * math.prod(tensor.shape)

    def row(self, library: str) -> str:
        """A row of the table."""
        counts = (self.certain, self.assumed, self.wrong_assumed, self.wrong_certain)
        told = " | ".join(f"{n:,}" for n in (self.networks, sum(counts), *counts))
        return f"| {library} | {told} | {self.size_right / self.size:.2%} |"


def decisions(tensors: list[Known]) -> dict[str, Decision]:
    """The decision on each tensor as a checkpoint of it would be read."""
    described = [(t.name, t.dtype, t.shape) for t in tensors]
    whole = with_derived(described, find_derived(described))
    return {d.tensor.name: d for d in decide(whole).decisions}


def table() -> str:
    """The table, a row a library."""
    rows = [_HEADER]
    made: tuple[tuple[str, tuple[str, ...], Callable[[str], list[Known]]], ...] = (
        ("transformers", TRANSFORMERS, of_transformers),
        ("timm", TIMM, of_timm),
    )
    for library, names, make in made:
        count = Count()
        for name in names:
            count.add(make(name))
        rows.append(count.row(library))
    return "\n".join(rows)


def with_table(text: str, made: str) -> str:
    """The page with the table between its two lines."""
    before, rest = text.split(FIRST)
    return f"{before}{FIRST}\n\n{made}\n\n{LAST}{rest.split(LAST)[1]}"


def main(arguments: list[str]) -> None:
    """Print the table, or write it into the page."""
    made = table()
    print(made)
    if "--write" in arguments:
        PAGE.write_text(with_table(PAGE.read_text("utf-8"), made), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

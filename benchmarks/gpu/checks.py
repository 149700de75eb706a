"""A part's checks, each with its negative control, and the line that they leave in gpu.jsonl."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any


@dataclasses.dataclass
class Part:
    """One part as it runs: where, how large, and what it has found.

    Attributes:
        name: of the part.
        device: "cuda", or "cpu", where what only a GPU can show is skipped.
        toy: whether sizes are such that a CPU is done in seconds; speeds are then not judged.
        out: the folder for what it leaves.
        seconds: how long it may take.
    """

    name: str
    device: str
    toy: bool
    out: Path
    seconds: float
    checks: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    def at_most(self, what: str, value: float, limit: float, *, control: float) -> None:
        """A number that must not be above a limit; `control`, of a planted fault, must be."""
        self._check(what, value, f"at most {limit:g}", lambda x: x <= limit, control)

    def at_least(self, what: str, value: float, limit: float, *, control: float) -> None:
        """A number that must not be below a limit; `control`, of a planted fault, must be."""
        self._check(what, value, f"at least {limit:g}", lambda x: x >= limit, control)

    def holds(self, what: str, value: bool, *, control: bool) -> None:
        """Something that must be true; `control`, of a planted fault, must be false."""
        self._check(what, float(value), "true", lambda x: x == 1, float(control))

    def skip(self, what: str, why: str) -> None:
        """A check that cannot be made here; a part with one is never passed."""
        self.checks.append({"check": what, "verdict": "SKIPPED", "why": why})

    def _check(
        self, what: str, value: float, limit: str, good: Callable[[float], bool], control: float
    ) -> None:
        found = not (math.isfinite(control) and good(control))
        passed = math.isfinite(value) and good(value) and found
        self.checks.append(
            {
                "check": what,
                "verdict": "PASS" if passed else "FAIL",
                "value": shown(value),
                "limit": limit,
                "control": shown(control),
                "control_found": found,
            }
        )

    def line(self) -> dict[str, Any]:
        """What the part leaves in gpu.jsonl."""
        verdicts = {check["verdict"] for check in self.checks}
        verdict = next((v for v in ("FAIL", "SKIPPED", "PASS") if v in verdicts), "SKIPPED")
        return {
            "part": self.name,
            "verdict": verdict,
            "checks": self.checks,
            "numbers": {name: shown(value) for name, value in self.numbers.items()},
        }


def shown(value: Any) -> Any:
    """A value as JSON holds it, numbers with six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return value


def add_line(line: dict[str, Any], out: Path) -> None:
    """Add a line to gpu.jsonl."""
    with (out / "gpu.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def lines(out: Path) -> list[dict[str, Any]]:
    """The lines of gpu.jsonl."""
    path = out / "gpu.jsonl"
    return [json.loads(text) for text in path.read_text().splitlines()] if path.is_file() else []

"""Numbers and results as text, the same on the page, in the terminal and in the comparison."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

NONE = "–"
_LEAST_P = 0.001  # smaller p-values are not told
# A route of more states than the first of these is told by the second's number of them.
_MOST_STOPS, _STOPS_TOLD = 200, 40


def plural(number: int, noun: str) -> str:
    """ "1 run", "40 runs", "10,000 runs"."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def listing(items: Iterable[Any], last: str = "and") -> str:
    """ "1", "1 and 3", "1, 3 and 4"; `last` is the word before the last one."""
    texts = [str(item) for item in items]
    return f" {last} ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def first_of(numbers: Sequence[int], most: int = 100, told: int = 20) -> str:
    """ "1, 3, 4", or of more than `most` the first `told` ones "and 12 more"."""
    shown = numbers if len(numbers) <= most else numbers[: min(told, most)]
    text = ", ".join(str(number) for number in shown)
    left = len(numbers) - len(shown)
    return f"{text} and {left:,} more" if left > 0 else text


def numbered(noun: str, numbers: Collection[Any]) -> str:
    """ "state 3", "states 1, 2 and 3"."""
    return f"{noun}{'' if len(numbers) == 1 else 's'} {listing(numbers)}"


def decimal(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals, thousands grouped and a true minus; a dash if it is none."""
    if value is None or value != value:  # an empty cell of a table is read as NaN
        return NONE
    return f"{value:,.{digits}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p-value as papers print it: "0.469", or "<0.001"."""
    if value is None or value != value:
        return NONE
    return f"<{_LEAST_P}" if value < _LEAST_P else f"{value:.3f}"


def equals_p(value: float) -> str:
    """ "p < 0.001", "p = 0.469"."""
    return f"p < {_LEAST_P}" if value < _LEAST_P else f"p = {p_value(value)}"


def sentence(clause: str) -> str:
    """A clause with a capital and a full stop."""
    return f"{clause[0].upper()}{clause[1:]}."


def amount(value: float | None) -> str:
    """A number of any size with at most a decimal: "1,040", "46.9"; a dash where there is none."""
    if value is None:
        return NONE
    digits = 0 if abs(value) >= 100 else 1
    return f"{value:,.{digits}f}".replace("-", "−")


def true_minus(text: str) -> str:
    """A sentence of another stage, its negative numbers with a true minus."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def share(value: float | None) -> str:
    """ "40.5 %", "90 %"; a dash where there is none."""
    return NONE if value is None else f"{round(100 * value, 1):g} %"


def percent(share: float, digits: int = 0) -> str:
    """A share of 0 to 1 with so many decimals: "98 %", "7.2 %"."""
    return f"{100 * share:.{digits}f} %"


def interval(bounds: Sequence[float | None] | None, digits: int | None = None) -> str:
    """ "35.1 to 41.2", with so many decimals or as `amount` does; a dash where there is none."""
    if bounds is None or any(value is None or value != value for value in bounds):
        return NONE
    low, high = (amount(value) if digits is None else decimal(value, digits) for value in bounds)
    return f"{low} to {high}"


def kind_of_model(name: str) -> str:
    """A kind of model as it stands before "states": Gaussian, vector autoregressive."""
    return "Gaussian" if name == "gaussian" else name.replace("_", " ")


def refits(scheme: str | None) -> str:
    """What was fitted to some of the runs: "halves of the runs", or where these are few others."""
    return "halves of the runs" if scheme in (None, "halves") else "fits without single runs"


def route(states: Sequence[int], between: str = " → ") -> str:
    """A route through the map: "0 → 1 → 3", of very many states the first "→ 52,911 more"."""
    shown = first_stops(states)
    left = len(states) - len(shown)
    return between.join([*map(str, shown), *([f"{left:,} more"] if left else [])])


def first_stops(states: Sequence[int]) -> Sequence[int]:
    """The states of a route that are told: all, or of more than 200 the first 40."""
    return states if len(states) <= _MOST_STOPS else states[:_STOPS_TOLD]

"""Short names of metrics for labels: the paper's symbols, or the column's name, cut to fit."""

from __future__ import annotations

from functools import cache

LONGEST = 14
LONGEST_NAME = 44


def metric_symbol(column: str) -> str:
    """Symbol of a metric column, "μ(w)" for `mean_w`, "L2 mlp" for `l2@mlp`.

    It has at most `LONGEST` characters.
    """
    metric, of, group = column.partition("@")
    symbol = _symbols().get(metric, column)
    if metric in _symbols():
        symbol = symbol.replace("_max", "ₘₐₓ") + (f" {group}" if of else "")
    return symbol if len(symbol) <= LONGEST else symbol[: LONGEST - 1] + "…"


def plain_text(text: str) -> str:
    """A name of the user's for an axis or a legend, cut to fit; a "$" begins no formula."""
    short = text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"
    return short.replace("$", r"\$")


def in_brackets(text: str) -> str:
    """A name of the user's in brackets, to follow a word; nothing for none."""
    return f" ({plain_text(text)})" if text else ""


@cache
def _symbols() -> dict[str, str]:
    from training_maps.metrics.definitions import ALL_METRICS

    return {metric.column: metric.symbol for metric in ALL_METRICS}

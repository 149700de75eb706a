"""Short names of metrics for labels: the paper's symbols, or the column's name, cut to fit."""

from __future__ import annotations

from functools import cache

LONGEST = 14


def metric_symbol(column: str) -> str:
    """Symbol of a metric column, e.g. "μ(w)" for `mean_w`; at most `LONGEST` characters."""
    symbol = _symbols().get(column, column)
    if column in _symbols():
        symbol = symbol.replace("_max", "ₘₐₓ")
    return symbol if len(symbol) <= LONGEST else symbol[: LONGEST - 1] + "…"


@cache
def _symbols() -> dict[str, str]:
    from training_maps.metrics import ALL_METRICS

    return {metric.column: metric.symbol for metric in ALL_METRICS}

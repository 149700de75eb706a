"""What early warning found, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from training_maps.utils.notes import Note
from training_maps.utils.wording import percent, plural

# An adjusted p-value below this is called a prediction.
SIGNIFICANCE = 0.05
# The kinds of sentences.
CONCLUSION, BEGINNING = "conclusion", "beginning"


def sentences_of(table: pd.DataFrame) -> list[Note]:
    """What to know: from when on each target is predicted, and then every beginning.

    Args:
        table: as `training_maps.analysis.early_warning.prediction.judge` makes it.

    Returns:
        Of each target its `CONCLUSION`, then its `BEGINNING`s, which the table tells as well.
    """
    sentences = []
    for target, rows in table.groupby("target", sort=False):
        sentences.append(Note(CONCLUSION, _conclusion(str(target), rows)))
        for _, of_fraction in rows.groupby("fraction"):
            sentences.append(Note(BEGINNING, _beginning(of_fraction)))
    return sentences


def predicts(row: Mapping[str, Any]) -> bool:
    """Whether a row of the table is a prediction: one that chance does not explain."""
    return bool(row["p_value_adjusted"] < SIGNIFICANCE)


def _conclusion(target: str, rows: pd.DataFrame) -> str:
    """From which beginning on a target is predicted of runs for which it is not known yet."""
    judged = rows[rows["p_value"].notna()]
    if judged.empty:
        return f"Whether {target} can be predicted cannot be told: {rows['reason'].iloc[0]}"
    by_states, by_metrics = (
        _earliest(judged[judged["features"] == name]) for name in ("states", "metrics")
    )
    without = "" if by_metrics is None else f"the mean metrics alone do from the first {by_metrics}"
    if by_states is not None:
        words = (
            f"States of the first {by_states} of training tell {target} of runs for which it is "
            "not known yet better than chance does"
        )
        return f"{words}; {without or 'the mean metrics alone never do'}."
    words = f"No beginning's states are seen to tell {target} of runs for which it is not known yet"
    if without:
        return f"{words}; {without}."
    if any(predicts(row) for row in _records(judged)):
        return f"{words}; what they tell is known by then."
    return f"{words}."


def _earliest(rows: pd.DataFrame) -> str | None:
    """The first beginning, in %, that predicts runs for which the target is not known by then."""
    of_unknown = rows[(rows["runs"] == "not yet") | (rows["n_already"] == 0)]
    found = [row["fraction"] for row in _records(of_unknown) if predicts(row)]
    return percent(min(found)) if found else None


def _beginning(rows: pd.DataFrame) -> str:
    """One beginning of one target: all runs, then those for which it is not known yet."""
    first = rows.iloc[0]
    by = {(str(row["runs"]), str(row["features"])): row for row in _records(rows)}
    words = (
        f"From the first {percent(first['fraction'])} of training (to step {first['last_step']}), "
        f"{first['target']}: {_skills(by, 'all')}"
    )
    already = int(first["n_already"])
    if not already:
        return f"{words}. It was known of none of them by then."
    words += f". Of {already} of them it was known by then"
    if ("not yet", "states") in by:
        words += f"; of the others: {_skills(by, 'not yet')}"
    return f"{words}."


def _skills(by: Mapping[tuple[str, str], Mapping[str, Any]], runs: str) -> str:
    """How well one set of runs is predicted by states, and by metrics."""
    states, metrics = by[runs, "states"], by[runs, "metrics"]
    runs_of = plural(states["n_runs"], "run")
    if pd.isna(states["p_value"]):
        return f"{runs_of}, not predicted ({states['reason'].rstrip('.')})"
    return f"{runs_of}, {_skill(states, 'states')}, {_skill(metrics, 'metrics')}"


def _skill(row: Mapping[str, Any], name: str) -> str:
    p = f"p = {row['p_value_adjusted']:.2g}"
    if not pd.isna(row["r_squared"]):
        return (
            f"rank correlation {row['rank_correlation']:.2f} by {name} ({p}; R² "
            f"{row['r_squared']:.2f})"
        )
    return (
        f"{percent(row['accuracy'])} right by {name}, "
        f"balanced {percent(row['balanced_accuracy'])} ({p}); "
        f"the most frequent is {percent(row['baseline'])}"
    )


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]

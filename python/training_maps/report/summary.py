"""An experiment's summary: its row of the paper's Table 1 and what stands behind it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_maps.dissimilarity import trajectory_dissimilarity
from training_maps.errors import InputError
from training_maps.files import made_by, read_json
from training_maps.report.words import NONE, decimal, p_value
from training_maps.results import ExperimentResults
from training_maps.stability_words import same_candidate

_KEYS = (
    "experiment",
    "n_runs",
    "n_converged",
    "n_states",
    "r_squared",
    "p_value",
    "dissimilarity",
    "forking",
    "detour_states",
    "selection",
)

_HEADER = (
    "experiment",
    "runs",
    "converged",
    "states",
    "choice",
    "R²",
    "p",
    "dissimilarity",
    "map",
    "detours",
    "report",
)


def summarise(results: ExperimentResults) -> dict[str, Any]:
    """The summary of an experiment, ready for JSON; None stands for what is not defined."""
    return {
        "experiment": results.experiment,
        "n_runs": results.n_runs,
        "n_converged": results.n_converged,
        "n_states": len(results.states),
        "r_squared": results.regression.get("r_squared"),
        "p_value": results.regression.get("p_value"),
        "dissimilarity": trajectory_dissimilarity(results.dissimilarity),
        "forking": results.forking,
        "detour_states": results.detour_states,
        "selection": _selection(results.stability),
        "notes": list(results.notes),
        "made_by": made_by(),
    }


def _selection(stability: dict[str, Any]) -> dict[str, Any] | None:
    """What was chosen and how firm the choice is: `stability.json` has all of it."""
    if not stability:
        return None
    chosen = stability["chosen"]
    (own,) = (row for row in stability["candidates"] if same_candidate(row, chosen))
    return {
        "model": chosen["model"],
        "n_states": chosen["n_states"],
        "verdict": stability["verdict"],
        "sentence": stability["sentence"],
        "share_of_resamples": own["share"],
    }


def read_summary(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a summary file.

    Raises:
        InputError: if it is missing, is not JSON or lacks a key.
    """
    summary = read_json(path)
    missing = [key for key in _KEYS if not isinstance(summary, dict) or key not in summary]
    if missing:
        raise InputError(f"{path}: has no {', '.join(missing)}; rerun the summary stage")
    return dict(summary)


def terminal_table(paths: Sequence[Path]) -> str:
    """Summaries as aligned lines for the terminal, and where each report is."""
    rows = [_HEADER]
    for path in paths:
        summary = read_summary(path)
        rows.append(
            (
                summary["experiment"],
                str(summary["n_runs"]),
                NONE if summary["n_converged"] is None else str(summary["n_converged"]),
                str(summary["n_states"]),
                summary["selection"]["verdict"],
                decimal(summary["r_squared"]),
                p_value(summary["p_value"]),
                decimal(summary["dissimilarity"]["index"]),
                "forking" if summary["forking"] else "linear",
                " ".join(map(str, summary["detour_states"])) or NONE,
                str(path.parent / "report.html"),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = {1, 2, 3, 5, 6, 7}  # the columns of numbers
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )

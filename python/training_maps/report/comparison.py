"""Experiments side by side, in the shape of the paper's Table 1."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from training_maps.errors import InputError
from training_maps.report.summary import outlier_count, predictive_forks, read_summary
from training_maps.report.templates import render

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's Table 1 (40 seeds each); `p_value` as printed there."""

    r_squared: float
    p_value: str
    dissimilarity: float
    forking: bool


#: Hu et al. 2023, Table 1, by the names of this project's experiments in the paper's settings.
PAPER = {
    "modular_addition": PaperRow(0.977, "<0.001", 0.496, True),
    "modular_addition_stabilized": PaperRow(0.514, "<0.001", 0.038, False),
    "cifar100": PaperRow(0.094, "0.469", 0.028, False),
    "cifar100_destabilized": PaperRow(0.905, "<0.001", 0.806, True),
    "sparse_parities": PaperRow(0.961, "<0.001", 0.183, True),
    "mnist": PaperRow(0.049, "0.611", 0.063, False),
}


def comparison_table(summaries: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row an experiment; columns `paper_*` hold the paper's numbers where it has them.

    Cells of what is not defined are None (empty in a file).
    """
    import pandas as pd

    rows = []
    for summary in summaries:
        paper = PAPER.get(summary["experiment"])
        rows.append(
            {
                "experiment": summary["experiment"],
                "n_runs": summary["n_runs"],
                "n_converged": summary["n_converged"],
                "n_states": summary["n_states"],
                "choice": (summary["selection"] or {}).get("verdict"),
                "outcome": (summary["outcome"] or {}).get("name"),
                "r_squared": summary["r_squared"],
                "p_value": summary["p_value"],
                "dissimilarity_index": summary["dissimilarity"]["index"],
                "dissimilarity_discrete": summary["dissimilarity"]["discrete"],
                "dissimilarity_means": summary["dissimilarity"]["means"],
                "forking": summary["forking"],
                "predictive_forks": " ".join(
                    map(str, (summary["forks"] or {}).get("predicting", ()))
                ),
                "detour_states": " ".join(map(str, summary["detour_states"])),
                "n_outliers": None
                if summary["outlier_seeds"] is None
                else len(summary["outlier_seeds"]),
                "paper_r_squared": paper.r_squared if paper else None,
                "paper_p_value": paper.p_value if paper else None,
                "paper_dissimilarity": paper.dissimilarity if paper else None,
                "paper_forking": paper.forking if paper else None,
            }
        )
    return pd.DataFrame(rows, dtype=object)


def read_summaries(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Read summaries; two of the same experiment name are refused."""
    summaries = [read_summary(path) for path in paths]
    seen: dict[str, Path] = {}
    for summary, path in zip(summaries, paths, strict=True):
        name = summary["experiment"]
        if name in seen:
            raise InputError(f"{seen[name]} and {path} are both summaries of experiment {name}")
        seen[name] = path
    return summaries


def render_comparison(
    summaries: Sequence[dict[str, Any]], reports: Sequence[Path], page: Path
) -> str:
    """The comparison as a self-contained page.

    Args:
        summaries: one an experiment.
        reports: the report of each, which its name links to.
        page: where the page will be, so that links are relative to it.
    """
    rows = [
        {
            "summary": summary,
            "paper": PAPER.get(summary["experiment"]),
            "outcome": (summary["outcome"] or {}).get("name"),
            "predictive_forks": predictive_forks(summary),
            "outliers": outlier_count(summary),
            "link": quote(Path(os.path.relpath(report, page.parent)).as_posix()),
        }
        for summary, report in zip(summaries, reports, strict=True)
    ]
    return render(
        "comparison.html.j2",
        rows=rows,
        any_paper=any(row["paper"] is not None for row in rows),
        other_outcomes=any(row["outcome"] not in (None, "convergence time") for row in rows),
    )

"""An experiment's summary: its row of the paper's Table 1 and what stands behind it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_maps.analysis.reproducibility.sentences import verdict_sentence
from training_maps.model_selection.stability_sentences import same_candidate
from training_maps.report.delays import delay_sizes
from training_maps.report.headline import in_short, map_shape
from training_maps.results import ExperimentResults
from training_maps.structure.ladder import Structure
from training_maps.structure.sentences import is_judged, map_sentence, noise_sentence
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, read_json
from training_maps.utils.wording import NONE, decimal, p_value

_KEYS = (
    "experiment",
    "n_runs",
    "n_converged",
    "n_states",
    "r_squared",
    "p_value",
    "outcome",
    "dissimilarity",
    "forking",
    "forks",
    "detour_states",
    "delays",
    "outlier_seeds",
    "selection",
    "structure",
    "reproducibility",
)

_HEADER = (
    "experiment",
    "runs",
    "converged",
    "structure",
    "states",
    "choice",
    "found again",
    "R²",
    "p",
    "dissimilarity",
    "map",
    "predictive forks",
    "delays",
    "outliers",
)


def summarise(results: ExperimentResults) -> dict[str, Any]:
    """The summary of an experiment, ready for JSON; None stands for what is not defined."""
    from training_maps.analysis.dissimilarity import sample_of_pairs, trajectory_dissimilarity

    delays, structure = results.delay_states, verdict_of(results)
    return {
        "experiment": results.experiment,
        "n_runs": results.n_runs,
        "n_converged": results.n_converged,
        "n_states": len(results.states),
        "r_squared": results.regression.get("r_squared"),
        "p_value": results.regression.get("p_value"),
        "outcome": _outcome(results),
        "dissimilarity": trajectory_dissimilarity(
            results.dissimilarity, results.dissimilarity_per_run
        ),
        "sample_of_pairs": sample_of_pairs(results.dissimilarity),
        "linear": not results.forking,
        "forking": results.forking and not (results.forks and not results.forks["forks"]),
        "forks": _forks(results),
        "detour_states": results.detour_states,
        "delays": delays,
        "delay_sizes": delay_sizes(results, delays),
        "foretelling": results.regression.get("foretelling"),
        "outlier_seeds": _outliers(results),
        "selection": _selection(results.stability),
        "choice": _choice(results.stability, structure),
        "structure": structure,
        "structure_is_judged": is_judged(results.structure) if results.structure else None,
        "only_noise_changes": results.only_noise_changes,
        "structure_sentences": structure_sentences(results),
        "reproducibility": _reproducibility(results.reproducibility),
        "refits": results.reproducibility.get("scheme"),
        "reproducibility_sentence": verdict_sentence(results.reproducibility),
        "notes": [note.to_dict() for note in results.notes],
        "made_by": made_by(),
    }


def verdict_of(results: ExperimentResults) -> Structure | None:
    """The verdict on the runs: that of the ladder, but drift where only noise changes.

    Of states that all differ from a neighbour in noise alone, none is a phase, though they foretell
    runs better than a drift whose noise does not change as theirs.
    """
    verdict: Structure | None = results.structure.get("verdict")
    return "drift" if verdict and results.only_noise_changes else verdict


def structure_sentences(results: ExperimentResults) -> list[str]:
    """Whether there are states at all, and what those of the map are; [] where nobody looked."""
    if not results.structure:
        return []
    if results.only_noise_changes and is_judged(results.structure):
        return [noise_sentence(results.structure)]
    sentences = [str(results.structure["sentence"])]
    model = results.training_map["selected_model"]
    if model is not None:
        about = map_sentence(results.structure, model["model"], model["n_states"])
        sentences += [about] if about else []
    return sentences


def _outcome(results: ExperimentResults) -> dict[str, Any] | None:
    """What the states were related to; None where there was nothing."""
    about = results.regression.get("outcome")
    return about and {key: about[key] for key in ("kind", "name", "is_time", "larger_means")}


def _forks(results: ExperimentResults) -> dict[str, Any] | None:
    """States that are forks, that could be tested, and whose branches predict convergence.

    `found_again` has the share of halves of the runs that find each of them, in the states' order;
    None where that is not known.
    """
    if not results.forks:
        return None
    forks = results.forks["forks"]
    return {
        "states": [fork["state"] for fork in forks],
        "found_again": [results.found_again("forks").get(fork["state"]) for fork in forks],
        "tested": [fork["state"] for fork in forks if fork["test"] is not None],
        "predicting": [fork["state"] for fork in forks if fork["predicts_convergence"]],
    }


def _outliers(results: ExperimentResults) -> list[int] | None:
    """Seeds of the outlier runs; None where nobody looked, or runs are too few to tell."""
    from training_maps.analysis.outliers import FEWEST_RUNS

    return results.outlier_seeds if len(results.outliers) >= FEWEST_RUNS else None


def predictive_forks(summary: dict[str, Any]) -> str:
    """The forks whose branches predict convergence: "0 3", "none", or a dash if not known."""
    forks = summary["forks"]
    if not forks or not forks["tested"]:
        return NONE
    return " ".join(map(str, forks["predicting"])) or "none"


def outlier_count(summary: dict[str, Any]) -> str:
    """How many runs are outliers, or a dash if not known."""
    seeds = summary["outlier_seeds"]
    return NONE if seeds is None else str(len(seeds))


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


def _choice(stability: dict[str, Any], structure: str | None = None) -> str | None:
    """ "stable" or "fragile", as what is not known to be stable is too; None without a choice.

    No number of states is right for runs that drift, however often halves cut them alike.
    """
    if not stability:
        return None
    if structure == "drift":
        return "fragile"
    return "stable" if stability["verdict"] == "stable" else "fragile"


def _reproducibility(found: dict[str, Any]) -> dict[str, float | None]:
    """How far halves of the runs agree, from 0 to 1; None where that is not known.

    Adjusted Rand indices below 0 are less than chance gives, and count as 0.
    """
    agreement = found.get("agreement") or {}
    values = {name: agreement.get(name) for name in ("states", "routes", "n_states")}
    return {name: None if one is None else max(0.0, one) for name, one in values.items()}


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


def _structure(summary: dict[str, Any]) -> str:
    """The verdict, with a question mark where it is not sure."""
    doubt = "?" if summary.get("structure_is_judged") is False else ""
    return f"{summary['structure']}{doubt}" if summary["structure"] else NONE


def terminal_table(paths: Sequence[Path]) -> str:
    """Summaries as aligned lines for the terminal."""
    rows = [_HEADER]
    for path in paths:
        summary = read_summary(path)
        rows.append(
            (
                summary["experiment"],
                str(summary["n_runs"]),
                NONE if summary["n_converged"] is None else str(summary["n_converged"]),
                _structure(summary),
                str(summary["n_states"]),
                summary["selection"]["verdict"] if summary["selection"] else NONE,
                decimal(summary["reproducibility"]["states"], 2),
                decimal(summary["r_squared"]),
                p_value(summary["p_value"]),
                decimal(summary["dissimilarity"]["index"]),
                map_shape(summary),
                predictive_forks(summary),
                " ".join(map(str, summary["delays"])) or NONE,
                outlier_count(summary),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = {1, 2, 4, 6, 7, 8, 9, 13}  # the columns of numbers
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def terminal_findings(paths: Sequence[Path]) -> str:
    """What was found in each experiment, in a few sentences, and where its report is."""
    parts = []
    for path in paths:
        summary = read_summary(path)
        parts.append(
            f"{summary['experiment']}: {' '.join(in_short(summary))}\n"
            f"  {path.parent / 'report.html'}"
        )
    return "\n".join(parts)

"""Whether the reference data have states, and whether other seeds would show them.

    snakemake --cores all --configfile reference/reproduction.yaml      # by the paper's method
    snakemake --cores all --configfile reference/recommended.yaml       # by the recommended one
    python -m tools.verdicts                                            # all: make reproduction

takes the verdicts from the results, keeps them in `reference/{name}/verdicts.json`, and writes the
tables of reference/verdicts.md between their markers. docs/reproduction.md reads the same files
(`tools.reproduction`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from training_maps.structure.sentences import is_judged
from training_maps.utils.files import read_json, replace_when_whole, write_json
from training_maps.utils.wording import kind_of_model

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "reference"
PAGE = REFERENCE / "verdicts.md"
# The tables of the page, by the name in their markers.
TABLES = ("verdicts", "agreement")
FILE = "verdicts.json"
# Where `snakemake` writes the results of each method, below `--results`.
METHODS = {"paper": ".", "recommended": "recommended"}
_SUMMARY = (
    "n_runs", "n_states", "r_squared", "forking", "forks", "detour_states", "delays", "foretelling",
)  # fmt: skip
# Numbers of states in the table of agreement.
_NUMBERS = (2, 3, 4, 5, 6)
_HEADER = (
    "reference data, method",
    "verdict",
    "moving states over the null",
    "Gaussian states over the null",
    "drawn",
    "halves agree on these states: mean, worst",
    "everything chosen anew: mean, worst",
    "same routes",
    "same K",
    "forks (share of halves)",
    "delays (share of halves)",
)


def main() -> None:
    """Read the command line, and make what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="experiments whose verdicts to take anew; or all")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--page-only", action="store_true", help="keep the numbers that are there")
    arguments = parser.parse_args()
    if not arguments.page_only:
        for name in arguments.names or names(REFERENCE):
            found = {
                method: collect(arguments.results / folder / f"reference_{name}")
                for method, folder in METHODS.items()
            }
            write_json(found, REFERENCE / name / FILE)
    page = rewritten(PAGE.read_text("utf-8"), REFERENCE)
    with replace_when_whole(PAGE) as aside:
        aside.write_text(page, encoding="utf-8")


def names(reference: Path) -> list[str]:
    """The names of the experiments that there is reference data of, sorted."""
    return sorted(file.parent.name for file in reference.glob("*/settings.json"))


def collect(results: Path) -> dict[str, Any]:
    """The verdict on one experiment's results, ready for JSON."""
    summary = read_json(results / "summary.json")
    structure = read_json(results / "structure.json")
    halves = read_json(results / "reproducibility.json")
    phases = read_json(results / "phase_transitions.json")["phases"]
    paths = read_json(results / "training_map.json")["paths"]
    selection = summary["selection"]
    of_pairs = [pair["states"] for pair in halves["pairs"]]
    return {
        **{key: summary[key] for key in _SUMMARY},
        "model": selection["model"],
        "choice": summary["choice"],
        "verdict": structure["verdict"],
        "null": structure["null"],
        "rungs": structure["rungs"],
        "gains": structure["gains"],
        "found_again": structure["choice"] and structure["choice"]["found_again"],
        "scheme": halves["scheme"],
        "agreement": halves["agreement"],
        "worst_pair": min(of_pairs, default=None),
        "candidates": [
            {key: row[key] for key in ("model", "n_states", "states", "worst_states")}
            for row in halves["candidates"]
            if row["n_states"] > 1
        ],
        "given": _given(halves["candidates"], selection["model"], selection["n_states"]),
        "phases": {name: phase["sentence"] for name, phase in phases.items()},
        "on_commonest_path": max(len(path["seeds"]) for path in paths),
        "found": {kind: halves["found"].get(kind, []) for kind in ("states", "forks", "delays")},
    }


def _given(
    candidates: Iterable[Mapping[str, Any]], model: str, n_states: int
) -> dict[str, float | None]:
    """How far halves agree on the model that is drawn, if it is given rather than chosen."""
    for row in candidates:
        if (row["model"], row["n_states"]) == (model, n_states):
            return {"states": row["states"], "worst": row["worst_states"], "routes": row["routes"]}
    return {"states": None, "worst": None, "routes": None}


def read(reference: Path) -> dict[str, dict[str, Any]]:
    """By experiment and method, the verdicts that are kept."""
    return {name: read_json(reference / name / FILE) for name in names(reference)}


def table(reference: Path) -> str:
    """The table of all verdicts, a row for each experiment and method."""
    lines = ["| " + " | ".join(_HEADER) + " |", "|" + "---|" * len(_HEADER)]
    for name, methods in read(reference).items():
        for method in METHODS:
            if method in methods:
                cells = (f"`{name}`, {method}", *_cells(methods[method]))
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cells(found: Mapping[str, Any]) -> tuple[str, ...]:
    given, agreement = found["given"], found["agreement"]
    kind = kind_of_model(found["model"])
    return (
        verdict(found),
        gain(found["gains"]["autoregressive"]),
        gain(found["gains"]["gaussian"]),
        f"{found['n_states']} {kind}",
        f"{number(given['states'])}, {number(given['worst'])}",
        f"{number(agreement['states'])}, {number(found['worst_pair'])}",
        number(agreement["routes"]),
        number(agreement["n_states"]),
        shares(found["found"]["forks"]),
        shares(found["found"]["delays"]),
    )


def agreement_table(reference: Path) -> str:
    """How far halves agree on each model that is given to them, a row for each set and kind."""
    lines = [
        "| reference data, method | states | " + " | ".join(map(str, _NUMBERS)) + " |",
        "|" + "---|" * (2 + len(_NUMBERS)),
    ]
    for name, methods in read(reference).items():
        for method, found in methods.items():
            by_model: dict[str, dict[int, str]] = {}
            for row in found["candidates"]:
                cell = f"{number(row['states'])} ({number(row['worst_states'])})"
                by_model.setdefault(row["model"], {})[row["n_states"]] = cell
            for model, cells in by_model.items():
                if method == "recommended" or model == "gaussian":
                    row_cells = [cells.get(k, "") for k in _NUMBERS]
                    row_cells = [f"`{name}`, {method}", kind_of_model(model), *row_cells]
                    lines.append("| " + " | ".join(row_cells) + " |")
    return "\n".join(lines)


def verdict(found: Mapping[str, Any]) -> str:
    """The verdict, with a question mark where it is not sure."""
    if found["verdict"] is None:
        return "–"
    return f"{found['verdict']}{'' if is_judged(found) else '?'}"


def gain(found: Mapping[str, Any]) -> str:
    """By how much states foretell better than the null, with its 90 % interval."""
    if found["mean"] is None:
        return "–"
    mean = number(found["mean"], sign=True)
    if found["low"] is None:
        return mean
    return f"{mean} ({number(found['low'], sign=True)} to {number(found['high'], sign=True)})"


def shares(rows: Iterable[Mapping[str, Any]]) -> str:
    """States, each with the share of halves that find it again."""
    return ", ".join(f"{row['state']} ({row['share']:.0%})" for row in rows) or "none"


def number(value: float | None, *, sign: bool = False) -> str:
    """Two decimals; a dash where there is no number."""
    if value is None:
        return "–"
    return f"{value:{'+' if sign else ''}.2f}".replace("-", "−")


def rewritten(page: str, reference: Path) -> str:
    """A page with its tables written anew."""
    makers = {"verdicts": table, "agreement": agreement_table}
    for name in TABLES:
        page = between_markers(page, name, makers[name](reference))
    return page


def between_markers(page: str, name: str, rows: str) -> str:
    """A page with other rows between the markers of a table."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{rows}\n\n{end}{after}"


if __name__ == "__main__":
    main()

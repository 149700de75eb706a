"""Write docs/reproduction.md from what the workflow found in the reference data.

    snakemake --cores all --configfile reference/reproduction.yaml      # all: make reproduction
    python -m tools.reproduction

takes the numbers of each reference experiment from its results, keeps them in
`reference/{name}/results.json`, copies the figures that the page shows to docs/images/, and renders
`tools/reproduction.md.j2`. The words that interpret are in that template; every number in the page
comes from those files, from `settings.json` and `verdicts.json` (`tools.verdicts`) beside them, or,
of the paper, from `training_maps.report.paper`.

    python -m tools.reproduction --page-only                  # after a change in the words
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from tools.first_edge import first_edge
from tools.open_choices import summary
from tools.second_opinions import RESTARTS, fit_twins, with_states
from tools.verdicts import gain, shares, verdict
from tools.verdicts import read as read_verdicts

from training_maps.report.paper import PAPER, SETTINGS
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, read_table, replace_when_whole, write_json

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "reference"
PAGE = ROOT / "docs" / "reproduction.md"
IMAGES = ROOT / "docs" / "images"
TEMPLATE = Path(__file__).with_suffix(".md.j2")
FIGURES = ("training_map", "convergence_times", "state_timelines")
# States of the paper's maps of modular addition and sparse parities (Table 2).
SIX = 6
_SUMMARY = (
    "n_runs", "n_converged", "n_states", "r_squared", "p_value", "dissimilarity", "forking",
    "detour_states", "outlier_seeds", "notes",
)  # fmt: skip
_REGRESSION = (
    "reason", "r_squared_interval", "leave_one_out_r_squared", "significant", "significance",
    "shuffled", "notes",
)  # fmt: skip
_COEFFICIENTS = (
    "state", "coefficient", "standard_error", "p_value", "n_runs_visiting", "is_detour",
    "mean_outcome_visiting", "mean_outcome_without", "explanation",
)  # fmt: skip
_VARIANT = (
    "variant", "n_states", "verdict", "linear", "n_forks", "on_commonest_path", "dissimilarity",
    "adjusted_rand_index", "r_squared", "p_value", "n_detours", "reason",
)  # fmt: skip


def main() -> None:
    """Read the command line, and make what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="experiments whose numbers to take anew; or all")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--page-only", action="store_true", help="keep the numbers that are there")
    arguments = parser.parse_args()
    if not arguments.page_only:
        for name in arguments.names or experiments(REFERENCE):
            results = arguments.results / f"reference_{name}"
            write_json(collect(results), REFERENCE / name / "results.json")
            for figure in FIGURES:
                shutil.copyfile(
                    results / "figures" / "page" / f"{figure}.svg", IMAGES / f"{name}_{figure}.svg"
                )
    with replace_when_whole(PAGE) as aside:
        aside.write_text(render(REFERENCE), encoding="utf-8")


def experiments(reference: Path) -> list[str]:
    """The names of the experiments that there is reference data of, sorted."""
    return sorted(file.parent.name for file in reference.glob("*/settings.json"))


def collect(results: Path) -> dict[str, Any]:
    """The numbers that the page uses of one experiment's results, ready for JSON."""
    summary = read_json(results / "summary.json")
    tmap = read_json(results / "training_map.json")
    phases = read_json(results / "phase_transitions.json")
    convergence = read_table(results / "convergence.csv", ("seed", "epoch", "converged"))
    return {
        **{name: summary[name] for name in _SUMMARY},
        "selection": _selection(read_json(results / "hmm" / "stability.json")),
        "regression": {
            name: value
            for name, value in read_json(results / "regression.json").items()
            if name in _REGRESSION
        },
        "coefficients": _records(results / "coefficients.csv", _COEFFICIENTS),
        "map": collect_map(tmap, convergence),
        "convergence": _spread(convergence.loc[convergence["converged"].astype(bool), "epoch"]),
        "length": _length(results),
        "best_accuracy": _best_accuracy(results),
        "first_edge": first_edge(results),
        "six_states": with_states(results, SIX),
        "hmmlearn": fit_twins(results, sorted({summary["n_states"], SIX})),
        "forks": _forks(read_json(results / "forks.json"), tmap),
        "phases": {
            name: {"sentence": phase["sentence"], "median_epoch": phase["median_epoch"]}
            for name, phase in phases["phases"].items()
        },
        "phase_order": phases["order"],
        "sensitivity": _sensitivity(results),
        "seconds": _seconds(results),
    }


def collect_map(tmap: Mapping[str, Any], convergence: pd.DataFrame) -> dict[str, Any]:
    """States, transitions with the change of L2, and paths with when their runs converge.

    Changes are differences of the states' means, in standard deviations of a run's metric.
    """
    l2 = {state["state"]: state["mean"].get("l2") for state in tmap["states"]}
    times = convergence[convergence["converged"].astype(bool)].set_index("seed")["epoch"]
    return {
        "linear": tmap["linear"],
        "states": [
            {
                "state": state["state"],
                "name": state["name"],
                "share_of_checkpoints": state["share_of_checkpoints"],
                "n_runs": state["n_runs"],
            }
            for state in tmap["states"]
        ],
        "transitions": [
            {
                "from": edge["from"],
                "to": edge["to"],
                "n_runs": edge["n_runs"],
                "l2_change": l2[edge["to"]] - l2[edge["from"]],
                "changes": {c["metric"]: c["change"] for c in edge["feature_changes"]},
            }
            for edge in tmap["transitions"]
        ],
        "paths": [
            {
                "states": path["states"],
                "n_runs": len(path["seeds"]),
                "seeds": path["seeds"],
                "convergence": _spread(times.reindex(path["seeds"]).dropna()),
            }
            for path in tmap["paths"]
        ],
    }


def _spread(values: Iterable[float]) -> dict[str, Any]:
    """How many values there are, their extremes and their median."""
    numbers = pd.Series(list(values), dtype=float)
    if numbers.empty:
        return {"n": 0, "least": None, "median": None, "most": None}
    return {
        "n": len(numbers),
        "least": float(numbers.min()),
        "median": float(numbers.median()),
        "most": float(numbers.max()),
    }


def _length(results: Path) -> dict[str, Any]:
    """The epochs that the runs ended at."""
    logs = sorted(results.glob("runs/seed-*/training_log.parquet"))
    return _spread(float(read_table(log, ("epoch",))["epoch"].iloc[-1]) for log in logs)


def _best_accuracy(results: Path) -> dict[str, Any]:
    """The best evaluation accuracy of each run."""
    logs = sorted(results.glob("runs/seed-*/training_log.parquet"))
    return _spread(
        float(read_table(log, ("eval_accuracy",))["eval_accuracy"].max()) for log in logs
    )


def _selection(stability: Mapping[str, Any]) -> dict[str, Any]:
    """How firm the choice of the number of states is."""
    return {
        "verdict": stability["verdict"],
        "sentence": stability["sentence"],
        "criterion": stability["criterion"],
        "differences": {str(row["n_states"]): row["difference"] for row in stability["candidates"]},
    }


def _forks(forks: Mapping[str, Any], tmap: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each fork's branches with the change of L2 along them, and its sentence."""
    l2 = {state["state"]: state["mean"].get("l2") for state in tmap["states"]}
    return [
        {
            "state": fork["state"],
            "sentence": fork["sentence"],
            "predicts_convergence": fork["predicts_convergence"],
            "p_value_adjusted": fork["p_value_adjusted"],
            "branches": [
                {
                    "to": branch["to"],
                    "n_runs": branch["n_runs"],
                    "mean_epoch": branch["mean_epoch"],
                    "l2_change": l2[branch["to"]] - l2[fork["state"]],
                }
                for branch in fork["branches"]
            ],
        }
        for fork in forks["forks"]
    ]


def _sensitivity(results: Path) -> list[dict[str, Any]]:
    """The rows of the sensitivity analysis, the reference first; none if it was not made."""
    file = results / "sensitivity.csv"
    return _records(file, _VARIANT) if file.exists() else []


def _records(file: Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Some columns of a table, row by row, as JSON has them."""
    table = read_table(file, columns)[list(columns)]
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return rows


def _seconds(results: Path) -> dict[str, float]:
    """Seconds of all jobs of the analysis, on one thread each, and of the sensitivity's."""

    def total(files: Iterable[Path]) -> float:
        lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
        return round(sum(json.loads(line)["s"] for line in lines), 1)

    every = set(results.glob("benchmarks/**/*.jsonl"))
    others = set(results.glob("benchmarks/**/sensitivity/*.jsonl"))
    return {"analysis": total(every - others), "sensitivity": total(others)}


def render(reference: Path) -> str:
    """The page, from the reference data's settings and results, and the paper's numbers."""
    import jinja2

    paper = yaml.safe_load((reference / "paper.yaml").read_text(encoding="utf-8"))
    found = {}
    for name in experiments(reference):
        settings = read_json(reference / name / "settings.json")
        results = read_json(reference / name / "results.json")
        if name not in paper["experiments"]:
            raise InputError(f"{reference / 'paper.yaml'}: says nothing of {name}")
        about = paper["experiments"][name]
        about["length"] = SETTINGS[about["beside"]]["length"]
        found[name] = {
            **results,
            "beside": about["beside"],
            "asked_length": about["length"],
            "settings": settings,
            "float32": read_json(reference / name / "float32.json"),
            "differs": differences(settings, results, about),
        }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {
        "number": number,
        "p": p_value,
        "gain": gain,
        "shares": shares,
        "verdict": verdict,
    }
    template = environment.get_template(TEMPLATE.name)
    order = [name for name in paper["experiments"] if name in found]
    return template.render(
        runs={name: found[name] for name in order},
        verdicts=read_verdicts(reference),
        paper=PAPER,
        planned=paper["planned"],
        beyond=_beyond(reference),
        progress=read_json(reference / "modular_addition" / "progress.json"),
        choices=read_json(reference / "modular_addition" / "open_choices.json"),
        counted=summary,
        twin_restarts=RESTARTS,
    )


def _beyond(reference: Path) -> dict[str, Any]:
    """What `tools.beyond` found in the runs that are not of the paper's settings, and recipes."""
    kept = reference / "beyond" / "results.json"
    found = read_json(kept) if kept.exists() else {}
    for name in found:
        settings = reference / "beyond" / name / "settings.json"
        if settings.exists():
            found[name]["recipe"] = read_json(settings)["recipe"]
    return found


def differences(
    settings: Mapping[str, Any], results: Mapping[str, Any], about: Mapping[str, Any]
) -> list[str]:
    """Where a reference experiment is not what the paper did: runs, length, data, recipe."""
    differs = list(about.get("differs", []))
    if settings["n_runs"] != about["n_runs"]:
        differs.append(f"{settings['n_runs']} runs, not {about['n_runs']}")
    recipe, length = settings["recipe"], results["length"]
    unit = recipe["unit"]
    if recipe["length"] != about["length"]:
        differs.append(f"{recipe['length']:,} {unit}s, not {about['length']:,}")
    if recipe["stop_above"] is not None:
        differs.append(
            f"each run ends {recipe['stop_after']} checkpoints after its accuracy exceeds "
            f"{recipe['stop_above']:g}, at epoch {length['least']:.0f} to {length['most']:.0f}"
        )
    return differs


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals; a dash where there is none.

    More decimals where the rounding would say 1, which is perfect here, of something less.
    """
    if value is None:
        return "–"
    while 0.5 < value < 1 and round(value, digits) == 1 and digits < 9:
        digits += 1
    return f"{value:.{digits}f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p-value as the paper prints it."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


if __name__ == "__main__":
    main()

"""Make reference data of an experiment's runs: their metrics and logs, and what made them.

    python -m tools.reference_data results/sparse_parities [...]

writes `reference/sparse_parities/`: `metrics.parquet` and `training_log.parquet`, each one table of
all runs (`seed`, `step` and the columns), and `settings.json`; and `reference/SHA256SUMS` anew. Run
it with the code and on the machine that trained: both are written down. `--extend` keeps the runs
that are there already, if these were made in the same way.

Metrics and losses are float32, which is what the networks were trained in. Accuracies stay float64:
"greater than 0.97" is another question in float32, where 0.97 is 0.97000003. What float32 does to
the results is written to `float32.json`, once both have been analysed; of runs that were added,
these alone, with their `seeds` set:

    python -m tools.reference_data --compare results/mine results/reference_mine
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from training_maps.utils.code_digest import stage_digest
from training_maps.utils.errors import InputError
from training_maps.utils.files import (
    read_json,
    read_table,
    replace_when_whole,
    table_metadata,
    write_json,
)
from training_maps.utils.seeds import format_seeds, parse_seeds

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "reference"
SUMS = "SHA256SUMS"
TABLES = ("metrics", "training_log")
_EXACT = ("seed", "step", "epoch", "train_accuracy", "eval_accuracy")


def main() -> None:
    """Read the command line, and write what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+", help="folder of an experiment's results")
    parser.add_argument("--reference", type=Path, default=REFERENCE, help="folder to write to")
    parser.add_argument(
        "--extend", action="store_true", help="keep the runs that the reference data have already"
    )
    parser.add_argument(
        "--compare", action="store_true", help="compare the results of runs and of their reference"
    )
    arguments = parser.parse_args()
    if arguments.compare:
        original, of_reference = arguments.results
        name = original.resolve().name
        write_json(compare(original, of_reference), arguments.reference / name / "float32.json")
        return
    for results in arguments.results:
        make_reference(results, arguments.reference / results.resolve().name, arguments.extend)
    write_checksums(arguments.reference)


def make_reference(results: Path, target: Path, extend: bool = False) -> None:
    """Write the reference data of the runs in `results` to the folder `target`.

    Args:
        results: of an experiment, with its runs.
        target: the folder of its reference data.
        extend: add the runs to those that `target` has.

    Raises:
        InputError: if there is no finished run, or runs were not made in the same way.
    """
    seeds = finished_seeds(results)
    tables = {name: _all_runs(results, seeds, name) for name in TABLES}
    settings = _settings(results, seeds, tables["training_log"])
    if extend:
        earlier = read_json(target / "settings.json")
        settings = _together(earlier, settings, target)
        for name, table in tables.items():
            there = pd.read_parquet(target / f"{name}.parquet")
            both = pd.concat([there, table], ignore_index=True)
            tables[name] = both.sort_values(["seed", "step"], ignore_index=True)
    for name, whole in tables.items():
        with replace_when_whole(target / f"{name}.parquet") as aside:
            table = pa.Table.from_pandas(whole, preserve_index=False)
            # Smoothly growing float32 differ in their low bytes only.
            streams = [field.name for field in table.schema if field.type == pa.float32()]
            pq.write_table(
                table.replace_schema_metadata(None),
                aside,
                compression="zstd",
                compression_level=19,
                use_dictionary=[name for name in table.column_names if name not in streams],
                use_byte_stream_split=streams,
            )
    write_json(settings, target / "settings.json")


def _together(earlier: dict[str, Any], new: dict[str, Any], target: Path) -> dict[str, Any]:
    """The settings of reference data with the runs of both; they must agree in all that made them.

    Raises:
        InputError: if they do not, or if both have a run of the same seed.
    """
    for name in ("recipe", "made_by", "hardware"):
        if earlier[name] != new[name]:
            raise InputError(
                f"{target}: its runs were made otherwise than these: {name} is {earlier[name]} "
                f"there and {new[name]} here"
            )
    there, here = (set(parse_seeds(one["seeds"])) for one in (earlier, new))
    if there & here:
        raise InputError(f"{target}: has runs of seeds {format_seeds(there & here)} already")
    lengths = earlier["checkpoints_per_run"] + new["checkpoints_per_run"]
    return {
        **new,
        "seeds": format_seeds(there | here),
        "n_runs": len(there | here),
        "checkpoints_per_run": [min(lengths), max(lengths)],
        "training": {
            name: round(earlier["training"][name] + value, 1)
            for name, value in new["training"].items()
        },
    }


def compare(original: Path, of_reference: Path) -> dict[str, Any]:
    """What an analysis of the runs says, and one of their reference data, and how far they differ.

    Args:
        original: results of the runs.
        of_reference: results of the reference data made of them.
    """
    folders = {"original": original, "reference": of_reference}
    found: dict[str, Any] = {}
    for which, folder in folders.items():
        summary = read_json(folder / "summary.json")
        found[which] = {
            name: summary[name] for name in ("n_states", "r_squared", "p_value", "dissimilarity")
        } | {"bic": read_json(folder / "training_map.json")["selected_model"]["value"]}
    paths, scores, times = (
        [read_table(folder / name) for folder in folders.values()]
        for name in ("state_paths.csv", "hmm/model_selection.csv", "convergence.csv")
    )
    both = paths[0].merge(paths[1], on=["seed", "step"], how="outer")
    return found | {
        "n_runs": int(both["seed"].nunique()),
        "same_states": float((both["state_x"] == both["state_y"]).mean()),
        "same_convergence_times": bool(times[0].equals(times[1])),
        "largest_bic_difference": float((scores[0]["bic"] - scores[1]["bic"]).abs().max()),
    }


def write_checksums(reference: Path) -> None:
    """Write the SHA-256 of every file of the reference data, as `sha256sum` does."""
    lines = [f"{sha256(file)}  {file.relative_to(reference)}\n" for file in data_files(reference)]
    with replace_when_whole(reference / SUMS) as aside:
        aside.write_text("".join(lines), encoding="utf-8")


def data_files(reference: Path) -> list[Path]:
    """The files that checksums are of, in order: each experiment's tables and settings."""
    names = [*(f"{name}.parquet" for name in TABLES), "settings.json"]
    return sorted(file for name in names for file in reference.glob(f"*/{name}"))


def sha256(file: Path) -> str:
    """A file's SHA-256 in hexadecimal digits."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def finished_seeds(results: Path) -> list[int]:
    """The seeds whose runs have both tables, ascending."""
    folders = [
        folder
        for folder in results.glob("runs/seed-*")
        if all((folder / f"{name}.parquet").is_file() for name in TABLES)
    ]
    if not folders:
        raise InputError(f"{results}: has no run with {' and '.join(TABLES)}.parquet")
    return sorted(int(folder.name.removeprefix("seed-")) for folder in folders)


def _all_runs(results: Path, seeds: Iterable[int], name: str) -> pd.DataFrame:
    """The tables `name` of all runs as one, with `seed` before their columns."""
    parts = []
    for seed in seeds:
        table = read_table(results / f"runs/seed-{seed}/{name}.parquet", ("step",))
        table.insert(0, "seed", seed)
        if parts and list(table.columns) != list(parts[0].columns):
            raise InputError(f"{results}: seed {seed} has other columns of {name} than the first")
        parts.append(table)
    whole = pd.concat(parts, ignore_index=True)
    narrow = {column: "float32" for column in whole.columns if column not in _EXACT}
    return whole.astype(narrow | {"seed": "int32", "step": "int32"})


def _settings(results: Path, seeds: list[int], logs: pd.DataFrame) -> dict[str, Any]:
    """What made the runs: the recipe, the code, the machine, and how long it took."""
    recipes = {
        seed: table_metadata(results / f"runs/seed-{seed}/training_log.parquet") for seed in seeds
    }
    recipe = recipes[seeds[0]]
    for seed, other in recipes.items():
        if {**other, "seed": None} != {**recipe, "seed": None}:
            raise InputError(f"{results}: seed {seed} was trained otherwise than seed {seeds[0]}")
    if recipe["device"] != "cpu":
        raise InputError(f"{results}: was trained on {recipe['device']}; name the device here")
    length = logs.groupby("seed").size()
    return {
        "experiment": results.resolve().name,
        "seeds": format_seeds(seeds),
        "n_runs": len(seeds),
        "checkpoints_per_run": [int(length.min()), int(length.max())],
        "recipe": {name: value for name, value in recipe.items() if name not in _NOT_RECIPE},
        "made_by": {
            "training_maps": recipe["training_maps"],
            "torch": recipe["torch"],
            "code_train": stage_digest("train", task=recipe["task"]),
            "code_metrics": stage_digest("metrics", rust=ROOT / "rust_metrics"),
        },
        "hardware": {
            "device": recipe["device"],
            "processor": processor(),
            "cores": os.cpu_count(),
        },
        "training": _seconds(results),
    }


_NOT_RECIPE = ("training_maps", "torch", "device", "seed")


def processor() -> str:
    """The processor's name, as the system tells it."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _seconds(results: Path) -> dict[str, Any]:
    """Wall-clock and processor seconds of all training jobs together, as Snakemake measured."""
    rows = [
        json.loads(line)
        for file in sorted(results.glob("benchmarks/train_*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    return {
        "n_jobs": len(rows),
        "wall_seconds": round(sum(row["s"] for row in rows), 1),
        "processor_seconds": round(sum(row["cpu_time"] for row in rows), 1),
    }


if __name__ == "__main__":
    main()

"""Every command on broken files: one message that names the file, status 1, and no output."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.synthetic_layers import layers_of_run
from tests.support.synthetic_results import write_results
from training_maps import cli
from training_maps.utils.files import write_table

RUNS = 6

# What each command is called with, and which inputs are broken; "out/" is for what it writes.
COMMANDS = {
    "observations": ("--runs runs --seeds 0-5 --output out/observations.parquet",
                     ["runs/seed-3/metrics.parquet"]),
    "hmm": ("--observations observations.parquet --n-states 2 --restarts 1 "
            "--output out/hmm/states-2.npz --scores out/hmm/states-2.csv",
            ["observations.parquet"]),
    "map": ("--observations observations.parquet --models hmm --n-states 2 "
            "--selection out/hmm/model_selection.csv --stability out/hmm/stability.json "
            "--output out/training_map.json --state-paths out/state_paths.csv",
            ["observations.parquet", "hmm/states-2.npz", "hmm/states-2.csv"]),
    "convert": ("training_map.json out/map.graphml", ["training_map.json"]),
    "semantics": ("--state-paths state_paths.csv --runs runs --column eval_accuracy "
                  "--threshold 0.9 --resamples 9 --convergence out/convergence.csv "
                  "--outcomes out/outcomes.csv "
                  "--coefficients out/coefficients.csv --delays out/delays.csv "
                  "--regression out/regression.json",
                  ["state_paths.csv", "runs/seed-3/training_log.parquet"]),
    "forks": ("--state-paths state_paths.csv --convergence convergence.csv --runs runs "
              "--permutations 9 --output out/forks.json --run-paths out/run_paths.csv",
              ["state_paths.csv", "convergence.csv", "runs/seed-3/training_log.parquet"]),
    "phase_transitions": ("--state-paths state_paths.csv --runs runs "
                          "--output out/phase_transitions.csv --summary out/phase_transitions.json",
                          ["state_paths.csv", "runs/seed-3/training_log.parquet"]),
    "dissimilarity": ("--state-paths state_paths.csv --training-map training_map.json "
                      "--output out/dissimilarity.csv --per-run out/dissimilarity_per_run.csv",
                      ["state_paths.csv", "training_map.json"]),
    "layer_changes": ("--state-paths state_paths.csv --runs runs "
                      "--output out/layer_changes.parquet",
                      ["state_paths.csv", "runs/seed-3/layers.parquet"]),
    "outliers": ("--state-paths state_paths.csv --output out/outliers.csv", ["state_paths.csv"]),
    "spread": ("--state-paths state_paths.csv other_paths.csv --permutations 9 --output out/s.json",
               ["other_paths.csv"]),
    "sensitivity_variant": ("--observations observations.parquet --state-paths state_paths.csv "
                            "--training-map training_map.json --regression regression.json "
                            "--outcomes outcomes.csv --n-states 2 --restarts 1 --output out/v.json",
                            ["observations.parquet", "state_paths.csv", "training_map.json",
                             "regression.json", "outcomes.csv"]),
    "summary": ("--results . --output out/summary.json",
                ["training_map.json", "state_paths.csv", "convergence.csv", "coefficients.csv",
                 "regression.json", "dissimilarity.csv", "forks.json", "hmm/model_selection.csv",
                 "hmm/stability.json", "phase_transitions.json"]),
    "compare": ("--summaries summary.json --csv out/c.csv --html out/c.html", ["summary.json"]),
    "tables": ("--path history.csv --seeds 0-5 --runs out", ["history.csv"]),
    "calibrate": ("--map . --output out/alone/placing.npz",
                  ["training_map.json", "observations.parquet", "hmm/states-2.npz",
                   "runs/seed-3/metrics.parquet", "regression.json", "convergence.csv",
                   "forks.json"]),
    "place": ("--map alone/placing.npz history.csv --output out",
              ["alone/placing.npz", "history.csv"]),
    "state_paths": ("--table other_paths.csv --output out/map.json --state-paths out/paths.csv",
                    ["other_paths.csv"]),
}  # fmt: skip
# Files that a command does without, if they are not there.
OPTIONAL = ("training_log.parquet", "convergence.csv", "coefficients.csv", "regression.json",
            "dissimilarity.csv", "forks.json", "phase_transitions.json")  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a whole file for every input of every command, made by the commands."""
    folder = tmp_path_factory.mktemp("whole")
    write_results(folder / "made_up", RUNS, 3, n_checkpoints=30)
    shutil.move(folder / "made_up/runs", folder / "runs")
    shutil.move(folder / "made_up/state_paths.csv", folder / "other_paths.csv")
    draw = np.random.default_rng(0)
    history = []
    for seed in range(RUNS):
        late = np.arange(30) >= 12 + seed
        table = pd.DataFrame({"step": 32 * np.arange(30)})
        for metric in ("l1", "l2", "trace"):
            table[metric] = 4.0 * late + draw.normal(0, 0.3, 30)
        write_table(table, folder / f"runs/seed-{seed}/metrics.parquet")
        layers = layers_of_run(late, table["step"], seed)
        write_table(layers, folder / f"runs/seed-{seed}/layers.parquet")
        history.append(table.assign(seed=seed))
    pd.concat(history).to_csv(folder / "history.csv", index=False)
    with contextlib.chdir(folder):
        for command in COMMANDS:
            assert call(command) == 0, command
            shutil.copytree("out", ".", dirs_exist_ok=True)
            shutil.rmtree("out")
    return folder


def call(command):
    return cli.main([command, *COMMANDS[command][0].split()])


def missing(path):
    path.unlink()


def folder_instead(path):
    path.unlink()
    path.mkdir()


def put(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def truncated(share: float) -> Callable[[Path], object]:
    def truncate(path):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

    return truncate


ALWAYS = {
    "missing": missing,
    "folder": folder_instead,
    "empty": put(b""),
    "junk": put(bytes(range(256)) * 20),
    "zeros": put(bytes(5000)),
    "latin-1": put("größe,schritt\n1,ü\n".encode("latin-1")),
    "utf-16": put("seed,step,state\n0,0,0\n".encode("utf-16")),
    "a page": put(b"<!DOCTYPE html><html><body>404 not found</body></html>\n" * 5),
}


def of_table(change):
    """A change of a table, in its own format."""

    def changed(path):
        read = pd.read_csv if path.suffix == ".csv" else pd.read_parquet
        table = change(read(path))
        if path.suffix == ".csv":
            table.to_csv(path, index=False)
        else:
            table.to_parquet(path)

    return changed


def with_text(table):
    return table.astype(object).mask(np.eye(*table.shape, -3, dtype=bool), "many").astype(str)


OF_TABLES = {
    "no rows": of_table(lambda table: table.iloc[:0]),
    "no columns": of_table(lambda table: table.iloc[:, :0]),
    "first column only": of_table(lambda table: table.iloc[:, :1]),
    "first column missing": of_table(lambda table: table.iloc[:, 1:]),
    "all texts": of_table(lambda table: table.map(lambda _: "x")),
    "some texts": of_table(with_text),
    "all empty": of_table(lambda table: table.map(lambda _: None)),
    "infinite": of_table(lambda table: table.select_dtypes("number").astype(float) * np.inf),
    "negative": of_table(lambda table: -1 - table.select_dtypes("number").astype(float)),
    "fractions": of_table(lambda table: table.select_dtypes("number") + 0.5),
    "twice": of_table(lambda table: pd.concat([table, table])),
    "huge": of_table(lambda table: table.select_dtypes("number").astype(float) * 1e300),
}
OF_CSV = {
    "header only, cut": put(b"seed,st"),
    "ragged": lambda path: path.write_text(path.read_text() + "1,2,3,4,5,6,7,8,9,10,11,12,13\n"),
    "columns twice": lambda path: path.write_text(
        "\n".join(f"{line},{line}" for line in path.read_text().splitlines())
    ),
    "open quote": lambda path: path.write_text('"' + path.read_text()),
    "null bytes": lambda path: path.write_bytes(path.read_bytes().replace(b"1", b"\x00")),
}


def of_json(change):
    def changed(path):
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return changed


def replaced(value):
    """A JSON value whose every number, text and list is `value`."""

    def replace(data):
        return (
            {key: replace(part) for key, part in data.items()} if isinstance(data, dict) else value
        )

    return of_json(replace)


OF_JSON = {
    "null": put(b"null"),
    "list": put(b"[]"),
    "text": put(b'"text"'),
    "no keys": put(b"{}"),
    "deep": put(b"[" * 100_000),
    "all null": replaced(None),
    "all texts": replaced("x"),
    "all numbers": replaced(-7),
    "all lists": replaced([]),
    "all of null": replaced([None]),
    "first key missing": of_json(lambda data: dict(list(data.items())[1:])),
    "last key missing": of_json(lambda data: dict(list(data.items())[:-1])),
}


def of_arrays(change):
    def changed(path):
        with np.load(path) as arrays:
            data = dict(arrays)
        np.savez(path, **change(data))

    return changed


OF_ARRAYS = {
    "no arrays": of_arrays(lambda data: {}),
    "pickled": of_arrays(lambda data: {key: np.array([{}], dtype=object) for key in data}),
    "of zeros": of_arrays(lambda data: {key: np.zeros(3) for key in data}),
    "not finite": of_arrays(
        lambda data: {k: v * np.nan if v.dtype.kind == "f" else v for k, v in data.items()}
    ),
}


def breakages(file):
    found = ALWAYS | {f"first {share:.0%}": truncated(share) for share in (0.02, 0.5, 0.97)}
    suffix = Path(file).suffix
    if suffix in (".csv", ".parquet"):
        found = found | OF_TABLES
    return found | {".csv": OF_CSV, ".json": OF_JSON, ".npz": OF_ARRAYS}.get(suffix, {})


CASES = [(command, file) for command, (_, files) in COMMANDS.items() for file in files]


@pytest.mark.parametrize(("command", "file"), CASES, ids=lambda value: value)
def test_a_broken_file_is_named(command, file, whole, tmp_path, capsys):
    folder = tmp_path / "results"
    shutil.copytree(whole, folder)
    wrong = []
    for name, damage in breakages(file).items():
        damage(folder / file)
        with contextlib.chdir(folder):
            status = call(command)
        told = capsys.readouterr().err
        out = folder / "out"
        if status == 0 and name in ALWAYS and not (name == "missing" and is_optional(file)):
            wrong.append(f"{name}: is taken")
        elif status != 0 and not names_the_fault(told, command):
            wrong.append(f"{name}: is not named: {told:.300}")
        elif "Traceback" in told and "make it again" not in told:
            wrong.append(f"{name}: is said to be a bug: {told:.300}")
        elif (
            status != 0
            and "Traceback" not in told
            and out.exists()
            and any(path.is_file() for path in out.rglob("*"))
        ):
            wrong.append(f"{name}: something was written")
        if (folder / file).is_dir():
            shutil.rmtree(folder / file)
        shutil.copy(whole / file, folder / file)
        shutil.rmtree(out, ignore_errors=True)
    assert not wrong, "\n".join(wrong)


def is_optional(file):
    return Path(file).name in OPTIONAL


def names_the_fault(told, command):
    """Whether a message names the file, or the seeds or files that do not fit each other.

    What no check foresaw names all files that the command was given.
    """
    files = [Path(file).name for file in COMMANDS[command][1]]
    return any(word in told for word in (*files, "seed", "state paths", "group", "make it again: "))

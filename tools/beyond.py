"""What the runs of reference/beyond/ say: of stability, the loss landscape, and forgetting.

    snakemake --cores all --config experiments=beyond
    python -m tools.beyond

takes the numbers from the results and the reference data and keeps them in
`reference/beyond/results.json`, of which `tools.reproduction` makes its section.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from tools.progress_events import marks
from tools.second_opinions import with_states
from tools.verdicts import verdict

from training_maps.analysis.dispersion import equally_spread
from training_maps.analysis.semantics.outcomes import convergence_times
from training_maps.hmm.observations import Observations
from training_maps.metrics.definitions import LANDSCAPE, METRIC_COLUMNS
from training_maps.model_selection.fitted import load_fitted
from training_maps.training_map.paths import read_state_paths
from training_maps.utils.files import read_json, read_table, write_json

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "reference" / "beyond"
FILE = "results.json"
_SUMMARY = (
    "n_runs", "n_converged", "n_states", "r_squared", "p_value", "forking", "detour_states",
    "delays",
)  # fmt: skip
RESAMPLES = 2000
PERMUTATIONS = 9999
# Fewer runs of a kind than this say nothing of their kind.
FEWEST = 3
# States of the paper's maps that fork.
SIX = 6
# Stable image settings, of which each has destabilised variants, and their thresholds.
FAMILIES = {"small_digits": 0.8, "small_cifar": 0.75}
DESTABILIZED = "{}_destabilized"
# What is known of the ground that runs of modular addition stand on, at kept checkpoints.
GROK = ROOT / "reference" / "modular_addition"
GROK_LANDSCAPE = "modular_addition_landscape"
# With eight runs more resamples cost nothing, and many intervals hold together.
GROK_RESAMPLES = 50_000


def main() -> None:
    """Take the numbers of the results that are there; keep those of the others."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    arguments = parser.parse_args()
    found = read_json(REFERENCE / FILE) if (REFERENCE / FILE).exists() else {}
    for name in names(REFERENCE):
        results = arguments.results / f"reference_{name}"
        if (results / "summary.json").exists():
            found[name] = collect(results, REFERENCE / name)
    found["stability"] = stability(REFERENCE)
    for family in FAMILIES:
        pair = (family, DESTABILIZED.format(family))
        paths = [arguments.results / f"reference_{name}" / "state_paths.csv" for name in pair]
        if all(file.exists() for file in paths):
            ways = equally_spread(*(read_state_paths(file) for file in paths))
            found.setdefault("ways", {})[family] = ways.to_dict()
    grok = arguments.results / "reference_modular_addition"
    if (grok / "state_paths.csv").exists():
        found[GROK_LANDSCAPE] = of_modular_addition(grok, GROK)
    write_json(found, REFERENCE / FILE)


def names(reference: Path) -> list[str]:
    """The names of the experiments that there is reference data of, sorted."""
    return sorted(file.parent.name for file in reference.glob("*/settings.json"))


def collect(results: Path, kept: Path) -> dict[str, Any]:
    """One experiment's numbers, ready for JSON."""
    times = read_table(results / "convergence.csv", ("seed", "step", "converged"))
    converged = times.loc[times["converged"].astype(bool), "step"]
    settings = read_json(kept / "settings.json")
    found = {
        **_plain(results),
        "convergence": quartiles(converged),
        "steps": int(read_table(results / "state_paths.csv", ("step",))["step"].max()),
        "processor_seconds": settings["training"]["processor_seconds"],
    }
    by_paper = results.parent / "by_paper" / results.name
    if (by_paper / "summary.json").exists():
        found["by_paper"] = _plain(by_paper)
    states = read_state_paths(results / "state_paths.csv")
    metrics = pd.read_parquet(kept / "metrics.parquet")
    if set(LANDSCAPE) <= set(metrics.columns):
        found["landscape"] = landscape(states, metrics, times)
    if settings["recipe"]["task"] == "digits_in_turn":
        logs = pd.read_parquet(kept / "training_log.parquet")
        recipe = settings["recipe"]
        found["forgetting"] = forgetting(states, logs, metrics, recipe)
        found["forgetting_six_states"] = forgetting(six_states(results), logs, metrics, recipe)
    return found


def _plain(results: Path) -> dict[str, Any]:
    """What one analysis says of its map: its summary, verdict, halves and shape."""
    summary, halves, structure = (
        read_json(results / f"{name}.json") for name in ("summary", "reproducibility", "structure")
    )
    paths = read_json(results / "training_map.json")["paths"]
    return {
        **{key: summary[key] for key in _SUMMARY},
        "verdict": verdict(structure),
        "agreement": halves["agreement"]["states"],
        "found": {kind: halves["found"].get(kind, []) for kind in ("forks", "delays")},
        "six_states": _shape(with_states(results, SIX)),
        "on_commonest_path": max(len(path["seeds"]) for path in paths),
    }


def six_states(results: Path) -> pd.DataFrame:
    """Each run's states by the best fit with `SIX` states, however many were chosen."""
    obs = Observations.load(results / "observations.parquet")
    model = load_fitted(results / "hmm" / f"states-{SIX}.npz", obs).hmm
    x, lengths, _ = obs.sequences()
    return obs.table[["seed", "step"]].assign(state=model.predict(x, lengths))


def _shape(found: Mapping[str, Any]) -> dict[str, Any]:
    """Of a map with another number of states: forks, detours, and how many runs go one way."""
    return {
        "forks": [fork["state"] for fork in found["forks"]],
        "predicting": [f["state"] for f in found["forks"] if f["predicts_convergence"]],
        "detour_states": found["detour_states"],
        "on_commonest_path": found["on_commonest_path"],
    }


def quartiles(values: Iterable[float]) -> dict[str, float | int | None]:
    """How many values, their extremes, quartiles and median."""
    numbers = np.array(sorted(values), dtype=float)
    if not len(numbers):
        return {"n": 0} | dict.fromkeys(("least", "low", "median", "high", "most"))
    at = np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1])
    names = ("least", "low", "median", "high", "most")
    return {"n": len(numbers)} | dict(zip(names, map(float, at), strict=True))


def stability(reference: Path) -> dict[str, Any]:
    """When runs of each kept image setting converge, and how far apart.

    Distances of times from their median are compared with those of the family's stable setting
    (Brown and Forsythe 1974), by permutation, in steps and as shares of the median: later times may
    be no more spread for their size. A run that does not converge counts as its last step.
    """
    found: dict[str, Any] = {}
    kept = names(reference)
    for family, threshold in FAMILIES.items():
        stable = None
        for name in (n for n in kept if n.startswith(family)):  # the stable one is the first
            table = pd.read_parquet(reference / name / "training_log.parquet")
            logs = {int(str(seed)): log for seed, log in table.groupby("seed")}
            times = convergence_times(logs, threshold)
            steps, converged = times["step"].to_numpy(float), times["converged"].to_numpy(bool)
            away = np.abs(steps - np.median(steps))
            shares = away / np.median(steps)
            stable = (away, shares) if stable is None else stable
            final = [log["eval_accuracy"].iloc[-1] for log in logs.values()]
            found[name] = {
                "n_runs": len(steps),
                "convergence": quartiles(steps[converged]),
                "mean_distance": float(away.mean()),
                "of_the_median": float(shares.mean()),
                "p_value": mean_differs(stable[0], away),
                "p_value_of_shares": mean_differs(stable[1], shares),
                "final_accuracy": quartiles(final),
            }
    return found


def mean_differs(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The two-sided permutation p of two groups' means being equal."""
    difference = abs(first.mean() - second.mean())
    rng = np.random.default_rng(0)
    both = np.concatenate([first, second])
    shuffled = rng.permuted(np.tile(both, (PERMUTATIONS, 1)), axis=1)
    n = len(first)
    apart = np.abs(shuffled[:, :n].mean(1) - shuffled[:, n:].mean(1))
    return float((1 + (apart >= difference - 1e-9).sum()) / (1 + PERMUTATIONS))


def landscape(
    states: pd.DataFrame,
    metrics: pd.DataFrame,
    times: pd.DataFrame,
    others: Mapping[str, pd.DataFrame] | None = None,
    n_resamples: int = RESAMPLES,
) -> list[dict[str, Any]]:
    """Of each state and phase: how often its runs' ground is sharper than others' at that time.

    Args:
        states: `seed`, `step`, `state`; rows that `metrics` does not have do not count.
        metrics: `seed`, `step` and the columns of `LANDSCAPE`.
        times: `seed`, `step` of convergence, and whether a run `converged`.
        others: more groups by name: `seed`, `step`, and whether a run is `inside`.
        n_resamples: resamples of the runs for each interval.

    Returns:
        A row for each state and column, and for the checkpoints within two of a run's convergence.
        Intervals hold together in 95 % of the time: there are as many as rows.
    """
    here = metrics[["seed", "step"]]
    placed = _by_time(states.merge(here, on=["seed", "step"]), "state")
    own = times.set_index("seed").loc[placed.index]
    at = np.searchsorted(placed.columns, own["step"])
    groups = {f"state {s:g}": placed.to_numpy() == s for s in np.unique(placed)}
    for name, table in (others or {}).items():
        inside = _by_time(table.merge(here, on=["seed", "step"]), "inside").reindex_like(placed)
        groups[name] = inside.to_numpy() == 1
    near = np.abs(np.arange(placed.shape[1]) - at[:, None]) <= 2
    groups["converging"] = near & own["converged"].to_numpy(bool)[:, None]
    level = 0.05 / (len(groups) * len(LANDSCAPE))
    rows = []
    for group, inside in groups.items():
        for column in LANDSCAPE:
            values = _by_time(metrics, column).reindex_like(placed).to_numpy()
            found = share_higher(inside, values, level, n_resamples)
            rows.append({"group": group, "metric": column, **found})
    return rows


def _by_time(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column of numbers, a row a run and a column a step."""
    return table.astype({column: float}).pivot_table(
        index="seed", columns="step", values=column, dropna=False
    )


def of_modular_addition(results: Path, reference: Path) -> dict[str, Any]:
    """The ground that states, detours and phases of modular addition stand on.

    Args:
        results: of all its runs, by the paper's method. States are theirs; detours are those of
            the map with `SIX` states.
        reference: its folder of reference data, with `landscape.parquet` of some of the runs and
            `progress.parquet`, whose marks (`tools.progress_events`) part training in phases.
    """
    metrics = pd.read_parquet(reference / "landscape.parquet")
    progress = pd.read_parquet(reference / "progress.parquet")
    times = read_table(results / "convergence.csv", ("seed", "step", "converged"))
    seeds = metrics["seed"].unique()
    six = six_states(results)
    detours = with_states(results, SIX)["detour_states"]
    others = {
        "a detour, of six states": six.assign(inside=six["state"].isin(detours)),
        **phases(progress[progress["seed"].isin(seeds)]),
    }
    states = read_state_paths(results / "state_paths.csv")
    steps = np.unique(metrics["step"])
    settings = read_json(reference / "settings.json")
    return {
        "n_runs": len(seeds),
        "n_converged": int(times[times["seed"].isin(seeds)]["converged"].astype(bool).sum()),
        "epochs_apart": float(np.diff(steps).min() / settings["recipe"]["steps_per_epoch"]),
        "landscape": landscape(states, metrics, times, others, GROK_RESAMPLES),
    }


def phases(progress: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Of the mechanism's phases (Nanda et al. 2023), which runs are in them when.

    Memorising ends where excluded loss is lowest; then the circuit forms, until cleanup has halved
    the loss over all sums; a run without the latter is forming it to its end.
    """
    parts: dict[str, list[pd.DataFrame]] = {"memorising": [], "circuit forms": [], "cleaned up": []}
    for _, run in progress.groupby("seed"):
        found = marks(run)
        steps = run["step"].to_numpy()
        begins, clean = found["excluded_loss_lowest"], found["loss_halved"]
        after = steps >= (np.inf if clean is None else clean)
        before = (steps < begins) & ~after
        for name, inside in zip(parts, (before, ~before & ~after, after), strict=True):
            parts[name].append(run[["seed", "step"]].assign(inside=inside))
    return {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}


def share_higher(
    inside: NDArray[np.bool_],
    values: NDArray[np.float64],
    level: float = 0.05,
    n_resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Of a run inside a group and one outside it at the same time, how often the first is higher.

    Equal values count half, NaN does not count: one half means no difference. The interval is of
    resamples of the runs; with eight of them, one of 95 % holds the truth in 92 %.

    Args:
        inside: whether a run is in the group at a checkpoint, (n_runs, n_checkpoints).
        values: what is compared, of the same shape.
        level: one less the interval's coverage.
        n_resamples: how many resamples.

    Returns:
        `share`, `low`, `high`, and `n_inside`, `n_outside`: runs that are compared at all. With
        fewer than `FEWEST` of either there is no share.
    """
    finite = ~np.isnan(values)
    within, without = inside & finite, ~inside & finite
    both = within[:, None] & without[None]  # (inside, outside, checkpoint)
    higher = (values[:, None] > values[None]) + 0.5 * (values[:, None] == values[None])
    wins, pairs = (both * higher).sum(2), both.sum(2)
    n_inside, n_outside = (int((pairs.sum(axis) > 0).sum()) for axis in (1, 0))
    found: dict[str, Any] = {"n_inside": n_inside, "n_outside": n_outside}
    if min(n_inside, n_outside) < FEWEST:
        return {**found, "share": None, "low": None, "high": None}
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=n_resamples)
    weights = np.vstack([np.ones(len(values)), drawn]).astype(float)
    n_pairs = np.einsum("ri,ij,rj->r", weights, pairs, weights)
    told = n_pairs > 0  # a resample may have no run to compare with
    shares = np.einsum("ri,ij,rj->r", weights[told], wins, weights[told]) / n_pairs[told]
    low, high = np.quantile(shares[1:], [level / 2, 1 - level / 2])
    return {**found, "share": float(shares[0]), "low": float(low), "high": float(high)}


def forgetting(
    states: pd.DataFrame, logs: pd.DataFrame, metrics: pd.DataFrame, recipe: Mapping[str, Any]
) -> dict[str, Any]:
    """How much of the first task runs forget, and what of the moment they leave it tells that.

    What is forgotten is the accuracy on the first task when it is left, less that at the end.
    """
    left = recipe["first_epochs"] * recipe["steps_per_epoch"]
    accuracy = logs.pivot_table(index="seed", columns="step", values="eval_accuracy")
    leaving = accuracy.columns[accuracy.columns <= left][-1]
    lost = accuracy[leaving] - accuracy.iloc[:, -1]
    at = states[states["step"] == leaving].set_index("seed")["state"].loc[lost.index]
    there = metrics[metrics["step"] == leaving].set_index("seed").loc[lost.index]
    return {
        "left_at": int(leaving),
        "accuracy_when_left": quartiles(accuracy[leaving]),
        "forgotten": quartiles(lost),
        "by_state": {
            str(state): {"n_runs": len(own), "mean": float(own.mean())}
            for state, own in lost.groupby(at)
        },
        "state_p_value": groups_differ(at.to_numpy(), lost.to_numpy()),
        "metric": most_telling(there[list(METRIC_COLUMNS)], lost.to_numpy()),
    }


def groups_differ(groups: NDArray[np.int64], values: NDArray[np.float64]) -> float | None:
    """The permutation p of groups' means being equal; None unless two have `FEWEST` values."""
    kinds = [kind for kind in np.unique(groups) if (groups == kind).sum() >= FEWEST]
    if len(kinds) < 2:
        return None
    kept = np.isin(groups, kinds)
    member = (groups[kept, None] == kinds).astype(float)
    centred = values[kept] - values[kept].mean()

    def between(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((values @ member) ** 2 / member.sum(0)).sum(-1)

    rng = np.random.default_rng(0)
    shuffled = rng.permuted(np.tile(centred, (PERMUTATIONS, 1)), axis=1)
    larger = (between(shuffled) >= between(centred) * (1 - 1e-12)).sum()
    return float((1 + larger) / (1 + PERMUTATIONS))


def most_telling(table: pd.DataFrame, outcome: NDArray[np.float64]) -> dict[str, Any]:
    """The metric whose ranks go most with the outcome's; p is adjusted for how many there are."""
    ranks = np.apply_along_axis(rankdata, 0, table.to_numpy(dtype=float))
    ranks = ranks - ranks.mean(0)
    ranks /= np.maximum(np.linalg.norm(ranks, axis=0), 1e-300)
    target = rankdata(outcome) - (len(outcome) + 1) / 2
    target /= np.linalg.norm(target)
    found = target @ ranks
    rng = np.random.default_rng(0)
    shuffled = rng.permuted(np.tile(target, (PERMUTATIONS, 1)), axis=1)
    largest = np.abs(shuffled @ ranks).max(1)
    best = int(np.abs(found).argmax())
    larger = (largest >= abs(found[best]) - 1e-12).sum()
    return {
        "name": str(table.columns[best]),
        "correlation": float(found[best]),
        "p_value": float((1 + larger) / (1 + PERMUTATIONS)),
    }


if __name__ == "__main__":
    main()

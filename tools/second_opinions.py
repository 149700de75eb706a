"""Second opinions on a map: with another number of states, and by hmmlearn as the authors did.

The fits of all numbers of states are among an experiment's results, so that the map of another
number than the chosen one can be looked at. hmmlearn starts from k-means only and has no floor
under its covariances, so that its states need not be this project's. What is asked is whether it
agrees on what the page claims: whether all runs take one way, and how well shares of states predict
convergence times.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from training_maps.analysis.forks import explain_forks
from training_maps.analysis.semantics.outcomes import time_outcome
from training_maps.analysis.semantics.regression import regress
from training_maps.hmm.observations import Observations
from training_maps.model_selection.fitted import load_fitted
from training_maps.training_map.paths import find_routes, state_shares
from training_maps.utils.files import read_table

RESTARTS = 5


def with_states(results: Path, n_states: int) -> dict[str, Any]:
    """The map of the best fit with `n_states` states: paths, forks, R² and detours."""
    obs = Observations.load(results / "observations.parquet")
    model = load_fitted(results / "hmm" / f"states-{n_states}.npz", obs).hmm
    x, lengths, _ = obs.sequences()
    paths = obs.table[["seed", "step"]].assign(state=model.predict(x, lengths))
    convergence = read_table(results / "convergence.csv", ("seed", "step", "converged"))
    outcome = time_outcome(convergence, "eval_accuracy", 0.0)  # of the threshold only words hang
    fit = regress(state_shares(paths), outcome, alternatives=False)
    return {
        "n_states": n_states,
        "on_commonest_path": len(find_routes(paths)[0].seeds),
        "r_squared": fit.r_squared,
        "detour_states": list(fit.detour_states),
        "forks": [
            {
                "state": fork.state,
                "sentence": fork.sentence,
                "predicts_convergence": fork.predicts_convergence,
                "n_converged_before": sum(b.n_converged_before for b in fork.branches),
                "n_going_on": sum(b.n_runs for b in fork.branches),
            }
            for fork in explain_forks(paths, convergence).forks
        ],
    }


def fit_twins(results: Path, n_states: list[int]) -> list[dict[str, Any]]:
    """For each number of states, the ways of the runs and R² of the best of a few fits."""
    obs = Observations.load(results / "observations.parquet")
    convergence = read_table(results / "convergence.csv", ("seed", "fraction"))
    return [_twin(obs, convergence, k) for k in n_states]


def _twin(obs: Observations, convergence: pd.DataFrame, n_states: int) -> dict[str, Any]:
    from hmmlearn.hmm import GaussianHMM

    x, lengths, _ = obs.sequences("train")
    held_out, held_out_lengths, _ = obs.sequences("validation" if obs.has_validation else "train")
    fits = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's of k-means, hmmlearn's of missing states
        for restart in range(RESTARTS):
            fit = GaussianHMM(
                n_states, covariance_type="full", n_iter=100, tol=0.01, random_state=restart
            ).fit(x, lengths)
            fits.append((float(fit.score(held_out, held_out_lengths)), restart, fit))
        _, _, best = max(fits)
        everything, every_length, seeds = obs.sequences()
        path = best.predict(everything, every_length)
    paths = np.split(path, np.cumsum(every_length)[:-1])
    ways = [tuple(dict.fromkeys(run.tolist())) for run in paths]
    shares = np.array([np.bincount(run, minlength=n_states) / len(run) for run in paths])
    times = convergence.set_index("seed")["fraction"].loc[seeds].to_numpy()
    beta, *_ = np.linalg.lstsq(shares, times, rcond=None)
    total = float(((times - times.mean()) ** 2).sum())
    return {
        "n_states": n_states,
        "n_runs": len(ways),
        "most_on_one_way": max(ways.count(way) for way in ways),
        "forks": any(a[: len(b)] != b and b[: len(a)] != a for a in ways for b in ways),
        "r_squared": 1 - float(((times - shares @ beta) ** 2).sum()) / total if total else None,
    }

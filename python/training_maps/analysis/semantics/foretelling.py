"""Whether the states foretell when runs converge, or restate it.

Shares of a whole run hold the outcome: a run that converges as it leaves a state has spent its
convergence time there, and an R² near 1 says nothing else. Two numbers beside it tell:

- the R² of the best single state. If one state does nearly as well as all of them, and runs
  converge as they leave or enter it, the regression restates convergence;
- the R² of what was known before any run converged: the shares of the checkpoints up to the last
  one before the first run's convergence. That step is the same for all runs and none has converged
  by then, so a share cannot hold the outcome; a state that a run is still in at that step tells
  only that it has not left it. What is foretold is foretold by states that some runs have left.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from training_maps.analysis.semantics.outcomes import Outcome
from training_maps.settings.sections import SemanticsSettings
from training_maps.stats.least_squares import (
    ROUNDING,
    fit_least_squares,
    permutation_p_value,
    shuffled_r_squared,
)
from training_maps.training_map.paths import state_shares
from training_maps.utils.wording import equals_p

N_PERMUTATIONS = 1999
# A run converges as it leaves a state if the two are no further apart, as a share of the longest.
_AT_ONCE = 0.05
# What is known before must explain this share of what all states explain to foretell it.
_MUCH = 0.5


@dataclass(frozen=True)
class Foretelling:
    """What of R² is foretold, and what restates.

    Attributes:
        best_state: the state whose share alone explains most; None if no share varies.
        best_r_squared: its R², with an intercept.
        converge_as_they: "leave" or "enter" `best_state`, where most converging runs do; else None.
        known_until: the last step before any run converges; None if there is none.
        r_squared: R² of the shares up to that step; None if they do not vary.
        adjusted_r_squared: the same, adjusted for the number of states.
        p_value: of its F test.
        shuffled: the same on shuffled outcomes: `n_permutations`, `mean_r_squared`, `p_value`,
            `random_state`.
        verdict: "foretells", "foretells in part" (less than half of what all states explain),
            "restates", or "open" (none of these); None without R².
        sentence: the verdict in a sentence; None without one.
    """

    best_state: int | None = None
    best_r_squared: float | None = None
    converge_as_they: str | None = None
    known_until: int | None = None
    r_squared: float | None = None
    adjusted_r_squared: float | None = None
    p_value: float | None = None
    shuffled: dict[str, Any] | None = None
    verdict: str | None = None
    sentence: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self)


def foretelling(
    paths: pd.DataFrame,
    outcome: Outcome,
    convergence: pd.DataFrame,
    r_squared: float | None,
    *,
    significance: float = SemanticsSettings.significance,
    random_state: int = SemanticsSettings.random_state,
) -> Foretelling:
    """Compare R² with that of the best state and of what was known before the first convergence.

    Args:
        paths: table of `seed`, `step`, `state`, one row a checkpoint.
        outcome: as the functions of `outcomes` return it.
        convergence: as `convergence_times` returns it, of the same column as a time `outcome`;
            may be empty.
        r_squared: of the regression on the shares of whole runs; nothing is said without it.
        significance: level below which p must be for the early shares to foretell.
        random_state: seed of the permutations.
    """
    values = outcome.per_run.set_index("seed")["outcome"].dropna()
    paths = paths[paths["seed"].isin(values.index)]
    if r_squared is None or paths.empty or not outcome.is_time or convergence.empty:
        return Foretelling()
    shares = state_shares(paths)
    y = values.loc[shares.index].to_numpy(dtype=float)
    best, best_r_squared = _best_state(shares, y)
    moment = None if best is None else _converge_as_they(paths, convergence, best)
    about: dict[str, Any] = {
        "best_state": best,
        "best_r_squared": best_r_squared,
        "converge_as_they": moment,
    }
    about |= _known_before(paths, convergence, y, random_state)
    verdict = _verdict(about, r_squared, significance)
    return Foretelling(**about, verdict=verdict, sentence=_sentence(about, verdict))


def _best_state(shares: pd.DataFrame, y: np.ndarray) -> tuple[int | None, float | None]:
    """The state whose share correlates most with y (n,), and the square of that correlation."""
    best: tuple[int | None, float | None] = (None, None)
    for state in shares:
        x = shares[state].to_numpy(dtype=float)
        if np.ptp(x) > ROUNDING and np.ptp(y) > ROUNDING:
            squared = float(np.corrcoef(x, y)[0, 1] ** 2)
            if best[1] is None or squared > best[1] + ROUNDING:
                best = (int(str(state)), squared)
    return best


def _converge_as_they(paths: pd.DataFrame, convergence: pd.DataFrame, state: int) -> str | None:
    """Whether most converging runs do so as they "leave" or "enter" a state; else None."""
    converged = convergence[convergence["converged"].astype(bool)].set_index("seed")["step"]
    near = _AT_ONCE * float(paths["step"].max())
    counts = {"leave": 0, "enter": 0}
    for seed, run in paths.sort_values("step").groupby("seed"):
        if seed not in converged.index:
            continue
        inside, steps = (run["state"] == state).to_numpy(), run["step"].to_numpy()
        at = converged.loc[seed]
        leaves = steps[1:][inside[:-1] & ~inside[1:]]
        enters = steps[1:][~inside[:-1] & inside[1:]]
        for name, moves in (("leave", leaves), ("enter", enters)):
            counts[name] += bool(len(moves) and np.abs(moves - at).min() <= near)
    name = max(counts, key=lambda one: counts[one])
    return name if 2 * counts[name] > len(converged) else None


def _known_before(
    paths: pd.DataFrame, convergence: pd.DataFrame, y: np.ndarray, random_state: int
) -> dict[str, Any]:
    """R² of y on the shares of checkpoints before the first convergence, and its test."""
    converged = convergence.loc[convergence["converged"].astype(bool), "step"]
    # Runs that end before it, censored, would be known for less time than the others.
    last = paths.groupby("seed")["step"].max().min()
    steps = paths.loc[paths["step"] <= last, "step"]
    steps = steps[steps < converged.min()]
    if steps.empty or paths.loc[paths["step"] <= steps.max(), "seed"].nunique() < len(y):
        return {}
    until = int(steps.max())
    x = state_shares(paths[paths["step"] <= until])
    varying = x.loc[:, np.ptp(x.to_numpy(), axis=0) > ROUNDING].to_numpy(dtype=float)
    if not varying.shape[1] or np.ptp(y) <= ROUNDING:
        return {"known_until": until}
    # With the constant shares left out, those that vary still sum to a constant.
    rank = int(np.linalg.matrix_rank(varying))
    if rank < 2 or len(y) <= rank:
        return {"known_until": until}
    fit = fit_least_squares(varying, y)
    shuffled = shuffled_r_squared(varying, y, N_PERMUTATIONS, random_state)
    return {
        "known_until": until,
        "r_squared": fit.r_squared,
        "adjusted_r_squared": fit.adjusted_r_squared,
        "p_value": fit.p_value,
        "shuffled": {
            "n_permutations": len(shuffled),
            "mean_r_squared": float(shuffled.mean()),
            "p_value": permutation_p_value(fit.r_squared, shuffled),
            "random_state": random_state,
        },
    }


def _verdict(about: dict[str, Any], r_squared: float, significance: float) -> str:
    p = about.get("p_value")
    if p is not None and max(p, about["shuffled"]["p_value"]) < significance:
        much = about["adjusted_r_squared"] >= _MUCH * r_squared
        return "foretells" if much else "foretells in part"
    return "restates" if about["converge_as_they"] else "open"


def _sentence(about: dict[str, Any], verdict: str) -> str:
    state = about["best_state"]
    alone = ""
    if state is not None:
        alone = f"state {state} alone gives R² = {about['best_r_squared']:.3f}"
    moment = about["converge_as_they"]
    if verdict.startswith("foretells"):
        part = "in part " if verdict == "foretells in part" else ""
        return (
            f"Time in states before the first run converged foretells {part}when runs converge "
            f"(R² = {about['r_squared']:.3f}, {equals_p(about['p_value'])}); {alone}."
        )
    if verdict == "restates":
        return f"This restates convergence: {alone}; runs converge as they {moment} it."
    known = " Time in states before the first run converged is not seen to foretell it."
    return f"{alone[:1].upper()}{alone[1:]}.{known}" if alone else known.strip()

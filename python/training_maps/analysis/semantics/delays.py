"""Delays: states whose visitors converge later than the average run, by how much, and how sure.

The paper's detour is a state with a positive coefficient that some run converges without. Every
state before convergence has one, the fast branch of a fork too. A delay asks two things of a state,
and both must hold:

1. *Later on average.* Visitors' mean outcome lies above that of all runs, by Welch's (1947) t test
   and interval, which let visitors and others vary differently.
2. *Not merely by waiting.* A run that takes long has more time to enter a state. So at each time
   at which a run converges, those that have been in the state are compared with those that have
   not, among runs that have not converged yet (Mantel and Byar 1974): visitors must converge less
   often than their number tells. This counts censored runs for as long as they ran.

Both are two-sided, adjusted for the number of states tested (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtr, stdtrit

from training_maps.result_tables import DELAY_COLUMNS, typed
from training_maps.utils.errors import InputError
from training_maps.utils.wording import numbered

if TYPE_CHECKING:
    from training_maps.analysis.semantics.outcomes import Outcome

LEVEL = 0.95
# With fewer visitors, or fewer others, there is no claim.
FEWEST_RUNS = 3


def delays(
    paths: pd.DataFrame, outcome: Outcome, steps: Mapping[int, int] | pd.Series | None = None
) -> pd.DataFrame:
    """How much later than the average run those converge that pass through each state.

    A visit counts if the run enters the state before it converges: at an earlier checkpoint, as a
    state entered at the checkpoint of convergence cannot have put it off. A censored run counts
    with its last step as its time, and all its visits count.

    Args:
        paths: table of `seed`, `step`, `state`, one row a checkpoint.
        outcome: as the functions of `outcomes` return it. Runs whose outcome is null are left out.
        steps: step of convergence of each seed (the last one of a censored run), in the unit of the
            paths' steps. By default the outcome as a fraction of the largest step in `paths`.

    Returns:
        Table of `DELAY_COLUMNS`, a row a state, ascending; no rows if the outcome is no time.
        `delay` is the visitors' mean outcome minus that of all runs, in the outcome's unit;
        `interval_low` and `interval_high` hold those of all tested states at once in 95 % of
        cases; `p_value`, the larger of the two tests', is adjusted for their number, and
        `is_delay` if it is below 5 % and the delay positive. Null where it is not tested: with
        fewer than 3 visitors or 3 others, or where neither group's outcomes vary.

    Raises:
        InputError: if `outcome` or `steps` lacks a seed of `paths`.

    Source: Welch 1947; Mantel and Byar 1974, doi:10.1080/01621459.1974.10480130.
    """
    if not outcome.is_time:
        return typed(pd.DataFrame(columns=list(DELAY_COLUMNS)), DELAY_COLUMNS)
    runs = _runs(paths, outcome, steps)
    entries = paths.pivot_table(index="seed", columns="state", values="step", aggfunc="min")
    entered = entries.reindex(runs.index).to_numpy(dtype=float)
    before = _entered_before(entered, runs)
    values = runs["outcome"].to_numpy()
    tested = [
        min(visits.sum(), (~visits).sum()) >= FEWEST_RUNS
        and max(np.ptp(values[visits]), np.ptp(values[~visits])) > 0
        for visits in before.T
    ]
    n_tested = sum(tested)
    rows = []
    for k, state in enumerate(entries.columns):
        visits = before[:, k]
        row = {"state": state, "n_visiting": visits.sum(), "n_without": (~visits).sum()}
        if tested[k]:
            row |= _tested(values, visits, entered[:, k], runs, n_tested)
        rows.append(row)
    table = pd.DataFrame(rows).reindex(columns=list(DELAY_COLUMNS))
    table["is_delay"] = (table["delay"] > 0) & (table["p_value"] < 1 - LEVEL)
    return typed(table, DELAY_COLUMNS)


def _runs(
    paths: pd.DataFrame, outcome: Outcome, steps: Mapping[int, int] | pd.Series | None
) -> pd.DataFrame:
    """`outcome`, `censored` and `step` of each seed of the paths that has an outcome."""
    runs = outcome.per_run.set_index("seed")
    seeds = pd.Index(np.unique(paths["seed"]))
    missing = seeds.difference(runs.index)
    if len(missing):
        raise InputError(f"there is no {outcome.name} for {numbered('seed', missing)}")
    runs = runs.loc[seeds].dropna(subset="outcome")
    if steps is None:
        at = runs["outcome"] * float(paths["step"].max())
    else:
        known = pd.Series(steps, dtype=float)
        missing = runs.index.difference(known.index)
        if len(missing):
            raise InputError(f"there is no step of convergence for {numbered('seed', missing)}")
        at = known.loc[runs.index]
    return runs.assign(step=at, censored=runs["censored"].astype(bool))


def _entered_before(entered: np.ndarray, runs: pd.DataFrame) -> np.ndarray:
    """Whether each run entered each state before it converged (n, k), of first steps (n, k)."""
    step = runs["step"].to_numpy()[:, None]
    return (entered < step) | (runs["censored"].to_numpy()[:, None] & ~np.isnan(entered))


def _tested(
    values: np.ndarray, visits: np.ndarray, entered: np.ndarray, runs: pd.DataFrame, n_tested: int
) -> dict[str, float]:
    """Delay, interval and p-value of a state, adjusted for the number of states tested."""
    difference, error, free = welch(values[visits], values[~visits])
    # Visitors are part of the average run: their difference from it is a share of that from others.
    share = float((~visits).mean())
    half = -error * float(stdtrit(free, (1 - LEVEL) / 2 / n_tested))
    p_later = 2 * float(stdtr(free, -difference / error)) if difference > 0 else 1.0
    z = mantel_byar(
        runs["step"].to_numpy(), runs["censored"].to_numpy(), np.where(visits, entered, np.inf)
    )
    p_waiting = 2 * float(ndtr(-z)) if z > 0 else 1.0
    return {
        "delay": share * difference,
        "interval_low": share * (difference - half),
        "interval_high": share * (difference + half),
        "p_value": min(1.0, n_tested * max(p_later, p_waiting)),
    }


def welch(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Difference of the means of a (n,) and b (m,), its standard error and degrees of freedom.

    Source: Welch 1947; one group at least must vary.
    """
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    free = parts.sum() ** 2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    return float(a.mean() - b.mean()), float(np.sqrt(parts.sum())), float(free)


def mantel_byar(times: np.ndarray, censored: np.ndarray, entered: np.ndarray) -> float:
    """How much more slowly runs converge once they have entered a state, in standard errors.

    The log-rank test with a group that a run joins when it enters the state.

    Args:
        times: when each run converges, or its last step, (n,).
        censored: whether it does not converge, (n,).
        entered: when it enters the state, in the same unit, infinite if never, (n,).

    Returns:
        Expected less observed convergences of visitors over their standard deviation; positive if
        visitors are slow; 0 where no time tells the two apart.

    Source: Mantel and Byar 1974.
    """
    excess, variance = 0.0, 0.0
    for time in np.unique(times[~censored]):
        at_risk = times >= time
        visited = at_risk & (entered < time)
        converging = (times == time) & ~censored
        n, d, share = at_risk.sum(), converging.sum(), visited.sum() / at_risk.sum()
        excess += d * share - (converging & visited).sum()
        if n > 1:
            variance += d * share * (1 - share) * (n - d) / (n - 1)
    return float(excess / np.sqrt(variance)) if variance > 0 else 0.0

"""What states mean for training: how the time spent in each relates to convergence time.

A run is described by the share of its checkpoints in each state, and those shares predict by
linear regression when it converges. A state that slows runs down and that some run converges
without is a detour. Source: Hu et al. 2023, sections 2.3 and 3.4, equation 2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import fdtrc, stdtr

from training_maps.errors import InputError
from training_maps.state_paths import state_shares

__all__ = [
    "COEFFICIENT_COLUMNS",
    "Regression",
    "convergence_times",
    "detour_states",
    "regress",
    "state_shares",
]

COEFFICIENT_COLUMNS = {
    "state": "int64",
    "coefficient": "float64",
    "standard_error": "float64",
    "p_value": "float64",
    "n_runs_visiting": "int64",
    "is_detour": "bool",
}

# Shares and fractions are quotients of small integers. Differences below this are rounding.
_ROUNDING = 1e-12


def _no_coefficients() -> pd.DataFrame:
    return pd.DataFrame(columns=list(COEFFICIENT_COLUMNS)).astype(COEFFICIENT_COLUMNS)


@dataclass(frozen=True, eq=False)
class Regression:
    """Convergence time regressed on the shares of checkpoints in each state.

    Numbers are None where they are undefined, and `reason` then says why in a sentence.

    Attributes:
        n_runs: runs in the regression.
        n_converged: runs among them that converged; the others count as their last step.
        significance: level that the F test's p-value must be below to interpret coefficients.
        r_squared: centred coefficient of determination, in [0, 1].
        adjusted_r_squared: the same, adjusted for the number of states.
        f_statistic: of the hypothesis that no share matters; None for an exact fit, where it is
            infinite.
        p_value: of that F test.
        coefficients: table of the columns `COEFFICIENT_COLUMNS`, a row a state; a coefficient is
            the convergence time, as a fraction of the run's length, that a run spending all its
            time in the state would have. Header only where there is no regression.
        detour_states: states that are detours, ascending; none unless significant.
        reason: why there is no regression; None where there is one.
        notes: what a reader should know, in plain sentences.
    """

    n_runs: int
    n_converged: int
    significance: float
    r_squared: float | None = None
    adjusted_r_squared: float | None = None
    f_statistic: float | None = None
    p_value: float | None = None
    coefficients: pd.DataFrame = field(default_factory=_no_coefficients)
    detour_states: tuple[int, ...] = ()
    reason: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def significant(self) -> bool:
        """Whether the F test's p-value is below `significance`."""
        return self.p_value is not None and self.p_value < self.significance

    def to_dict(self) -> dict[str, Any]:
        """All but the coefficients, ready for JSON."""
        return {
            "n_runs": self.n_runs,
            "n_converged": self.n_converged,
            "r_squared": self.r_squared,
            "adjusted_r_squared": self.adjusted_r_squared,
            "f_statistic": self.f_statistic,
            "p_value": self.p_value,
            "significance": self.significance,
            "significant": self.significant,
            "detour_states": list(self.detour_states),
            "reason": self.reason,
            "notes": list(self.notes),
        }


def convergence_times(
    logs: Mapping[int, pd.DataFrame], threshold: float, column: str = "eval_accuracy"
) -> pd.DataFrame:
    """When each run converges: its first checkpoint with `column` strictly above `threshold`.

    A run that never gets there is censored: it counts as its last checkpoint and is marked as not
    converged. A null in `column` (a diverged run) is not above any threshold.

    Args:
        logs: training log of each seed, with the columns `step`, `epoch` and `column`; the first
            checkpoint, step 0 included, counts like any other.
        threshold: what `column` must exceed, in its own units (accuracies are in [0, 1]).
        column: the logged quantity.

    Returns:
        Table of `seed` (ascending), `step` (optimiser updates), `epoch`, `fraction` (step as a
        fraction of the longest run's last step, in [0, 1]) and `converged`.

    Raises:
        InputError: if a log is empty, lacks a column or has nulls in `step` or `epoch`.

    Source: Hu et al. 2023, section 3.4.
    """
    rows = [_convergence_of_run(seed, logs[seed], threshold, column) for seed in sorted(logs)]
    table = pd.DataFrame(rows, columns=["seed", "step", "epoch", "last", "converged"])
    length = table.pop("last").max()
    # Runs of nothing but step 0 have no length; a censored run is at its end by definition.
    fraction = table["step"] / length if length > 0 else (~table["converged"]).astype(float)
    table.insert(3, "fraction", fraction)
    return table.astype(
        {"seed": int, "step": int, "epoch": float, "fraction": float, "converged": bool}
    )


def _convergence_of_run(
    seed: int, log: pd.DataFrame, threshold: float, column: str
) -> tuple[int, int, float, int, bool]:
    missing = [name for name in ("step", "epoch", column) if name not in log.columns]
    if missing:
        raise InputError(
            f"the training log of seed {seed} has no column {', '.join(missing)}; "
            f"it has {', '.join(map(str, log.columns)) or 'none'}"
        )
    if log.empty:
        raise InputError(f"the training log of seed {seed} is empty; expected a row a checkpoint")
    if not np.isfinite(log[["step", "epoch"]].to_numpy(dtype=float)).all():
        raise InputError(f"the training log of seed {seed} has a null step or epoch")
    log = log.sort_values("step", kind="stable")
    try:
        above = log[column].to_numpy(dtype=float, na_value=np.nan) > threshold
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the training log of seed {seed}: column {column} is not numeric"
        ) from error
    converged = bool(above.any())
    row = int(above.argmax()) if converged else len(log) - 1
    step, last = int(log["step"].iloc[row]), int(log["step"].iloc[-1])
    return seed, step, float(log["epoch"].iloc[row]), last, converged


def regress(
    shares: pd.DataFrame, convergence: pd.DataFrame, significance: float = 0.001
) -> Regression:
    """Regress convergence time on the shares of checkpoints in each state; find detours.

    Ordinary least squares of `fraction` on the shares, without an intercept: the shares sum to
    1, so it is implied, and R² and the F test are those of a model with one.

    Where shares are linearly dependent beyond that, some coefficients are not determined by the
    data, though R² and the F test are (with the rank for the number of states). Two rules then:

    - a state in which every run spends the same share cannot tell runs apart and is left out: its
      coefficient is taken to be 0, and as all runs visit it, it is no detour;
    - of what remains, only those coefficients are given on which all least-squares solutions
      agree.

    Notes name the states concerned.

    There is no regression, and `reason` says why, when no run converges, when all convergence
    times are equal, when every run has the same shares, or with no more runs than states.

    Args:
        shares: as `state_shares` returns them, (n_runs, n_states).
        convergence: as `convergence_times` returns it; must have every seed of `shares`.
        significance: level below which the F test's p-value makes coefficients interpretable.

    Raises:
        InputError: if `convergence` lacks a seed of `shares`.

    Source: Hu et al. 2023, sections 2.3 and 3.4.
    """
    times = convergence.set_index("seed")
    missing = shares.index.difference(times.index)
    if len(missing):
        raise InputError(f"there is no convergence time for {_listed('seed', missing)}")
    times = times.loc[shares.index]
    converged = shares.index[times["converged"].to_numpy(dtype=bool)]
    outcome = times["fraction"].to_numpy(dtype=float)
    counts: dict[str, Any] = {
        "n_runs": len(shares),
        "n_converged": len(converged),
        "significance": significance,
    }
    notes = _censoring_notes(len(shares), len(converged))
    reason = _why_no_regression(shares, outcome, len(converged))
    if reason:
        return Regression(**counts, reason=reason, notes=tuple(notes))

    varying = shares.loc[:, np.ptp(shares.to_numpy(), axis=0) > _ROUNDING]
    fit = _least_squares(varying.to_numpy(dtype=float), outcome)
    notes += _dependence_notes(shares.columns.difference(varying.columns), varying, fit)
    estimable = [int(state) for state in varying.columns[fit.determined]]
    coefficients = dict(zip(estimable, fit.coefficients[fit.determined].tolist(), strict=True))
    significant = fit.p_value < significance
    detours = detour_states(coefficients, shares, converged) if significant else []
    return Regression(
        **counts,
        r_squared=fit.r_squared,
        adjusted_r_squared=fit.adjusted_r_squared,
        f_statistic=fit.f_statistic,
        p_value=fit.p_value,
        coefficients=_coefficient_table(fit, estimable, shares, detours),
        detour_states=tuple(detours),
        notes=tuple(notes),
    )


def detour_states(
    coefficients: Mapping[int, float], shares: pd.DataFrame, converged: Collection[int]
) -> list[int]:
    """States with a positive coefficient that some converging run does not visit, ascending.

    Interpret them only where the regression is significant; `regress` does.

    Args:
        coefficients: of each state in the regression of convergence time.
        shares: as `state_shares` returns them.
        converged: the seeds that converged. A censored run that avoids a state does not show
            that one can converge without it.

    Source: Hu et al. 2023, section 2.3, definition of a detour state.
    """
    avoided = (shares.loc[list(converged)] == 0).any(axis=0)
    optional = set(shares.columns[avoided.to_numpy()])
    return sorted(
        int(state) for state, value in coefficients.items() if value > 0 and state in optional
    )


@dataclass(frozen=True, eq=False)
class _Fit:
    """A least-squares fit whose columns' span holds the constant; p_values etc. are (k,)."""

    coefficients: np.ndarray
    standard_errors: np.ndarray
    p_values: np.ndarray
    determined: np.ndarray
    r_squared: float
    adjusted_r_squared: float
    f_statistic: float | None
    p_value: float


def _least_squares(x: np.ndarray, y: np.ndarray) -> _Fit:
    """Fit y (n,) on x (n, k), n > k, with an implied intercept; minimum norm if dependent.

    Degrees of freedom are (r - 1, n - r) with r the rank of x, r > 1.
    """
    n, k = x.shape
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    rank = int((singular > singular[0] * max(n, k) * np.finfo(float).eps).sum())
    left, singular, null, right = left[:, :rank], singular[:rank], right[rank:], right[:rank]
    coefficients = right.T @ (left.T @ y / singular)
    residual = y - x @ coefficients
    rss = float(residual @ residual)
    tss = float(((y - y.mean()) ** 2).sum())
    if rss <= _ROUNDING**2 * float(y @ y):
        rss = 0.0  # exact but for rounding
    r_squared = min(max(1 - rss / tss, 0.0), 1.0)
    free = n - rank
    errors = np.sqrt(rss / free * ((right.T / singular) ** 2).sum(axis=1))
    # An exact fit has infinite t and F: their p-values are 0, except for a coefficient of 0.
    exact_p = np.where(np.abs(coefficients) > _ROUNDING, 0.0, 1.0)
    f_statistic, p_value, p_values = None, 0.0, exact_p
    if rss > 0:
        f_statistic = max(tss - rss, 0.0) / (rank - 1) / (rss / free)
        p_value = float(fdtrc(rank - 1, free, f_statistic))
        p_values = 2 * stdtr(free, -np.abs(coefficients) / errors)
    return _Fit(
        coefficients=coefficients,
        standard_errors=errors,
        p_values=p_values,
        determined=(np.abs(null) < 1e-8).all(axis=0),
        r_squared=r_squared,
        adjusted_r_squared=1 - (1 - r_squared) * (n - 1) / free,
        f_statistic=f_statistic,
        p_value=p_value,
    )


def _coefficient_table(
    fit: _Fit, states: Sequence[int], shares: pd.DataFrame, detours: Collection[int]
) -> pd.DataFrame:
    """Rows of `COEFFICIENT_COLUMNS` for `states`, those whose coefficients are determined."""
    table = pd.DataFrame(
        {
            "state": states,
            "coefficient": fit.coefficients[fit.determined],
            "standard_error": fit.standard_errors[fit.determined],
            "p_value": fit.p_values[fit.determined],
            "n_runs_visiting": (shares[list(states)] > 0).sum().to_numpy(),
            "is_detour": [state in detours for state in states],
        }
    )
    return table.astype(COEFFICIENT_COLUMNS)


def _why_no_regression(shares: pd.DataFrame, outcome: np.ndarray, n_converged: int) -> str | None:
    """A sentence if the regression is undefined or says nothing, else None."""
    n_runs, n_states = shares.shape
    if n_converged == 0:
        return "No run converges: none exceeds the threshold at any checkpoint."
    if n_states == 1:
        return f"Every run stays in state {shares.columns[0]}, so shares of time explain nothing."
    if n_runs <= n_states:
        return (
            f"{n_runs} runs are too few for {n_states} states: a regression with as many "
            "states as runs fits anything."
        )
    if np.ptp(outcome) <= _ROUNDING:
        return "All runs converge at the same fraction of their length: nothing varies."
    if (np.ptp(shares.to_numpy(), axis=0) <= _ROUNDING).all():
        return "Every run spends the same share of its time in each state."
    return None


def _censoring_notes(n_runs: int, n_converged: int) -> list[str]:
    if n_converged in (0, n_runs):
        return []
    return [
        f"{n_runs - n_converged} of {n_runs} runs do not converge; their convergence time counts "
        "as their last step."
    ]


def _dependence_notes(constant: pd.Index, varying: pd.DataFrame, fit: _Fit) -> list[str]:
    """Which states have no coefficient, and that an exact fit is one."""
    notes = []
    if len(constant):
        notes.append(
            f"Every run spends the same share of its checkpoints in {_listed('state', constant)}: "
            "left out of the regression."
        )
    tied = varying.columns[~fit.determined]
    if len(tied):
        notes.append(
            f"The shares of {_listed('state', tied)} are linearly dependent over these runs: their "
            "effects cannot be told apart, and they have no coefficients."
        )
    if fit.f_statistic is None:
        notes.append("The regression fits exactly; its F statistic is infinite.")
    return notes


def _listed(noun: str, numbers: Sequence[int] | pd.Index) -> str:
    """`state 3`, `states 1, 2 and 3`."""
    texts = [str(number) for number in numbers]
    if len(texts) == 1:
        return f"{noun} {texts[0]}"
    return f"{noun}s {', '.join(texts[:-1])} and {texts[-1]}"

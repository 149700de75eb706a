"""What states mean for training: how the time spent in each relates to an outcome of the run.

A run is described by the share of its checkpoints in each state, and those shares predict by
linear regression when it converges, or another outcome. A state that slows runs down and that some
run converges without is a detour. Source: Hu et al. 2023, sections 2.3 and 3.4, equation 2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import pandas as pd

from training_maps.analysis.semantics.nonlinear import compare_alternatives
from training_maps.analysis.semantics.outcomes import Outcome, convergence_times
from training_maps.analysis.semantics.sentences import (
    censoring_notes,
    dependence_notes,
    explain_state,
    few_runs_notes,
    missing_notes,
    why_no_regression,
)
from training_maps.result_tables import COEFFICIENT_COLUMNS
from training_maps.settings.sections import CensoredPolicy, DetourRule, SemanticsSettings
from training_maps.stats.least_squares import (
    ROUNDING,
    LeastSquares,
    coefficient_intervals,
    fit_least_squares,
    left_out_predictions,
    percentile_interval,
    permutation_p_value,
    predictive_r_squared,
    r_squared_interval,
    resampled_fits,
    shuffled_r_squared,
)
from training_maps.stats.tobit import (
    NoEstimateError,
    Tobit,
    fit_tobit,
    resampled_tobit,
    shuffled_statistics,
)
from training_maps.training_map.paths import state_shares
from training_maps.utils.errors import InputError
from training_maps.utils.notes import Note
from training_maps.utils.wording import numbered

__all__ = [
    "Regression",
    "convergence_times",
    "detour_states",
    "regress",
    "state_shares",
]


CENSORED_POLICIES = get_args(CensoredPolicy)
DETOUR_RULES = get_args(DetourRule)
N_RESAMPLES = SemanticsSettings.resamples
N_PERMUTATIONS = 1999
# Each takes a fit by maximum likelihood, so fewer.
N_TOBIT_PERMUTATIONS = 199
LEVEL = 0.95
# The methods of regression.
LEAST_SQUARES, TOBIT = "ordinary least squares", "Tobit"


def _no_coefficients() -> pd.DataFrame:
    return pd.DataFrame(columns=list(COEFFICIENT_COLUMNS)).astype(COEFFICIENT_COLUMNS)


def _no_predictions() -> pd.DataFrame:
    return pd.DataFrame({"seed": [], "predicted": []}).astype({"seed": int, "predicted": float})


@dataclass(frozen=True, eq=False)
class Regression:
    """An outcome regressed on the shares of checkpoints in each state.

    Numbers are None where they are undefined, and `reason` then says why in a sentence.

    Attributes:
        n_runs: runs in the regression.
        n_converged: runs among them that converged; None if the outcome is not a time.
        significance: level that the p-value must be below to interpret coefficients.
        censored: what is done with runs that do not converge: "last_step", "drop" or "tobit".
        method: `LEAST_SQUARES` or `TOBIT`.
        r_squared: centred coefficient of determination, in [0, 1]; of a Tobit model that of
            McKelvey and Zavoina.
        r_squared_interval: 95 % interval by the jackknife; of a Tobit model over resampled runs;
            None where there is none.
        adjusted_r_squared: `r_squared`, adjusted for the number of states; None for Tobit.
        leave_one_out_r_squared: how well each run is predicted by the regression on the others;
            0 is no better than their mean. None for Tobit.
        f_statistic: of the hypothesis that no share matters; None for an exact fit, where it is
            infinite, and for Tobit.
        likelihood_ratio: the same of a Tobit model, chi-squared; None otherwise.
        p_value: of that test.
        sigma: standard deviation of a Tobit model; None otherwise.
        bootstrap: `level`, `n_resamples`, `n_degenerate` (resamples without R²), `random_state`.
        shuffled: the same regression on shuffled outcomes: `n_permutations`, `mean_r_squared`,
            `p_value` (the share of permutations that do as well), `random_state`.
        alternatives: ridge and random forest beside it; see `nonlinear.compare_alternatives`.
        coefficients: table of the columns `COEFFICIENT_COLUMNS`, a row a state; a coefficient is
            the outcome that a run spending all its time in the state would have. Header only where
            there is no regression.
        predictions: `seed` and `predicted`, by the regression on all other runs; header only where
            there is none.
        detour_states: states that are detours, ascending; none unless significant.
        detour_rule: "sign" or "interval"; see `regress`.
        reason: why there is no regression; None where there is one.
        notes: what a reader should know.
    """

    n_runs: int
    n_converged: int | None
    significance: float
    censored: CensoredPolicy = SemanticsSettings.censored
    method: str | None = None
    r_squared: float | None = None
    r_squared_interval: tuple[float, float] | None = None
    adjusted_r_squared: float | None = None
    leave_one_out_r_squared: float | None = None
    f_statistic: float | None = None
    likelihood_ratio: float | None = None
    p_value: float | None = None
    sigma: float | None = None
    bootstrap: dict[str, Any] | None = None
    shuffled: dict[str, Any] | None = None
    alternatives: dict[str, Any] | None = None
    coefficients: pd.DataFrame = field(default_factory=_no_coefficients)
    predictions: pd.DataFrame = field(default_factory=_no_predictions)
    detour_states: tuple[int, ...] = ()
    detour_rule: DetourRule = SemanticsSettings.detour_rule
    reason: str | None = None
    notes: tuple[Note, ...] = ()

    @property
    def significant(self) -> bool:
        """Whether the p-value is below `significance`."""
        return self.p_value is not None and self.p_value < self.significance

    def to_dict(self) -> dict[str, Any]:
        """All but the coefficients and predictions, ready for JSON; and a sentence a state."""
        tables = ("coefficients", "predictions")
        data = {name: value for name, value in vars(self).items() if name not in tables}
        interval = self.r_squared_interval
        states = self.coefficients[["state", "explanation"]].to_dict("records")
        return data | {
            "r_squared_interval": None if interval is None else list(interval),
            "significant": self.significant,
            "detour_states": list(self.detour_states),
            "states": states,
            "notes": [note.to_dict() for note in self.notes],
        }


@dataclass(frozen=True, eq=False)
class _Runs:
    """The runs of a regression: shares (n, k), outcome (n,) and whether it is censored (n,)."""

    shares: pd.DataFrame
    outcome: np.ndarray
    censored: np.ndarray
    about: Outcome

    @property
    def converged(self) -> pd.Index:
        return self.shares.index[~self.censored]

    def without(self, runs: np.ndarray) -> _Runs:
        """The same less the runs marked in `runs` (n,), and less states that none visits then."""
        shares = self.shares[~runs]
        return _Runs(
            shares.loc[:, (shares > 0).any(axis=0).to_numpy()],
            self.outcome[~runs],
            self.censored[~runs],
            self.about,
        )


def regress(
    shares: pd.DataFrame,
    outcome: Outcome,
    *,
    censored: CensoredPolicy = SemanticsSettings.censored,
    significance: float = SemanticsSettings.significance,
    detour_rule: DetourRule = SemanticsSettings.detour_rule,
    n_resamples: int = SemanticsSettings.resamples,
    alternatives: bool = True,
    random_state: int = SemanticsSettings.random_state,
) -> Regression:
    """Regress an outcome on the shares of checkpoints in each state; find detours.

    Least squares on the shares, without an intercept: the shares sum to 1, so it is implied, and R²
    and the F test are those of a model with one.

    Where shares are linearly dependent beyond that, some coefficients are not determined by the
    data, though R² and the F test are (with the rank for the number of states). Two rules then:

    - a state in which every run spends the same share cannot tell runs apart and is left out: its
      coefficient is taken to be 0, and as all runs visit it, it is no detour;
    - of what remains, only those coefficients are given on which all least-squares solutions
      agree.

    Notes name the states concerned.

    There is no regression, and `reason` says why, when no run converges, when all outcomes are
    equal, when every run has the same shares, or with no more runs than states.

    Args:
        shares: as `state_shares` returns them, (n_runs, n_states).
        outcome: as the functions of `outcomes` return it; must have every seed of `shares`. Runs
            whose outcome is null are left out, and a note says so.
        censored: what to do with censored runs: count them as their last step, as the paper does;
            drop them; or fit a Tobit model, in which their time lies beyond it.
        significance: level below which the p-value makes coefficients interpretable.
        detour_rule: whether a detour's coefficient must be positive ("sign", the paper's), or its
            95 % interval too ("interval").
        n_resamples: resamples of the runs, drawn with replacement, for the intervals.
        alternatives: whether to compare with ridge and a random forest, which takes seconds.
        random_state: seed of resamples, permutations and the random forest.

    Raises:
        InputError: if `outcome` lacks a seed of `shares`.

    Source: Hu et al. 2023, sections 2.3 and 3.4.
    """
    runs = _runs_of(shares, outcome)
    notes = missing_notes(runs.shares.index[np.isnan(runs.outcome)], len(shares), outcome.name)
    runs = runs.without(np.isnan(runs.outcome))
    notes += censoring_notes(runs.censored, censored)
    if censored == "drop":
        runs = runs.without(runs.censored)
    about: dict[str, Any] = {
        "n_runs": len(runs.shares),
        "n_converged": len(runs.converged) if outcome.is_time else None,
        "significance": significance,
        "censored": censored,
        "detour_rule": detour_rule,
    }
    reason = why_no_regression(runs.shares, runs.outcome, runs.censored, outcome)
    if reason:
        return Regression(**about, reason=reason, notes=tuple(notes))

    varying = runs.shares.loc[:, np.ptp(runs.shares.to_numpy(), axis=0) > ROUNDING]
    x = varying.to_numpy(dtype=float)
    use_tobit = censored == "tobit" and bool(runs.censored.any())
    try:
        fit = fit_tobit(x, runs.outcome, runs.censored) if use_tobit else None
    except NoEstimateError as error:
        return Regression(**about, reason=str(error), notes=tuple(notes))
    if fit is None:
        estimates = _least_squares_estimates(runs, x, n_resamples, random_state)
    else:
        estimates = _tobit_estimates(runs, x, fit, n_resamples, random_state)
    notes += dependence_notes(shares.columns, runs.shares, varying, estimates.fit)
    notes += few_runs_notes(len(runs.shares), int(np.linalg.matrix_rank(x)))
    if alternatives:
        about["alternatives"] = compare_alternatives(
            x,
            runs.outcome,
            left_out_predictions(x, runs.outcome),
            [int(state) for state in varying.columns],
            random_state,
        )
    about |= estimates.numbers | {"notes": tuple(notes)}
    return _with_coefficients(about, runs, varying, estimates)


@dataclass(frozen=True, eq=False)
class _Estimates:
    """A fit, what `Regression` says of it, the coefficients of resamples, and predictions."""

    fit: LeastSquares | Tobit
    numbers: dict[str, Any]
    resampled: np.ndarray
    predicted: np.ndarray | None = None
    intervals: np.ndarray | None = None  # (k, 2), where they are not those of the resamples


def _least_squares_estimates(
    runs: _Runs, x: np.ndarray, n_resamples: int, random_state: int
) -> _Estimates:
    y = runs.outcome
    fit = fit_least_squares(x, y)
    resampled, r_squared = resampled_fits(x, y, n_resamples, random_state)
    shuffled = shuffled_r_squared(x, y, N_PERMUTATIONS, random_state)
    predicted = left_out_predictions(x, y)
    numbers = {
        "method": LEAST_SQUARES,
        "r_squared": fit.r_squared,
        "adjusted_r_squared": fit.adjusted_r_squared,
        "leave_one_out_r_squared": predictive_r_squared(y, predicted),
        "f_statistic": fit.f_statistic,
        "p_value": fit.p_value,
        **_resampling(r_squared, random_state),
        "r_squared_interval": r_squared_interval(x, y, LEVEL),
        "shuffled": {
            "n_permutations": len(shuffled),
            "mean_r_squared": float(shuffled.mean()),
            "p_value": permutation_p_value(fit.r_squared, shuffled),
            "random_state": random_state,
        },
    }
    return _Estimates(fit, numbers, resampled, predicted, coefficient_intervals(x, y, LEVEL))


def _tobit_estimates(
    runs: _Runs, x: np.ndarray, fit: Tobit, n_resamples: int, random_state: int
) -> _Estimates:
    y, censored = runs.outcome, runs.censored
    resampled, r_squared = resampled_tobit(x, y, censored, n_resamples, random_state)
    statistics, shuffled = shuffled_statistics(x, y, censored, N_TOBIT_PERMUTATIONS, random_state)
    numbers = {
        "method": TOBIT,
        "r_squared": fit.r_squared,
        "likelihood_ratio": fit.statistic,
        "p_value": fit.p_value,
        "sigma": fit.sigma,
        **_resampling(r_squared, random_state),
        "shuffled": {
            "n_permutations": len(statistics),
            "mean_r_squared": float(shuffled.mean()) if len(shuffled) else None,
            "p_value": permutation_p_value(fit.statistic, statistics) if len(shuffled) else None,
            "random_state": random_state,
        },
    }
    return _Estimates(fit, numbers, resampled)


def _resampling(r_squared: np.ndarray, random_state: int) -> dict[str, Any]:
    """The interval of R² over resamples, (n_resamples,), and how it was made."""
    known = r_squared[np.isfinite(r_squared)]
    interval = None
    if len(known):
        low, high = percentile_interval(known, LEVEL)
        interval = (min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0))
    return {
        "r_squared_interval": interval,
        "bootstrap": {
            "level": LEVEL,
            "n_resamples": len(r_squared),
            "n_degenerate": len(r_squared) - len(known),
            "random_state": random_state,
        },
    }


def _with_coefficients(
    about: dict[str, Any], runs: _Runs, varying: pd.DataFrame, estimates: _Estimates
) -> Regression:
    """The regression with its table of coefficients, and the detours among them."""
    fit = estimates.fit
    states = [int(state) for state in varying.columns[fit.determined]]
    table = pd.DataFrame({"state": states})
    for name in ("coefficient", "standard_error", "p_value"):
        table[name] = getattr(fit, f"{name}s")[fit.determined]
    resampled = estimates.resampled[:, fit.determined]
    known = np.isfinite(resampled).sum(axis=0)
    if estimates.intervals is None:
        intervals = np.array(
            [
                percentile_interval(values, LEVEL) if n else (np.nan, np.nan)
                for values, n in zip(resampled.T, known, strict=True)
            ]
        ).reshape(-1, 2)
    else:
        intervals = estimates.intervals[fit.determined]
    table[["interval_low", "interval_high"]] = intervals
    table["n_resamples"] = known
    _add_visits(table, runs)
    significant = about["p_value"] < about["significance"]
    detours: list[int] = []
    if runs.about.is_time and significant:
        by = "coefficient" if about["detour_rule"] == "sign" else "interval_low"
        detours = detour_states(
            dict(zip(states, table[by].tolist(), strict=True)), runs.shares, runs.converged
        )
    table["is_detour"] = table["state"].isin(detours)
    level = float(runs.outcome.mean() / varying.to_numpy().sum(axis=1).mean())
    table["explanation"] = [
        explain_state(row, runs.about, about["n_runs"], significant, level)
        for _, row in table.iterrows()
    ]
    return Regression(
        **about,
        coefficients=table[list(COEFFICIENT_COLUMNS)].astype(COEFFICIENT_COLUMNS),
        predictions=_predictions(runs, estimates.predicted),
        detour_states=tuple(detours),
    )


def _add_visits(table: pd.DataFrame, runs: _Runs) -> None:
    """Columns that say how the runs that visit a state differ from those that do not."""
    visiting = runs.shares[table["state"].tolist()].to_numpy() > 0
    table["n_runs_visiting"] = visiting.sum(axis=0)
    without = (~visiting & ~runs.censored[:, None]).sum(axis=0)
    table["n_converging_without"] = without if runs.about.is_time else pd.NA
    for name, chosen in (("visiting", visiting), ("without", ~visiting)):
        table[f"mean_outcome_{name}"] = [
            runs.outcome[column].mean() if column.any() else np.nan for column in chosen.T
        ]


def _predictions(runs: _Runs, predicted: np.ndarray | None) -> pd.DataFrame:
    if predicted is None:
        return _no_predictions()
    return pd.DataFrame({"seed": runs.shares.index, "predicted": predicted})


def _runs_of(shares: pd.DataFrame, outcome: Outcome) -> _Runs:
    """The outcomes in the order of the shares."""
    values = outcome.per_run.set_index("seed")
    missing = shares.index.difference(values.index)
    if len(missing):
        raise InputError(f"there is no {outcome.name} for {numbered('seed', missing)}")
    values = values.loc[shares.index]
    return _Runs(
        shares,
        values["outcome"].to_numpy(dtype=float),
        values["censored"].to_numpy(dtype=bool),
        outcome,
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

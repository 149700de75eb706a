"""The ladder: one autoregressive state, a smooth field, autoregressive states, Gaussian states.

All are judged in one currency, the one-step-ahead predictive log density of runs that were not seen
in fitting, in nats a checkpoint (`training_maps.hmm.predictive`). Every rung has several members
(kinds of dynamics, shapes of fields, numbers of states). Which member stands for a rung is chosen
by what all other halves say, and judged by the half in question, so that a rung with many members
has no advantage of being many.

**Verdict.** The null is what has no states: one autoregressive state, or a smooth field, whichever
is stronger. The runs have

- "phases" if autoregressive states foretell them better than the null: states as ways of moving;
- "regions" if Gaussian states do, the paper's: states as places where metrics stay. Where both do,
  autoregressive states must foretell better than Gaussian ones to be called phases, as they can
  stay in a place too;
- "drift" if neither does: states would be slices of a smooth curve.

Better means that the whole 90 % interval of the gain lies above `LEAST_GAIN`, so that chance alone
makes states of a drift in 5 % of sets at most. The interval is Student's t over runs; its variance
is the sum of that over runs and that over halves, because the halves' fits scatter too. A run's
gain is averaged over the halves that did not see it. Where each run is judged by one fit alone, of
folds or of single runs left out, the fits' scatter has that of the runs in it, and the wider of the
two intervals is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from training_maps.utils.numbers import Floats

Structure = Literal["drift", "phases", "regions"]
Rung = Literal["one_state", "field", "autoregressive", "gaussian"]
RUNGS: tuple[Rung, ...] = get_args(Rung)
NULL: tuple[Rung, ...] = ("one_state", "field")
#: Kinds of model and numbers of states on the ladder, whatever else an experiment tries.
LADDER = {
    "gaussian": (2, 3, 4, 6),
    "autoregressive": (1, 2, 3, 4, 6),
    "vector_autoregressive": (1, 2, 3, 4),
}
#: Nats a checkpoint that states must foretell better than what has none.
LEAST_GAIN = 0.0
#: Of a gain's interval. A verdict errs to one side of it, so that 5 % are left there.
CONFIDENCE = 0.9


class Member(NamedTuple):
    """A model on a rung.

    Attributes:
        rung: which.
        model: the kind of model with states, or the field's shape.
        n_states: number of states; None of a field.
    """

    rung: Rung
    model: str
    n_states: int | None


@dataclass(frozen=True)
class Gain:
    """How much better one side foretells than the other, in nats a checkpoint.

    Attributes:
        mean: over the runs; None where no run could be judged.
        low: lower end of its interval; None with fewer than three runs.
        high: its upper end.
        n_runs: how many runs judge.
    """

    mean: float | None
    low: float | None
    high: float | None
    n_runs: int

    @property
    def sure(self) -> bool:
        """Whether the whole interval lies above `LEAST_GAIN`."""
        return self.low is not None and self.low > LEAST_GAIN


@dataclass(frozen=True)
class Ladder:
    """What models with and without states foretell.

    Attributes:
        verdict: "drift", "phases" or "regions"; None where no run could be judged.
        rungs: by rung, the member that foretells best and how well: `model`, `n_states`, and
            `mean`, `low`, `high` in nats a checkpoint.
        gains: of "autoregressive" and "gaussian" states over the null, and of "autoregressive"
            states over "gaussian" ones ("moving").
        null: the stronger one of those without states.
        members: every member's mean, in nats a checkpoint.
    """

    verdict: Structure | None
    rungs: Mapping[Rung, Mapping[str, Any]]
    gains: Mapping[str, Gain]
    null: Rung | None
    members: Sequence[Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "verdict": self.verdict,
            "null": self.null,
            "rungs": {name: dict(rung) for name, rung in self.rungs.items()},
            "gains": {name: asdict(gain) for name, gain in self.gains.items()},
            "members": [dict(member) for member in self.members],
        }


def rung_of(model: str, n_states: int) -> Rung | None:
    """The rung of a kind of model with states; None for one Gaussian state, which is on none."""
    if model == "gaussian":
        return "gaussian" if n_states > 1 else None
    return "autoregressive" if n_states > 1 else "one_state"


def judge(rates: Mapping[Member, Floats]) -> Ladder:
    """Climb the ladder.

    Args:
        rates: by member, its predictive log density (H, M) of each of M runs under the fits to each
            of H halves, in nats a checkpoint; NaN where the half saw the run.
    """
    usable = {member: found for member, found in rates.items() if np.isfinite(found).any()}
    best: dict[Rung, Floats | None] = {rung: _chosen(usable, (rung,)) for rung in RUNGS}
    null = _chosen(usable, NULL)
    gains = {
        "autoregressive": _gain(best["autoregressive"], null),
        "gaussian": _gain(best["gaussian"], null),
        "moving": _gain(best["autoregressive"], best["gaussian"]),
    }
    rungs = {rung: _standing(usable, rung, found) for rung, found in best.items()}
    return Ladder(
        verdict=_verdict(gains),
        rungs=rungs,
        gains=gains,
        null=_stronger(rungs),
        members=[
            {**member._asdict(), "mean": float(np.nanmean(found))}
            for member, found in usable.items()
        ],
    )


def _stronger(rungs: Mapping[Rung, Mapping[str, Any]]) -> Rung | None:
    """Which of those without states foretells better."""
    means = {rung: rungs[rung]["mean"] for rung in NULL if rungs[rung]["mean"] is not None}
    return max(means, key=lambda rung: float(means[rung]), default=None)


def _verdict(gains: Mapping[str, Gain]) -> Structure | None:
    if gains["autoregressive"].mean is None and gains["gaussian"].mean is None:
        return None
    if gains["gaussian"].sure and not gains["moving"].sure:
        return "regions"
    return "phases" if gains["autoregressive"].sure else "drift"


def _chosen(rates: Mapping[Member, Floats], rungs: Sequence[Rung]) -> Floats | None:
    """Of some rungs, for each half the rates (H, M) of the member that all other halves choose."""
    members = [found for member, found in rates.items() if member.rung in rungs]
    if not members:
        return None
    stacked = np.stack(members)  # (C, H, M)
    of_half = _mean(stacked, axis=2)  # (C, H)
    chosen = np.empty(stacked.shape[1:])
    for half in range(len(chosen)):
        others = np.delete(of_half, half, axis=1) if len(chosen) > 1 else of_half
        means = _mean(others, axis=1)
        chosen[half] = stacked[int(np.argmax(np.nan_to_num(means, nan=-np.inf))), half]
    return chosen


def _gain(of: Floats | None, over: Floats | None) -> Gain:
    """The gain of rates (H, M) over others."""
    if of is None or over is None:
        return Gain(None, None, None, 0)
    return _interval(of - over)


def _interval(values: Floats) -> Gain:
    """Mean and interval of values (H, M) over runs and halves."""
    from scipy.special import stdtrit

    by_run = _mean(values, axis=0)
    by_run = by_run[np.isfinite(by_run)]
    n = len(by_run)
    if not n:
        return Gain(None, None, None, 0)
    mean = float(by_run.mean())
    if n < 3:
        return Gain(mean, None, None, n)
    by_half = _mean(values, axis=1)
    by_half = by_half[np.isfinite(by_half)]
    variances = [part.var(ddof=1) / len(part) for part in (by_run, by_half) if len(part) > 1]
    quantile = stdtrit(n - 1, 0.5 + CONFIDENCE / 2)
    if (np.isfinite(values).sum(axis=0) <= 1).all():
        few = stdtrit(max(len(by_half) - 1, 1), 0.5 + CONFIDENCE / 2)
        reach = max(q * np.sqrt(v) for q, v in zip((quantile, few), variances, strict=False))
    else:
        reach = quantile * np.sqrt(sum(variances))
    return Gain(mean, mean - float(reach), mean + float(reach), n)


def _standing(rates: Mapping[Member, Floats], rung: Rung, chosen: Floats | None) -> dict[str, Any]:
    """A rung's best member over all halves, and how well the rung foretells."""
    means = {m: float(np.nanmean(found)) for m, found in rates.items() if m.rung == rung}
    if chosen is None:
        return {"model": None, "n_states": None, "mean": None, "low": None, "high": None}
    best = max(means, key=lambda member: means[member])
    found = _interval(chosen)
    return {
        "model": best.model,
        "n_states": best.n_states,
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
    }


def _mean(values: Floats, axis: int) -> Floats:
    """The mean of what is known along an axis; NaN where nothing is."""
    known = np.isfinite(values)
    counts = known.sum(axis=axis)
    sums = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

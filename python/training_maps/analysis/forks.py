"""Where runs part ways, how they split, and whether the way taken tells when a run converges.

**A fork.** A run's *way* is the order in which it enters states for the first time: of the path
3-1-3-2 it is 3-1-2. A state is a fork if runs' ways go on from it to different states; each of
these is a branch. Returns therefore make no fork, and neither do runs that end in a state which
others leave: those are listed, and take no branch. A map may fork in this sense only if it is not
linear (`TrainingMap.is_linear`).

**Does the branch predict convergence?** Hu et al. 2023 say so of single edges by eye (section 3.1:
"the first edge that a training run takes to exit the initialization state 1 significantly impacts
the number of epochs the run takes to generalize"; likewise sections 3.2 and 3.3). Here the mean
convergence time of each branch has a 95 % interval (Student's t, corrected for skew), and the
difference between the branches of a fork a permutation test (`stats.permutation_test`). A map with
several forks has several tests, and p-values are adjusted by Holm's method; a fork predicts
convergence if its adjusted p-value is below the significance.

A run that never converges counts as its last step, as in the regression (section 3.4). A run that
had converged before it took its branch is counted too, and the result says how many did: where
that is most of them, the branch cannot be a cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from training_maps.settings.sections import ForksSettings
from training_maps.stats.mean_interval import CONFIDENCE, mean_interval
from training_maps.stats.permutation_test import PermutationTest, holm, permutation_test
from training_maps.training_map.paths import path_times
from training_maps.utils.notes import Note
from training_maps.utils.seeds import named_seeds
from training_maps.utils.wording import plural


@dataclass(frozen=True)
class Branch:
    """One way on from a fork.

    Times are of convergence, over the branch's runs whose time is known; None where there is none,
    and an interval is None with fewer than three.

    Attributes:
        to: the state that its runs enter next for the first time.
        seeds: those runs, ascending.
        n_runs: how many.
        share: their share of the runs that go on from the fork.
        n_timed: how many of them have a convergence time; those that never converge count as their
            last step.
        n_converged: how many of these converged.
        n_converged_before: how many had converged by the checkpoint at which they took the branch.
        mean_step: mean convergence time in optimiser updates.
        interval_step: its 95 % interval.
        mean_epoch: mean convergence time in epochs, if epochs are known.
        interval_epoch: its 95 % interval.
    """

    to: int
    seeds: tuple[int, ...]
    n_runs: int
    share: float
    n_timed: int = 0
    n_converged: int = 0
    n_converged_before: int = 0
    mean_step: float | None = None
    interval_step: tuple[float, float] | None = None
    mean_epoch: float | None = None
    interval_epoch: tuple[float, float] | None = None


@dataclass(frozen=True)
class Fork:
    """A state from which runs go different ways.

    Attributes:
        state: the state.
        branches: the ways, the most taken first, ties by state.
        seeds_ending: runs that enter the state and no new one after it, ascending.
        test: whether the branches' convergence times differ; None where that cannot be told.
        p_value_adjusted: the test's p-value, adjusted for the number of forks tested.
        predicts_convergence: whether that is below the significance; None without a test.
        reason: why there is no test, in a sentence; None where there is one.
    """

    state: int
    branches: tuple[Branch, ...]
    seeds_ending: tuple[int, ...]
    test: PermutationTest | None = None
    p_value_adjusted: float | None = None
    predicts_convergence: bool | None = None
    reason: str | None = "Convergence times are not known."

    @property
    def sentence(self) -> str:
        """How runs split here, and what the test says."""
        ways = [f"{plural(b.n_runs, 'run')} to state {b.to}{_time(b)}" for b in self.branches]
        split = f"From state {self.state}, {', '.join(ways[:-1])} and {ways[-1]} go on"
        ending = f"; {plural(len(self.seeds_ending), 'run')} end there" if self.seeds_ending else ""
        if self.test is None:
            return f"{split}{ending}. {self.reason}"
        verdict = "predicts" if self.predicts_convergence else "is not seen to predict"
        return (
            f"{split}{ending}. The branch {verdict} when a run converges (permutation test, "
            f"p = {self.p_value_adjusted:.2g} adjusted for the number of forks)."
        )

    def to_dict(self) -> dict[str, Any]:
        """All fields and the sentence, ready for JSON."""
        return {**asdict(self), "sentence": self.sentence}


@dataclass(frozen=True)
class Forks:
    """All forks of a map.

    Attributes:
        forks: ascending by state; none if all runs go the same way.
        n_runs: number of runs.
        significance: level that an adjusted p-value must be below.
        notes: what a reader should know.
    """

    forks: tuple[Fork, ...]
    n_runs: int
    significance: float
    notes: tuple[Note, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return {
            "n_runs": self.n_runs,
            "significance": self.significance,
            "confidence": CONFIDENCE,
            "forks": [fork.to_dict() for fork in self.forks],
            "notes": [note.to_dict() for note in self.notes],
        }


def find_forks(state_paths: pd.DataFrame) -> tuple[Fork, ...]:
    """The forks of runs' ways, ascending by state, without tests.

    Args:
        state_paths: table of `seed`, `step`, `state`, one row a checkpoint.
    """
    stays = path_times(state_paths)
    ways = stays[stays["is_first"]]
    following = ways.groupby("seed")["state"].shift(-1)
    forks = []
    for state in sorted(ways["state"].unique().tolist()):
        here = ways["state"] == state
        seeds, targets = ways.loc[here, "seed"], following[here]
        seeds_of: dict[int, list[int]] = {}
        for seed, target in zip(seeds.tolist(), targets.tolist(), strict=True):
            if not np.isnan(target):
                seeds_of.setdefault(int(target), []).append(seed)
        if len(seeds_of) < 2:
            continue
        going_on = sum(map(len, seeds_of.values()))
        branches = [
            Branch(to, tuple(sorted(taken)), len(taken), len(taken) / going_on)
            for to, taken in sorted(seeds_of.items(), key=lambda item: (-len(item[1]), item[0]))
        ]
        ending = sorted(seeds[targets.isna()].tolist())
        forks.append(Fork(int(state), tuple(branches), tuple(ending)))
    return tuple(forks)


def explain_forks(
    state_paths: pd.DataFrame,
    convergence: pd.DataFrame | None = None,
    *,
    significance: float = ForksSettings.significance,
    n_permutations: int = ForksSettings.permutations,
    random_state: int = ForksSettings.random_state,
) -> Forks:
    """Find forks, and test at each whether the branch taken tells when a run converges.

    Args:
        state_paths: table of `seed`, `step`, `state`, one row a checkpoint.
        convergence: table of `seed`, `step`, `converged` and, if known, `epoch`, one row a run;
            without it, or for runs that it lacks, only the split is told.
        significance: level that a p-value, adjusted for the number of forks, must be below.
        n_permutations: random permutations of a test where all would be too many.
        random_state: seed of those.

    Source: Hu et al. 2023, sections 3.1 to 3.3.
    """
    forks = find_forks(state_paths)
    n_runs = int(state_paths["seed"].nunique())
    if convergence is None or convergence.empty or not forks:
        return Forks(forks, n_runs, significance)
    times = convergence.set_index("seed")
    stays = path_times(state_paths)
    first = stays[stays["is_first"]].set_index(["seed", "state"])["step"]
    timed = [
        replace(
            fork,
            branches=tuple(_with_times(branch, times, first) for branch in fork.branches),
            **_tested(fork, times, n_permutations, random_state),
        )
        for fork in forks
    ]
    tested = [fork for fork in timed if fork.test is not None]
    adjusted = holm([fork.test.p_value for fork in tested if fork.test is not None])
    judged = {
        fork.state: replace(fork, p_value_adjusted=p, predicts_convergence=p < significance)
        for fork, p in zip(tested, adjusted, strict=True)
    }
    forks = tuple(judged.get(fork.state, fork) for fork in timed)
    return Forks(forks, n_runs, significance, tuple(_notes(forks, times, significance)))


def _with_times(branch: Branch, times: pd.DataFrame, first: pd.Series[Any]) -> Branch:
    """The branch with what is known of its runs' convergence."""
    seeds = [seed for seed in branch.seeds if seed in times.index]
    if not seeds:
        return branch
    rows = times.loc[seeds]
    steps = rows["step"].to_numpy(dtype=float)
    converged = rows["converged"].to_numpy(dtype=bool)
    taken = np.array([first[seed, branch.to] for seed in seeds])
    epochs = rows["epoch"].to_numpy(dtype=float) if "epoch" in rows else np.full(len(rows), np.nan)
    with_epochs = bool(np.isfinite(epochs).all())
    return replace(
        branch,
        n_timed=len(seeds),
        n_converged=int(converged.sum()),
        n_converged_before=int((converged & (steps < taken)).sum()),
        mean_step=float(steps.mean()),
        interval_step=mean_interval(steps),
        mean_epoch=float(epochs.mean()) if with_epochs else None,
        interval_epoch=mean_interval(epochs) if with_epochs else None,
    )


def _tested(
    fork: Fork, times: pd.DataFrame, n_permutations: int, random_state: int
) -> dict[str, Any]:
    """The fields `test` and `reason` of a fork."""
    taken = {seed: branch.to for branch in fork.branches for seed in branch.seeds}
    known = times[times.index.isin(taken)]
    values = known["step"].to_numpy(dtype=float)
    groups = [taken[int(seed)] for seed in known.index]
    if len(set(groups)) < 2:
        return {"reason": "Convergence times are known for runs of one branch at most."}
    if not known["converged"].any():
        return {"reason": "None of these runs converges."}
    if len(set(values.tolist())) == 1:
        return {"reason": "All of these runs converge at the same step."}
    test = permutation_test(
        values, groups, n_permutations=n_permutations, random_state=random_state
    )
    return {"test": test, "reason": None}


def _notes(forks: Sequence[Fork], times: pd.DataFrame, significance: float) -> list[Note]:
    notes = []
    tested = [fork for fork in forks if fork.test is not None]
    for fork in tested:
        before = sum(branch.n_converged_before for branch in fork.branches)
        timed = sum(branch.n_timed for branch in fork.branches)
        if 2 * before > timed:
            notes.append(
                Note(
                    "converged_before",
                    f"{before} of the {timed} runs that go on from state {fork.state} had "
                    "converged before they did: that branch cannot be why they converge when they "
                    "do.",
                )
            )
        if fork.test is not None and fork.test.smallest_p_value >= significance:
            notes.append(
                Note(
                    "too_few_to_tell",
                    f"The fork at state {fork.state} splits so few runs that its p-value could not "
                    f"be below {fork.test.smallest_p_value:.2g}.",
                )
            )
    involved = {seed for fork in tested for branch in fork.branches for seed in branch.seeds}
    censored = sorted(involved & set(times.index[~times["converged"].astype(bool)]))
    if censored:
        notes.append(
            Note(
                "censored",
                f"{plural(len(censored), 'run')} ({named_seeds(censored)}) that never "
                f"converge{'s' * (len(censored) == 1)} count as the last step in the branches' "
                "convergence times.",
            )
        )
    return notes


def _time(branch: Branch) -> str:
    if branch.mean_step is None:
        return ""
    if branch.mean_epoch is not None:
        mean, interval, unit = branch.mean_epoch, branch.interval_epoch, "epoch"
    else:
        mean, interval, unit = branch.mean_step, branch.interval_step, "step"
    within = f", 95 % interval {' to '.join(map(_at, interval))}" if interval else ""
    return f" (mean convergence at {unit} {_at(mean)}{within})"


def _at(time: float) -> str:
    """A time, of four digits or whole: 0.25, 46.92, 57,910."""
    return f"{time:,.0f}" if time >= 1000 else f"{time:.4g}"

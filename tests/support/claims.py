"""What the package claims of a set of simulated runs, and whether it is so.

A set goes through the whole path, from tables to the summary (tests/support/whole_path), and
`judge` holds each claim against the truth. A claim is of a set of runs as a whole: "a fork that
is not there is drawn", and so on. `CLAIMS` says of each whether it is right or wrong to make it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tests.support.simulated_training import Truth
from training_maps.results import ExperimentResults
from training_maps.stats.agreement import adjusted_rand_index
from training_maps.training_map.elements import NOISE_ALONE
from training_maps.utils.files import read_json
from training_maps.utils.numbers import FOUND_AGAIN

# From this agreement on, two ways to part runs, or two paths, are called the same; and from this
# share of its visitors on, a state is one of the runs that go a certain way.
_SAME = 0.8
_MOST = 0.8
_HIGH_R_SQUARED = 0.8


@dataclass(frozen=True)
class Answers:
    """What the stages say of one set of runs.

    Attributes:
        results: read from the folder.
        summary: `summary.json`.
        structure: `structure.json`; empty where there is none.
        reproducibility: `reproducibility.json`; empty where there is none.
    """

    results: ExperimentResults
    summary: Mapping[str, Any]
    structure: Mapping[str, Any]
    reproducibility: Mapping[str, Any]

    @classmethod
    def of(cls, results: ExperimentResults) -> Answers:
        """What stands in a folder of results."""

        def read(name: str) -> dict[str, Any]:
            path = Path(results.folder, name)
            return dict(read_json(path)) if path.exists() else {}

        names = ("summary.json", "structure.json", "reproducibility.json")
        return cls(results, *map(read, names))

    @cached_property
    def routes(self) -> dict[int, str]:
        """Of each seed, the states of its path in order, as text."""
        return routes_of(self.results.state_paths)

    @cached_property
    def forks(self) -> list[Mapping[str, Any]]:
        """The forks of the map."""
        return list(self.results.forks.get("forks", ()))

    @cached_property
    def claimed_forks(self) -> list[Mapping[str, Any]]:
        """Those that are found again, as far as that is known; where there are states at all."""
        if _says_drift(self):
            return []
        found = self.reproducibility.get("found") or {}
        share = {row["state"]: row["share"] for row in found.get("forks", ())}
        return [fork for fork in self.forks if share.get(fork["state"], 1.0) >= FOUND_AGAIN]


@dataclass(frozen=True)
class Claim:
    """A claim that may be made of a set.

    Attributes:
        name: what is claimed, as a line of a table.
        wanted: whether it is right or wrong to claim it; of some that is not said.
        made: whether it is made; None where a set cannot show it.
    """

    name: str
    wanted: Literal["right", "wrong", "neither"]
    made: Callable[[Answers, Truth], bool | None]


def judge(answers: Answers, truth: Truth) -> dict[str, bool]:
    """Each claim that a set of this truth can show, by name, and whether it is made."""
    made = {claim.name: claim.made(answers, truth) for claim in CLAIMS}
    return {name: value for name, value in made.items() if value is not None}


def facts(answers: Answers) -> dict[str, Any]:
    """What was found, as it is: kept beside the claims, so that others can be asked later."""
    summary, agreement = answers.summary, answers.reproducibility.get("agreement") or {}
    found = answers.reproducibility.get("found") or {}
    return {
        "model": (summary["selection"] or {}).get("model"),
        "n_states": summary["n_states"],
        "stability": (summary["selection"] or {}).get("verdict"),
        "choice": summary.get("choice"),
        "verdict": summary["structure"],
        "gains": answers.structure.get("gains"),
        "agreement": agreement.get("states"),
        "r_squared": summary["r_squared"],
        "foretelling": (summary.get("foretelling") or {}).get("verdict"),
        "n_forks": len(answers.forks),
        "forks": found.get("forks"),
        "delays": found.get("delays"),
    }


def routes_of(paths: pd.DataFrame) -> dict[int, str]:
    """Of each seed, the states of its path in order, as text."""
    return {
        int(seed): "-".join(map(str, states[states != states.shift()]))  # type: ignore[call-overload]
        for seed, states in paths.groupby("seed")["state"]
    }


# Whether there are states.


def _states_in_drift(answers: Answers, truth: Truth) -> bool | None:
    if not answers.structure or truth.structure != "drift":
        return None
    return answers.summary["structure"] != "drift"


def _right_verdict(answers: Answers, truth: Truth) -> bool | None:
    if not answers.structure or truth.structure == "drift":
        return None
    return bool(answers.summary["structure"] == truth.structure)


def _some_states(answers: Answers, truth: Truth) -> bool | None:
    if not answers.structure or truth.structure == "drift":
        return None
    return answers.summary["structure"] in ("phases", "regions")


def _drift_is_said(answers: Answers, truth: Truth) -> bool | None:
    return _says_drift(answers) if answers.structure and truth.structure == "drift" else None


def _drift_of_states(answers: Answers, truth: Truth) -> bool | None:
    return _says_drift(answers) if answers.structure and truth.structure != "drift" else None


def _says_drift(answers: Answers) -> bool:
    """Whether drift is claimed, not only that runs are too few to tell."""
    return answers.summary["structure"] == "drift" and answers.summary["structure_is_judged"]


def _several_states(answers: Answers, truth: Truth) -> bool | None:
    return answers.summary["n_states"] > 1 if truth.structure == "drift" else None


def _right_number(answers: Answers, truth: Truth) -> bool | None:
    if truth.structure == "drift":
        return None
    return bool(answers.summary["n_states"] == truth.n_states)


def _true_states(answers: Answers, truth: Truth) -> bool | None:
    if truth.structure == "drift" or truth.paths is None:
        return None
    found = answers.results.state_paths["state"].to_numpy()
    return adjusted_rand_index(truth.paths["state"].to_numpy(), found) >= _SAME


def _stable_and_wrong(answers: Answers, truth: Truth) -> bool | None:
    if truth.structure == "drift":
        # Slices may be stable, where it is said that they are slices.
        wrong = answers.summary["n_states"] > 1 and answers.summary["structure"] != "drift"
    else:
        wrong = answers.summary["n_states"] != truth.n_states
    return bool(answers.summary["choice"] == "stable" and wrong)


def _phase_of_noise(answers: Answers, truth: Truth) -> bool | None:
    # Only of true states: where one is cut in two, its halves may well differ in noise alone.
    return _noise_alone(answers) if _true_states(answers, truth) else None


def _change_of_noise(answers: Answers, truth: Truth) -> bool | None:
    changes = truth.structure == "drift" and truth.paths is not None
    return _noise_alone(answers) if changes else None


def _noise_alone(answers: Answers) -> bool:
    return any(note["kind"] == NOISE_ALONE for note in answers.summary["notes"])


# Whether runs part.


def _fork_drawn(answers: Answers, truth: Truth) -> bool | None:
    return _any_true(answers.forks, truth) if truth.forks else None


def _fork_found_again(answers: Answers, truth: Truth) -> bool | None:
    return _any_true(answers.claimed_forks, truth) if truth.forks else None


def _wrong_fork_drawn(answers: Answers, truth: Truth) -> bool | None:
    return _any_wrong(answers.forks, truth)


def _wrong_fork_found_again(answers: Answers, truth: Truth) -> bool | None:
    return _any_wrong(answers.claimed_forks, truth)


def _foretells_rightly(answers: Answers, truth: Truth) -> bool | None:
    telling = [fork for fork in answers.claimed_forks if fork["predicts_convergence"]]
    return _any_true(telling, truth) if truth.delays else None


def _foretells_wrongly(answers: Answers, truth: Truth) -> bool | None:
    telling = [fork for fork in answers.claimed_forks if fork["predicts_convergence"]]
    return None if truth.delays else bool(telling)


def _any_true(forks: Iterable[Mapping[str, Any]], truth: Truth) -> bool:
    return any(_parts_as_truth(fork, truth) for fork in forks)


def _any_wrong(forks: Iterable[Mapping[str, Any]], truth: Truth) -> bool:
    return any(not _parts_as_truth(fork, truth) for fork in forks)


def _parts_as_truth(fork: Mapping[str, Any], truth: Truth) -> bool:
    """Whether the branches of a fork are the true ones, but for a run or so."""
    if not truth.forks or truth.paths is None:
        return False
    branch = {seed: branch["to"] for branch in fork["branches"] for seed in branch["seeds"]}
    routes = routes_of(truth.paths)
    if len(branch) < _SAME * len(routes):
        return False
    taken = pd.DataFrame({"branch": branch, "route": routes}).dropna()
    codes = [taken[name].astype("category").cat.codes.to_numpy() for name in ("branch", "route")]
    return adjusted_rand_index(*codes) >= _SAME


# What makes runs slow.


def _detour_rightly(answers: Answers, truth: Truth) -> bool | None:
    return _rightly_slow(answers, truth, answers.summary["detour_states"])


def _detour_wrongly(answers: Answers, truth: Truth) -> bool | None:
    return any(not _delays(answers, truth, s) for s in answers.summary["detour_states"])


def _short_cut_a_detour(answers: Answers, truth: Truth) -> bool | None:
    return _short_cut_slow(answers, truth, answers.summary["detour_states"])


def _delay_rightly(answers: Answers, truth: Truth) -> bool | None:
    return _rightly_slow(answers, truth, answers.summary["delays"])


def _delay_wrongly(answers: Answers, truth: Truth) -> bool | None:
    return any(not _delays(answers, truth, s) for s in answers.summary["delays"])


def _short_cut_a_delay(answers: Answers, truth: Truth) -> bool | None:
    return _short_cut_slow(answers, truth, answers.summary["delays"])


def _rightly_slow(answers: Answers, truth: Truth, states: Iterable[int]) -> bool | None:
    if not truth.delays:
        return None
    return any(_delays(answers, truth, state) for state in states)


def _short_cut_slow(answers: Answers, truth: Truth, states: Iterable[int]) -> bool | None:
    if not truth.short_cuts:
        return None
    return any(_share_that_takes(answers, truth, s, truth.short_cuts) >= _MOST for s in states)


def _delays(answers: Answers, truth: Truth, state: int) -> bool:
    """Whether a found state is one of runs that are delayed, while they are.

    Most of its visitors take a way that is slow in truth, and most of its checkpoints are before
    they converge.
    """
    if _share_that_takes(answers, truth, state, truth.delays) < _MOST:
        return False
    rows = answers.results.state_paths.query("state == @state")
    converged = truth.convergence.set_index("seed")["step"]
    return bool((rows["step"].to_numpy() < converged.loc[rows["seed"]].to_numpy()).mean() >= 0.5)


def _share_that_takes(answers: Answers, truth: Truth, state: int, of_truth: Iterable[int]) -> float:
    """Of the runs that visit a found state, the share that goes through some true ones."""
    if truth.paths is None:
        return 0.0
    taking = set(truth.paths.loc[truth.paths["state"].isin(list(of_truth)), "seed"])
    paths = answers.results.state_paths
    visitors = set(paths.loc[paths["state"] == state, "seed"])
    return len(visitors & taking) / len(visitors)


# What happens when.


def _phase_rightly(answers: Answers, truth: Truth) -> bool | None:
    if truth.structure == "drift":
        return None
    return all(_coincides(answers, phase) for phase in truth.coincident)


def _phase_wrongly(answers: Answers, truth: Truth) -> bool | None:
    apart = set(answers.results.phases["phases"]) - truth.coincident
    if truth.structure == "drift":
        # What happens at a given progress does come with a slice of it, so that it is no test.
        apart -= {"generalisation"}
    return any(_coincides(answers, phase) for phase in apart)


def _coincides(answers: Answers, phase: str) -> bool:
    """Whether a phase is said to come with a transition."""
    return answers.results.phases["phases"][phase]["goes_with"] is not None


def _high_r_squared(answers: Answers, truth: Truth) -> bool | None:
    if truth.structure != "drift":
        return None
    return bool((answers.summary["r_squared"] or 0.0) >= _HIGH_R_SQUARED)


def _foretold(answers: Answers, truth: Truth) -> bool | None:
    if truth.structure != "drift" or not _high_r_squared(answers, truth):
        return None
    return (answers.summary["foretelling"] or {}).get("verdict") == "foretells"


CLAIMS = (
    Claim("verdict: states, and there are none", "wrong", _states_in_drift),
    Claim("verdict: states, and there are", "right", _some_states),
    Claim("verdict: drift, and it is", "right", _drift_is_said),
    Claim("verdict: drift, and there are states", "wrong", _drift_of_states),
    Claim("verdict: phases or regions, as it is", "right", _right_verdict),
    Claim("the map has states where there are none", "neither", _several_states),
    Claim("the map has as many states as there are", "right", _right_number),
    Claim("the map has the states that there are", "right", _true_states),
    Claim("a wrong number of states is stable", "wrong", _stable_and_wrong),
    Claim("a true state is called noise alone", "wrong", _phase_of_noise),
    Claim("a change of noise is called noise alone", "neither", _change_of_noise),
    Claim("the true fork is drawn", "right", _fork_drawn),
    Claim("the true fork is found again", "right", _fork_found_again),
    Claim("a fork that is not there is drawn", "wrong", _wrong_fork_drawn),
    Claim("a fork that is not there is found again", "wrong", _wrong_fork_found_again),
    Claim("a branch foretells convergence, and does", "right", _foretells_rightly),
    Claim("a branch foretells convergence, and does not", "wrong", _foretells_wrongly),
    Claim("detour (paper) of runs that are delayed", "right", _detour_rightly),
    Claim("detour (paper) of others", "wrong", _detour_wrongly),
    Claim("detour (paper) of a short cut", "wrong", _short_cut_a_detour),
    Claim("delay of runs that are delayed", "right", _delay_rightly),
    Claim("delay of others", "wrong", _delay_wrongly),
    Claim("delay of a short cut", "wrong", _short_cut_a_delay),
    Claim("a phase comes with a transition, and does", "right", _phase_rightly),
    Claim("a phase comes with a transition, and does not", "wrong", _phase_wrongly),
    Claim("R² of at least 0.8 without a state", "neither", _high_r_squared),
    Claim("high R² without a state is said to foretell", "neither", _foretold),
)

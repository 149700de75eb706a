"""What the package claims of a set of simulated runs, and whether it is so.

`answer` takes a set through the whole path, from tables to verdicts; `judge` holds each claim of
the answers against the truth. A claim is of a set of runs as a whole: "a fork that is not there",
and so on. `CLAIMS` says of each whether it is right or wrong to make it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from tests.support.simulated_training import SimulatedRuns, Truth
from tests.support.simulated_training.runs import THRESHOLD
from training_maps.analysis.forks import Fork, Forks, explain_forks
from training_maps.analysis.phases.transitions import find_phase_transitions
from training_maps.analysis.semantics.outcomes import convergence_times, time_outcome
from training_maps.analysis.semantics.regression import Regression, regress
from training_maps.hmm.observations import observations
from training_maps.model_selection.select import SelectedModel, select_hmm
from training_maps.stats.agreement import adjusted_rand_index
from training_maps.training_map.map import TrainingMap
from training_maps.training_map.paths import state_shares

# From this agreement on, two ways to part runs, or two paths, are called the same.
_SAME = 0.8
_HIGH_R_SQUARED = 0.8


@dataclass(frozen=True)
class Answers:
    """What the stages say of one set of runs."""

    model: SelectedModel
    training_map: TrainingMap
    regression: Regression
    forks: Forks
    phases: Mapping[str, Any]


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


def answer(runs: SimulatedRuns, **settings: Any) -> Answers:
    """Take a set through the stages, as the workflow does by default.

    Args:
        runs: the set.
        settings: other settings of the models, as `select_hmm` takes them.
    """
    obs = observations(runs.tables)
    model = select_hmm(obs, **settings)
    training_map = TrainingMap.from_model(model)
    paths = training_map.paths
    convergence = convergence_times(runs.logs, THRESHOLD)
    outcome = time_outcome(convergence, "eval_accuracy", THRESHOLD)
    return Answers(
        model,
        training_map,
        regress(state_shares(paths), outcome, alternatives=False),
        explain_forks(paths, convergence),
        find_phase_transitions(paths, runs.logs).summary["phases"],
    )


def judge(answers: Answers, truth: Truth) -> dict[str, bool]:
    """Each claim that a set of this truth can show, by name, and whether it is made."""
    made = {claim.name: claim.made(answers, truth) for claim in CLAIMS}
    return {name: value for name, value in made.items() if value is not None}


def facts(answers: Answers) -> dict[str, Any]:
    """What was found, as it is: kept beside the claims, so that others can be asked later."""
    return {
        "model": answers.model.kind,
        "n_states": len(answers.training_map.states),
        "stability": answers.model.stability.verdict,
        "r_squared": answers.regression.r_squared,
        "n_forks": len(answers.forks.forks),
    }


def _several_states(answers: Answers, truth: Truth) -> bool | None:
    return len(answers.training_map.states) > 1 if truth.structure == "drift" else None


def _right_number(answers: Answers, truth: Truth) -> bool | None:
    if truth.structure == "drift":
        return None
    return len(answers.training_map.states) == truth.n_states


def _true_states(answers: Answers, truth: Truth) -> bool | None:
    if truth.structure == "drift" or truth.paths is None:
        return None
    found = answers.training_map.paths["state"].to_numpy()
    return adjusted_rand_index(truth.paths["state"].to_numpy(), found) >= _SAME


def _stable_and_wrong(answers: Answers, truth: Truth) -> bool | None:
    states = len(answers.training_map.states)
    right = 1 if truth.structure == "drift" else truth.n_states
    return answers.model.stability.verdict == "stable" and states != right


def _fork_found(answers: Answers, truth: Truth) -> bool | None:
    if not truth.forks:
        return None
    return any(_parts_as_truth(fork, truth) for fork in answers.forks.forks)


def _fork_invented(answers: Answers, truth: Truth) -> bool | None:
    return any(not _parts_as_truth(fork, truth) for fork in answers.forks.forks)


def _branch_foretells_rightly(answers: Answers, truth: Truth) -> bool | None:
    if not truth.delays:
        return None
    return any(
        bool(fork.predicts_convergence) and _parts_as_truth(fork, truth)
        for fork in answers.forks.forks
    )


def _branch_foretells_wrongly(answers: Answers, truth: Truth) -> bool | None:
    if truth.delays:
        return None
    return any(fork.predicts_convergence for fork in answers.forks.forks)


def _true_detour(answers: Answers, truth: Truth) -> bool | None:
    if not truth.delays:
        return None
    return bool(_mostly(answers, truth, answers.regression.detour_states) & truth.delays)


def _wrong_detour(answers: Answers, truth: Truth) -> bool | None:
    return bool(_mostly(answers, truth, answers.regression.detour_states) - truth.delays)


def _short_cut_is_a_detour(answers: Answers, truth: Truth) -> bool | None:
    if not truth.short_cuts:
        return None
    return bool(_mostly(answers, truth, answers.regression.detour_states) & truth.short_cuts)


def _phase_rightly(answers: Answers, truth: Truth) -> bool | None:
    if truth.structure == "drift":
        return None
    return all(_coincides(answers.phases[phase]) for phase in truth.coincident)


def _phase_wrongly(answers: Answers, truth: Truth) -> bool | None:
    apart = set(answers.phases) - truth.coincident
    if truth.structure == "drift":
        # What happens at a given progress does come with a slice of it, so that it is no test.
        apart -= {"generalisation"}
    return any(_coincides(answers.phases[phase]) for phase in apart)


def _states_explain(answers: Answers, truth: Truth) -> bool | None:
    if truth.structure != "drift":
        return None
    r_squared = answers.regression.r_squared
    return answers.regression.significant and (r_squared or 0.0) >= _HIGH_R_SQUARED


def _coincides(phase: Mapping[str, Any]) -> bool:
    """Whether a phase is said to come with a transition."""
    return any(
        one["transition"] is not None and one["p_value"] < 0.05 for one in phase["coincidences"]
    )


def _parts_as_truth(fork: Fork, truth: Truth) -> bool:
    """Whether the branches of a fork are the true ones, but for a run or so."""
    if not truth.forks or truth.paths is None:
        return False
    branch = {seed: branch.to for branch in fork.branches for seed in branch.seeds}
    routes = routes_of(truth.paths)
    if len(branch) < _SAME * len(routes):
        return False
    taken = pd.DataFrame({"branch": branch, "route": routes}).dropna()
    codes = [taken[name].astype("category").cat.codes.to_numpy() for name in ("branch", "route")]
    return adjusted_rand_index(*codes) >= _SAME


def routes_of(paths: pd.DataFrame) -> dict[int, str]:
    """Of each seed, the states of its path in order, as text."""
    return {
        int(seed): "-".join(map(str, states.drop_duplicates()))  # type: ignore[call-overload]
        for seed, states in paths.groupby("seed")["state"]
    }


def _mostly(answers: Answers, truth: Truth, states: tuple[int, ...]) -> set[int]:
    """The true states that the checkpoints of some found states are mostly in; -1 where none is."""
    if truth.paths is None:
        return {-1} if states else set()
    found = answers.training_map.paths["state"].to_numpy()
    true = truth.paths["state"]
    return {int(true[found == state].mode().iloc[0]) for state in states}


CLAIMS = (
    Claim("states where there are none", "wrong", _several_states),
    Claim("as many states as there are", "right", _right_number),
    Claim("the states that there are", "right", _true_states),
    Claim("a wrong number of states is stable", "wrong", _stable_and_wrong),
    Claim("the fork that there is", "right", _fork_found),
    Claim("a fork that there is not", "wrong", _fork_invented),
    Claim("the branch foretells convergence, and does", "right", _branch_foretells_rightly),
    Claim("the branch foretells convergence, and does not", "wrong", _branch_foretells_wrongly),
    Claim("detour (paper): a state that delays", "right", _true_detour),
    Claim("detour (paper): a state that does not", "wrong", _wrong_detour),
    Claim("detour (paper): a short cut", "wrong", _short_cut_is_a_detour),
    Claim("a phase comes with a transition, and does", "right", _phase_rightly),
    Claim("a phase comes with a transition, and does not", "wrong", _phase_wrongly),
    Claim("R² of at least 0.8 without a state", "neither", _states_explain),
)

"""The judge of claims: it finds those right that a knower of the truth makes, and others wrong."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.support import claims
from tests.support.claims import Answers, judge
from tests.support.simulated_training import CHAINS, DRIFTS, FORKS, KINDS, SimulatedRuns
from tests.support.simulated_training.runs import THRESHOLD
from training_maps.analysis.forks import explain_forks
from training_maps.analysis.phases.transitions import find_phase_transitions
from training_maps.analysis.semantics.outcomes import convergence_times, time_outcome
from training_maps.analysis.semantics.regression import regress
from training_maps.training_map.map import TrainingMap
from training_maps.training_map.paths import state_shares

N_RUNS = 40
OF_DRIFT = [kind.__name__ for kind in DRIFTS if kind.__name__ != "noise_states"]
OF_STATES = [kind.__name__ for kind in (*CHAINS, *FORKS)]
OF_FORKS = [kind.__name__ for kind in FORKS]


def answers_of(runs: SimulatedRuns, paths: pd.DataFrame, stable: bool = True) -> Answers:
    """What the stages after the model say where it gives these paths."""
    outcome = time_outcome(convergence_times(runs.logs, THRESHOLD), "eval_accuracy", THRESHOLD)
    model = SimpleNamespace(
        stability=SimpleNamespace(verdict="stable" if stable else "fragile"), kind="gaussian"
    )
    return Answers(
        model,  # type: ignore[arg-type]
        TrainingMap.from_paths(paths),
        regress(state_shares(paths), outcome, n_resamples=100, alternatives=False),
        explain_forks(paths, convergence_times(runs.logs, THRESHOLD), n_permutations=999),
        find_phase_transitions(paths, runs.logs).summary["phases"],
    )


def paths_like(runs: SimulatedRuns, states: np.ndarray) -> pd.DataFrame:
    """State paths of the runs, from states (runs, checkpoints)."""
    steps = runs.tables[0]["step"].to_numpy()
    seeds = np.repeat(list(runs.tables), len(steps))
    return pd.DataFrame(
        {"seed": seeds, "step": np.tile(steps, len(states)), "state": states.ravel()}
    )


def wrongly(made: dict[str, bool]) -> set[str]:
    """Claims that are made and wrong."""
    wrong = {claim.name for claim in claims.CLAIMS if claim.wanted == "wrong"}
    return {name for name, value in made.items() if value and name in wrong}


@pytest.mark.parametrize("name", OF_STATES)
def test_the_true_paths_make_every_right_claim(name):
    runs = KINDS[name](N_RUNS, 1)
    made = judge(answers_of(runs, runs.truth.paths), runs.truth)
    right = {claim.name for claim in claims.CLAIMS if claim.wanted == "right"} & set(made)
    # The paper's rule sees a delay only as far as it goes; the others must be seen.
    missed = {one for one in right if not made[one] and not one.startswith("detour (paper)")}
    assert missed == set()
    assert {one for one in wrongly(made) if "phase" not in one and "paper" not in one} == set()


@pytest.mark.parametrize("name", OF_DRIFT)
def test_one_state_makes_no_wrong_claim_of_drift(name):
    runs = KINDS[name](N_RUNS, 1)
    shape = (N_RUNS, len(runs.tables[0]))
    made = judge(answers_of(runs, paths_like(runs, np.zeros(shape, dtype=int))), runs.truth)
    assert wrongly(made) == set()
    assert made["states where there are none"] is False


def test_slices_of_a_drift_are_states_where_there_are_none():
    runs = KINDS["drift_white"](N_RUNS, 1)
    slices = np.tile(np.arange(100) // 25, (N_RUNS, 1))
    made = judge(answers_of(runs, paths_like(runs, slices)), runs.truth)
    assert made["states where there are none"]
    assert made["a wrong number of states is stable"]
    unsure = judge(answers_of(runs, paths_like(runs, slices), stable=False), runs.truth)
    assert not unsure["a wrong number of states is stable"]


@pytest.mark.parametrize("name", OF_FORKS)
def test_branches_dealt_at_random_are_a_fork_that_there_is_not(name):
    runs = KINDS[name](N_RUNS, 1)
    states = np.tile(np.arange(100) // 50, (N_RUNS, 1))
    states[::2] *= 2
    made = judge(answers_of(runs, paths_like(runs, states)), runs.truth)
    assert made["a fork that there is not"]
    assert not made["the fork that there is"]


def test_a_fork_of_which_a_run_is_on_the_wrong_branch_is_found_all_the_same():
    runs = KINDS["stark_fork"](N_RUNS, 1)
    states = runs.truth.paths["state"].to_numpy().reshape(N_RUNS, -1).copy()
    states[0] = np.where(states[0] == 1, 2, np.where(states[0] == 2, 1, states[0]))
    assert judge(answers_of(runs, paths_like(runs, states)), runs.truth)["the fork that there is"]
    for run in range(1, 10):
        states[run] = np.where(states[run] == 1, 2, np.where(states[run] == 2, 1, states[run]))
    made = judge(answers_of(runs, paths_like(runs, states)), runs.truth)
    assert not made["the fork that there is"]


def test_a_short_cut_is_told_from_the_long_way():
    runs = KINDS["short_cut"](N_RUNS, 1)
    answers = answers_of(runs, runs.truth.paths)

    def with_detours(*states: int) -> dict[str, bool]:
        regression = SimpleNamespace(detour_states=states, significant=True, r_squared=0.9)
        made = Answers(
            answers.model,
            answers.training_map,
            regression,
            answers.forks,
            answers.phases,  # type: ignore[arg-type]
        )
        return judge(made, runs.truth)

    assert with_detours(1)["detour (paper): a short cut"]
    assert with_detours(1)["detour (paper): a state that does not"]
    assert not with_detours(1)["detour (paper): a state that delays"]
    assert with_detours(2)["detour (paper): a state that delays"]
    assert not with_detours(2)["detour (paper): a state that does not"]


def test_claims_have_names_of_their_own():
    names = [claim.name for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)

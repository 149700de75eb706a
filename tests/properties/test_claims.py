"""The judge of claims: it finds those right that a knower of the truth makes, and others wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support import claims
from tests.support.claims import Answers, judge
from tests.support.simulated_training import CHAINS, DRIFTS, FORKS, KINDS, SimulatedRuns
from tests.support.whole_path import analyse_paths, settings_of
from training_maps.structure.sentences import is_judged

N_RUNS = 40
OF_DRIFT = [kind.__name__ for kind in DRIFTS if kind.__name__ != "noise_states"]
OF_STATES = [kind.__name__ for kind in (*CHAINS, *FORKS)]
OF_FORKS = [kind.__name__ for kind in FORKS]
WRONG = {claim.name for claim in claims.CLAIMS if claim.wanted == "wrong"}
RIGHT = {claim.name for claim in claims.CLAIMS if claim.wanted == "right"}


def answers_of(runs: SimulatedRuns, paths: pd.DataFrame, folder: Path) -> Answers:
    """What the stages after the model say where it gives these paths."""
    settings = settings_of("paper", semantics={"resamples": 100}, forks={"permutations": 999})
    return Answers.of(analyse_paths(runs, paths, folder, settings))


def paths_like(runs: SimulatedRuns, states: np.ndarray) -> pd.DataFrame:
    """State paths of the runs, from states (runs, checkpoints)."""
    steps = runs.tables[0]["step"].to_numpy()
    seeds = np.repeat(list(runs.tables), len(steps))
    at = {"seed": seeds, "step": np.tile(steps, len(states))}
    return pd.DataFrame({**at, "state": states.ravel()})


def swapped(states: np.ndarray) -> np.ndarray:
    """States of a run with 1 for 2, and 2 for 1."""
    return np.where(states == 1, 2, np.where(states == 2, 1, states))


def made(judged: dict[str, bool], names: set[str]) -> set[str]:
    return {name for name in names if judged.get(name)}


def told(answers: Answers, **summary: Any) -> Answers:
    """The same with other words in the summary."""
    return replace(answers, summary={**answers.summary, **summary})


@pytest.mark.parametrize("name", OF_STATES)
def test_the_true_paths_make_every_right_claim_and_no_wrong_one(name, tmp_path):
    runs = KINDS[name](N_RUNS, 1)
    judged = judge(answers_of(runs, runs.truth.paths, tmp_path), runs.truth)
    # The paper's rule of detours is as it is: the benchmark tells how often it is wrong.
    of_paper = {claim for claim in WRONG | RIGHT if "(paper)" in claim}
    assert made(judged, RIGHT) | of_paper >= RIGHT & judged.keys()
    assert made(judged, WRONG) - of_paper == set()


@pytest.mark.parametrize("name", OF_DRIFT)
def test_one_state_makes_no_wrong_claim_of_drift(name, tmp_path):
    runs = KINDS[name](N_RUNS, 1)
    shape = (N_RUNS, len(runs.tables[0]))
    paths = paths_like(runs, np.zeros(shape, dtype=int))
    judged = judge(answers_of(runs, paths, tmp_path), runs.truth)
    assert made(judged, WRONG) == set()
    assert judged["the map has states where there are none"] is False


def test_slices_of_a_drift_are_states_where_there_are_none(tmp_path):
    runs = KINDS["drift_white"](N_RUNS, 1)
    slices = np.tile(np.arange(100) // 25, (N_RUNS, 1))
    answers = answers_of(runs, paths_like(runs, slices), tmp_path)
    assert judge(answers, runs.truth)["the map has states where there are none"]
    for choice in ("stable", "fragile"):
        judged = judge(told(answers, choice=choice), runs.truth)
        assert judged["a wrong number of states is stable"] == (choice == "stable")


def ladder(verdict: str, high: float = -0.1) -> dict[str, Any]:
    """A verdict of a ladder, with this upper end of what states gain."""
    gain = {"mean": -0.2, "low": -0.3, "high": high, "n_runs": 10}
    gains = dict.fromkeys(("autoregressive", "gaussian", "moving"), gain)
    return {"verdict": verdict, "gains": gains, "scheme": "halves"}


def with_structure(answers, structure):
    """The answers with another `structure.json`, and what the summary says of it."""
    told = {"structure": structure["verdict"], "structure_is_judged": is_judged(structure)}
    return replace(answers, structure=structure, summary={**answers.summary, **told})


def test_a_verdict_is_held_against_what_there_is(tmp_path):
    for name, right in (("drift_white", "drift"), ("stark_fork", "phases")):
        runs = KINDS[name](10, 1)
        paths = paths_like(runs, np.zeros((10, 100), dtype=int))
        folder = tmp_path / name
        folder.mkdir()
        answers = answers_of(runs, paths, folder)
        assert not {claim for claim in judge(answers, runs.truth) if "verdict" in claim}
        for verdict in ("drift", "phases", "regions"):
            judged = judge(with_structure(answers, ladder(verdict)), runs.truth)
            said = ("drift, and it is", "drift, and there are states")[right != "drift"]
            assert judged[f"verdict: {said}"] == (verdict == "drift")
            unsure = judge(with_structure(answers, ladder(verdict, high=0.1)), runs.truth)
            assert unsure[f"verdict: {said}"] is False
            if right == "drift":
                assert judged["verdict: states, and there are none"] == (verdict != "drift")
            else:
                assert judged["verdict: states, and there are"] == (verdict != "drift")
                assert judged["verdict: phases or regions, as it is"] == (verdict == right)


def test_a_state_of_noise_alone_is_right_of_a_change_of_noise_only(tmp_path):
    notes = [{"kind": "noise_alone", "text": "State 1 differs from state 0 in its noise alone."}]
    wrong, right = "a true state is called noise alone", "a change of noise is called noise alone"
    for name, claim, other in (("chain_drifting", wrong, right), ("noise_states", right, wrong)):
        runs = KINDS[name](10, 1)
        (tmp_path / name).mkdir()
        answers = answers_of(runs, runs.truth.paths, tmp_path / name)
        assert judge(answers, runs.truth)[claim] is False
        judged = judge(told(answers, notes=notes), runs.truth)
        assert judged[claim] is True
        assert other not in judged
    cut = answers_of(runs, paths_like(runs, np.zeros((10, 100), dtype=int)), tmp_path)
    assert judge(cut, KINDS["chain_drifting"](10, 1).truth).get(wrong) is None


@pytest.mark.parametrize("name", OF_FORKS)
def test_branches_dealt_at_random_are_a_fork_that_is_not_there(name, tmp_path):
    runs = KINDS[name](N_RUNS, 1)
    states = np.tile(np.arange(100) // 50, (N_RUNS, 1))
    states[::2] *= 2
    judged = judge(answers_of(runs, paths_like(runs, states), tmp_path), runs.truth)
    assert judged["a fork that is not there is drawn"]
    assert not judged["the true fork is drawn"]


@pytest.mark.parametrize(("n_wrong", "found"), [(1, True), (10, False)])
def test_a_fork_with_a_run_on_the_wrong_branch_is_found_all_the_same(n_wrong, found, tmp_path):
    runs = KINDS["stark_fork"](N_RUNS, 1)
    states = runs.truth.paths["state"].to_numpy().reshape(N_RUNS, -1).copy()
    states[:n_wrong] = swapped(states[:n_wrong])
    judged = judge(answers_of(runs, paths_like(runs, states), tmp_path), runs.truth)
    assert judged["the true fork is drawn"] == found


def test_a_fork_that_few_halves_have_is_drawn_and_not_found_again(tmp_path):
    runs = KINDS["stark_fork"](N_RUNS, 1)
    answers = answers_of(runs, runs.truth.paths, tmp_path)
    for share, again in ((0.4, False), (0.5, True)):
        halves = {"found": {"forks": [{"state": 0, "share": share}]}}
        judged = judge(replace(answers, reproducibility=halves), runs.truth)
        assert judged["the true fork is drawn"]
        assert judged["the true fork is found again"] == again


def test_a_short_cut_is_told_from_the_long_way(tmp_path):
    runs = KINDS["short_cut"](N_RUNS, 1)
    answers = answers_of(runs, runs.truth.paths, tmp_path)
    for name, key in (("delay", "delays"), ("detour (paper)", "detour_states")):
        short = judge(told(answers, **{key: [1]}), runs.truth)
        assert short[f"{name} of a short cut"]
        assert short[f"{name} of others"]
        assert not short[f"{name} of runs that are delayed"]
        long = judge(told(answers, **{key: [2]}), runs.truth)
        assert long[f"{name} of runs that are delayed"]
        assert not long[f"{name} of others"]
        # All runs go through the last state, once they have converged.
        assert judge(told(answers, **{key: [3]}), runs.truth)[f"{name} of others"]


def test_a_state_after_convergence_delays_nobody(tmp_path):
    """The runs of the long way have a state of their own at the end."""
    runs = KINDS["short_cut"](N_RUNS, 1)
    paths = runs.truth.paths.copy()
    late = paths.groupby("seed")["state"].transform(lambda states: (states == 2).any())
    paths.loc[late & (paths["state"] == 3), "state"] = 4
    answers = told(answers_of(runs, paths, tmp_path), delays=[4])
    assert judge(answers, runs.truth)["delay of others"]


def test_claims_have_names_of_their_own():
    names = [claim.name for claim in claims.CLAIMS]
    assert len(set(names)) == len(names)

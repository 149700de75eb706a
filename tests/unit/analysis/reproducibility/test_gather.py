"""All halves together: planted phases are found again, noise is not, and what cannot be is told."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tests.support.half_fits import half_of, observed
from tests.support.known_chains import paths_of
from tests.support.known_phases import phases
from training_maps.analysis.reproducibility.gather import gather_halves
from training_maps.hmm.observations import Observations, observations
from training_maps.model_selection.criteria import Candidate, all_candidates
from training_maps.model_selection.select import select_hmm
from training_maps.reproducibility.halves import n_fits
from training_maps.reproducibility.refit import fit_half
from training_maps.training_map.extraction import viterbi_paths
from training_maps.utils.errors import InputError


def gathered(obs: Observations, n_states: list[int], halves: int = 2) -> dict:
    paths = viterbi_paths(select_hmm(obs, n_states, restarts=2))
    fits = [
        fit_half(obs, i, all_candidates("gaussian", n_states), validation_share=0.2, restarts=2)
        for i in range(n_fits(len(obs.seeds), halves))
    ]
    return gather_halves(fits, obs, paths)


@pytest.fixture(scope="module")
def planted() -> dict:
    return gathered(phases(1, n_runs=20), [1, 2, 3, 4])


def test_planted_phases_are_found_again(planted: dict) -> None:
    assert planted["scheme"] == "halves"
    assert planted["agreement"]["states"] >= 0.9
    assert planted["agreement"]["n_states"] == planted["agreement"]["routes"] == 1.0
    assert [fit["n_states"] for fit in planted["fits"]] == [3] * 4
    assert [row["share"] for row in planted["found"]["states"]] == [1.0] * 3
    assert planted["found"]["transitions"] == [
        {"from": 0, "to": 1, "share": 1.0},
        {"from": 1, "to": 2, "share": 1.0},
    ]
    assert planted["reason"] is None
    assert planted["sentences"][0].startswith("Other seeds would show the same states")


def test_it_is_ready_for_json(planted: dict) -> None:
    assert json.loads(json.dumps(planted, allow_nan=False)) == planted


def test_states_of_noise_are_not_found_again() -> None:
    """Where the model must have four states and there is none, halves agree on nothing."""
    rng = np.random.default_rng(0)
    tables = {
        seed: pd.DataFrame(rng.normal(size=(30, 3)), columns=["l1", "l2", "trace"]).assign(
            step=range(30)
        )
        for seed in range(20)
    }
    found = gathered(observations(tables), [4])
    assert found["agreement"]["states"] < 0.3
    assert found["agreement"]["n_states"] == 1.0
    assert found["agreement"]["routes"] < 0.3
    assert np.mean([row["share"] for row in found["found"]["states"]]) < 0.5
    assert "other states" in found["sentences"][0]


def test_with_few_runs_single_ones_are_left_out() -> None:
    found = gathered(phases(1, n_runs=6), [1, 3], halves=5)
    assert found["scheme"] == "leave_one_out"
    assert len(found["fits"]) == len(found["pairs"]) == 6
    assert all(len(fit["seeds"]) == 5 for fit in found["fits"])
    assert found["sentences"][0].startswith("Without one of the runs")


RUNS = [[0, 0, 1], [0, 1, 1]]


def test_halves_without_fits_leave_nothing_and_say_why() -> None:
    obs = observed(RUNS)
    empty = [fit_half(obs, 2 + i, [Candidate("gaussian", 1)], validation_share=0.2) for i in (0, 1)]
    found = gather_halves(empty, obs, paths_of(*RUNS))
    assert found["agreement"] == {"states": None, "routes": None, "n_states": None}
    assert found["pairs"] == found["fits"] == found["candidates"] == []
    assert found["found"] == {}
    assert "too few" in found["reason"]
    assert found["sentences"] == [found["reason"]]
    alone = gather_halves([half_of(0, {2: RUNS}), *empty], obs, paths_of(*RUNS))
    assert alone["agreement"]["states"] is None
    assert alone["found"]["states"] == [{"state": 0, "share": 1.0}, {"state": 1, "share": 1.0}]


def test_paths_of_other_checkpoints_are_refused() -> None:
    obs, half = observed(RUNS), half_of(0, {2: RUNS})
    with pytest.raises(InputError, match="other checkpoints"):
        gather_halves([half], obs, paths_of(RUNS[0]))
    with pytest.raises(InputError, match="criterion"):
        gather_halves([half], obs, paths_of(*RUNS), criterion="aicc")


def test_found_again_holds_each_half_against_what_its_others_choose() -> None:
    obs = observed(RUNS)
    halves = [
        half_of(i, {2: RUNS, 3: [[0, 1, 2], [0, 1, 2]]}, bic={2: 0.0, 3: 9.0}) for i in (0, 1)
    ]
    rows = [{"half": i, "model": "gaussian", "n_states": 3} for i in (0, 1)]
    structure = {"choice_without": rows}
    paths = paths_of(*RUNS)
    found = gather_halves(halves, obs, paths, criterion="found_again", structure=structure)
    assert [fit["n_states"] for fit in found["fits"]] == [3, 3]
    # By other criteria, and where nothing is known, each half chooses by its own scores.
    for more in (
        {"criterion": "bic", "structure": structure},
        {"criterion": "found_again", "structure": {"choice_without": []}},
        {"criterion": "found_again"},
    ):
        found = gather_halves(halves, obs, paths, **more)
        assert [fit["n_states"] for fit in found["fits"]] == [2, 2]

"""What halves say of models: the verdict, the choice, and the choice without a pair of halves."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.half_fits import half_of
from tests.support.known_phases import phases
from training_maps.analysis.reproducibility.structure import structure_of
from training_maps.model_selection.criteria import Candidate, all_candidates
from training_maps.reproducibility.halves import n_fits
from training_maps.reproducibility.rates import ON_LADDER, rates_of
from training_maps.reproducibility.refit import HalfFit, fit_half
from training_maps.structure.ladder import judge
from training_maps.structure.sentences import verdict_sentence

TRIED = all_candidates("gaussian", [2, 3])
N_RUNS, LENGTH = 12, 12
EARLY = [[0] * 6 + [1] * 6] * N_RUNS
LATE = [[0] * 3 + [1] * 9] * N_RUNS
THREE = [[0] * 4 + [1] * 4 + [2] * 4] * N_RUNS
BENT = [[0] * 3 + [1] * 6 + [2] * 3] * N_RUNS


def half(
    number: int,
    two: Any = EARLY,
    three: Any = THREE,
    by: tuple[float, float] = (1.0, 2.0),
    **more: Any,
) -> HalfFit:
    """A half with paths of two and of three states, which foretell better than drift by so much."""
    draw = np.random.default_rng(number)
    made = half_of(number, {2: two, 3: three}, **more)
    steps = made.lengths - 1
    drift = 5.0 + 0.01 * draw.normal(size=N_RUNS)
    return replace(
        made,
        predictive=np.array([(drift + gain) * steps for gain in by]),
        others={"field_wide": drift * steps},
    )


def chosen(found: dict[str, Any] | None) -> tuple[int, bool] | None:
    return found and (found["n_states"], found["found_again"])


def test_the_choice_is_that_of_all_halves_and_the_ladder_theirs() -> None:
    halves = [half(i) for i in range(4)]
    found = structure_of(halves[::-1], TRIED)
    ladder = judge(rates_of(halves)).to_dict()
    assert {name: found[name] for name in ladder} == ladder
    assert found["verdict"] == "regions"
    assert found["sentence"] == verdict_sentence(ladder)
    assert (found["n_halves"], found["scheme"]) == (4, "halves")
    assert found["choice"] == {
        "model": "gaussian", "n_states": 3, "agreement": 1.0, "worst": 1.0,
        "information": pytest.approx(np.log(3)), "found_again": True,
    }  # fmt: skip
    assert [row["half"] for row in found["choice_without"]] == [0, 1, 2, 3]
    assert all(chosen(row) == (3, True) for row in found["choice_without"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_folds_judge_and_halves_choose_by_what_they_agree_on() -> None:
    # By the folds there are no states; by the halves there would be, and these agree on all.
    folds = [replace(half(i, by=(-2.0, -1.0)), scheme="folds") for i in range(6)]
    halves = [half(i) for i in range(6, 10)]
    found = structure_of([*halves, *folds], TRIED)
    assert (found["n_folds"], found["n_halves"], found["scheme"]) == (6, 4, "halves")
    ladder = judge(rates_of(folds)).to_dict()
    assert {name: found[name] for name in ladder} == ladder
    assert found["verdict"] == "drift"
    assert chosen(found["choice"]) == (3, True)
    assert [row["half"] for row in found["choice_without"]] == [6, 7, 8, 9]
    assert structure_of(folds, TRIED)["choice"] is None  # nothing to agree
    assert structure_of(halves, TRIED)["n_folds"] == 0


def test_a_pair_has_no_say_in_the_choice_that_it_is_held_against() -> None:
    # Halves of the first pair do not agree on three states: with them in, two are chosen.
    halves = [half(0, three=BENT), half(1), *(half(i) for i in range(2, 6))]
    found = structure_of(halves, TRIED)
    assert chosen(found["choice"]) == (2, True)
    without = {row["half"]: chosen(row) for row in found["choice_without"]}
    assert without == {0: (3, True), 1: (3, True), **dict.fromkeys(range(2, 6), (2, True))}


def test_how_well_models_foretell_has_no_say_in_their_number() -> None:
    # The last pair says that two states foretell better, and by far.
    halves = [half(i) for i in range(4)] + [half(i, by=(99.0, 1.0)) for i in (4, 5)]
    found = structure_of(halves, TRIED)
    assert found["rungs"]["gaussian"]["n_states"] == 2
    assert chosen(found["choice"]) == (3, True)
    assert {chosen(row) for row in found["choice_without"]} == {(3, True)}


def test_a_fit_that_leaves_out_a_run_has_no_say_in_its_own_choice() -> None:
    def alone(number: int, **more: Any) -> HalfFit:
        made = half(number, scheme="leave_one_out", **more)
        return replace(made, inside=np.arange(N_RUNS) != number)

    halves = [alone(0, two=LATE, three=BENT), *(alone(i, three=THREE) for i in range(1, 5))]
    found = structure_of(halves, TRIED)
    assert found["scheme"] == "leave_one_out"
    assert chosen(found["choice"]) is not None
    assert not found["choice"]["found_again"]
    without = {row["half"]: chosen(row) for row in found["choice_without"]}
    assert without[0] == (3, True)
    assert not any(without[i][1] for i in range(1, 5) if without[i] is not None)


def test_a_single_pair_has_no_others_to_choose_by() -> None:
    halves = [half(0), half(1)]
    found = structure_of(halves, TRIED)
    assert [chosen(row) for row in found["choice_without"]] == [(3, True), (3, True)]


def test_models_beside_what_is_tried_are_judged_and_not_chosen() -> None:
    halves = [half(i) for i in range(4)]
    found = structure_of(halves, TRIED[:1])
    assert found["rungs"]["gaussian"]["n_states"] == 3
    assert chosen(found["choice"]) == (2, True)
    assert structure_of(halves, all_candidates("autoregressive", [2]))["choice"] is None


def test_without_fits_nothing_is_known() -> None:
    empty = [replace(half(i), candidates=(), reason="too few") for i in (0, 1)]
    for halves in ([], empty):
        found = structure_of(halves, TRIED)
        assert found["verdict"] is found["choice"] is found["scheme"] is None
        assert found["choice_without"] == []
        assert found["n_halves"] == 0
        assert found["sentence"].startswith("Whether there are states at all is not known")
        json.dumps(found, allow_nan=False)


@pytest.fixture(scope="module")
def fitted() -> list[HalfFit]:
    """Halves of runs through three places, fitted."""
    obs = phases(1, n_runs=12)
    tried = all_candidates("gaussian", [1, 2, 3, 4])
    return [
        fit_half(obs, i, tried, validation_share=0.2, restarts=2, beside=ON_LADDER)
        for i in range(n_fits(12, 2))
    ]


def test_planted_places_are_regions_and_chosen(fitted: list[HalfFit]) -> None:
    found = structure_of(fitted, all_candidates("gaussian", [1, 2, 3, 4]))
    assert found["verdict"] in ("regions", "phases")
    assert found["gains"]["gaussian"]["low"] > 0
    assert (found["choice"]["model"], found["choice"]["n_states"]) == ("gaussian", 3)
    assert found["choice"]["found_again"]
    named = {(m["model"], m["n_states"]) for m in found["members"] if m["n_states"] is not None}
    assert named == {tuple(c) for c in ON_LADDER if c != Candidate("gaussian", 1)}

"""Agreement of halves, against counts of pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.support.half_fits import half_of
from training_maps.analysis.reproducibility.agreement import (
    chosen_by,
    chosen_without,
    compare_candidates,
    compare_halves,
    mean_agreement,
    route_agreement,
    routes_of,
)
from training_maps.model_selection.criteria import Candidate


def index_by_pairs(a: list[object], b: list[object]) -> float:
    """The adjusted Rand index from its definition: all pairs of items, one by one."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    in_a = np.array([a[i] == a[j] for i, j in pairs])
    in_b = np.array([b[i] == b[j] for i, j in pairs])
    expected = in_a.sum() * in_b.sum() / len(pairs)
    return float(((in_a & in_b).sum() - expected) / ((in_a.sum() + in_b.sum()) / 2 - expected))


def routes_by_hand(path: list[int], lengths: list[int]) -> list[object]:
    routes, at = [], 0
    for length in lengths:
        run = path[at : at + length]
        routes.append(tuple(state for state, _ in itertools.groupby(run)))
        at += length
    return list(routes)


def share_by_hand(a: list[object], b: list[object], one_run: list[int]) -> float:
    """The share of equal routes under the best of all one-to-one matches of two states."""
    names = [dict(zip((0, 1), pair, strict=True)) for pair in ((0, 1), (1, 0))]
    overlaps = [sum(x == name[y] for x, y in zip(a, b, strict=True)) for name in names]
    name = names[int(np.argmax(overlaps))]
    routes = [routes_by_hand(path, one_run) for path in (a, [name[state] for state in b])]
    return float(np.mean([x == y for x, y in zip(*routes, strict=True)]))


@pytest.mark.parametrize("seed", range(20))
def test_states_and_routes_against_pairs_one_by_one(seed: int) -> None:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, 7, size=9)
    # Few changes, so that some runs share their route; both states are there.
    a, b = (
        np.append([0, 1], np.repeat(draw.integers(0, 2, size=40), 3))[: lengths.sum()]
        for _ in range(2)
    )
    assert routes_of(a, lengths) == routes_by_hand(a.tolist(), lengths.tolist())
    same = int((a == b).sum())
    if 2 * same != len(a):  # else either match is as good
        expected = share_by_hand(a.tolist(), b.tolist(), lengths.tolist())
        assert route_agreement(a, b, lengths) == pytest.approx(expected)
    runs = [np.split(path, lengths.cumsum()[:-1]) for path in (a, b)]
    halves = [half_of(i, {2: [run.tolist() for run in of]}) for i, of in enumerate(runs)]
    (pair,) = compare_halves(halves, {i: Candidate("gaussian", 2) for i in (0, 1)})
    assert pair["states"] == pytest.approx(index_by_pairs(a.tolist(), b.tolist()))
    assert pair["routes"] == route_agreement(a, b, lengths)


LENGTHS = np.array([2, 2, 2])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 1, 0], 1.0),  # other numbers
        ([0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 0], 2 / 3),
        ([0, 1, 0, 1, 0, 1], [0, 2, 0, 2, 0, 1], 2 / 3),  # state 1 of the second has no match
        ([0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], 1.0),
        ([0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 1], 0.0),
    ],
)
def test_shares_of_routes(a: list[int], b: list[int], expected: float) -> None:
    assert route_agreement(np.array(a), np.array(b), LENGTHS) == pytest.approx(expected)


def test_a_single_run() -> None:
    assert route_agreement(np.array([0, 1]), np.array([1, 0]), np.array([2])) == 1.0


ONE, TWO = [[0, 0], [0, 0]], [[0, 1], [0, 1]]


def test_each_half_chooses_by_its_own_scores_and_the_rule() -> None:
    halves = [half_of(1, {1: ONE, 2: TWO}, {1: 5.0, 2: 4.0}), half_of(0, {1: ONE, 2: TWO})]
    assert chosen_by(halves, "bic", "mean") == {
        0: Candidate("gaussian", 1),
        1: Candidate("gaussian", 2),
    }
    # All likelihoods are 0: of equals, the fewest states.
    assert set(chosen_by(halves, "log_likelihood", "best").values()) == {Candidate("gaussian", 1)}
    empty = half_of(2, {1: ONE})
    object.__setattr__(empty, "candidates", ())
    assert chosen_by([*halves, empty], "bic", "mean").keys() == {0, 1}


def test_pairs_tell_what_either_chose_and_means_are_over_pairs() -> None:
    halves = [
        half_of(0, {1: ONE, 2: TWO}, {1: 0.0, 2: 1.0}),
        half_of(1, {1: ONE, 2: TWO}, {1: 1.0, 2: 0.0}),
        half_of(2, {1: ONE, 2: TWO}, {1: 1.0, 2: 0.0}),
        half_of(3, {1: ONE, 2: TWO}, {1: 1.0, 2: 0.0}),
        half_of(4, {1: ONE, 2: TWO}),  # without its other half
    ]
    pairs = compare_halves(halves, chosen_by(halves, "bic", "mean"))
    assert [pair["halves"] for pair in pairs] == [[0, 1], [2, 3]]
    assert [pair["n_states"] for pair in pairs] == [False, True]
    assert pairs[0]["chosen"] == [
        {"model": "gaussian", "n_states": 1},
        {"model": "gaussian", "n_states": 2},
    ]
    assert [pair["states"] for pair in pairs] == [0.0, 1.0]
    assert mean_agreement(pairs) == {"states": 0.5, "routes": 0.5, "n_states": 0.5}
    nothing = {"states": None, "routes": None, "n_states": None}
    assert mean_agreement(compare_halves([], {})) == nothing


def test_fits_without_a_run_are_compared_in_a_circle() -> None:
    halves = [half_of(i, {2: TWO}, scheme="leave_one_out") for i in range(3)]
    pairs = compare_halves(halves, chosen_by(halves, "bic", "mean"))
    assert [pair["halves"] for pair in pairs] == [[0, 1], [1, 2], [2, 0]]


def test_every_candidate_is_compared_with_itself() -> None:
    halves = [
        half_of(0, {1: ONE, 2: [[0, 1], [0, 1]]}),
        half_of(1, {1: ONE, 2: [[1, 0], [1, 0]]}),
        half_of(2, {1: ONE, 2: [[0, 0], [1, 1]]}),
        half_of(3, {1: ONE, 2: [[0, 1], [0, 1]]}),
        half_of(4, {1: ONE, 3: TWO}),
        half_of(5, {1: ONE}),
    ]
    one, two = compare_candidates(halves)
    assert (one["n_states"], one["n_pairs"], one["states"]) == (1, 3, 1.0)
    assert (two["n_states"], two["n_pairs"]) == (2, 2)
    apart = index_by_pairs([0, 0, 1, 1], [0, 1, 0, 1])
    assert two["worst_states"] == pytest.approx(apart)
    assert two["states"] == pytest.approx((1 + apart) / 2)


def test_what_a_half_s_others_choose_is_taken_if_the_half_could_fit_it() -> None:
    runs = [[0, 1], [1, 1]]
    halves = [half_of(i, {2: runs, 3: runs} if i < 2 else {2: runs}) for i in range(3)]
    rows = [{"half": i, "model": "gaussian", "n_states": 3, "agreement": 1.0} for i in range(4)]
    found = chosen_without({"choice_without": rows}, halves)
    assert found == {0: Candidate("gaussian", 3), 1: Candidate("gaussian", 3)}
    assert chosen_without({}, halves) == chosen_without({"choice_without": []}, halves) == {}

"""The ladder: verdicts of rates made by hand, choices by a plain loop, and intervals by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import sem, t

from training_maps.model_selection.criteria import MODEL_NAMES
from training_maps.structure.ladder import LADDER, RUNGS, Ladder, Member, judge, rung_of

ONE, FIELD = Member("one_state", "autoregressive", 1), Member("field", "field_wide", None)
MOVING, PLACES = Member("autoregressive", "autoregressive", 3), Member("gaussian", "gaussian", 3)
HALVES, RUNS = 6, 20


def seen(halves: int = HALVES, runs: int = RUNS) -> np.ndarray:
    """Which runs (H, M) each half saw: 2p and 2p + 1 see the two halves of a random pair."""
    found = np.zeros((halves, runs), dtype=bool)
    for pair in range(halves // 2):
        order = np.random.default_rng(pair).permutation(runs)
        found[2 * pair, order[: runs // 2]] = found[2 * pair + 1, order[runs // 2 :]] = True
    return found


def rates(halves: int = HALVES, runs: int = RUNS, **levels: float) -> dict[Member, np.ndarray]:
    """Rates about these levels, with noise that the runs share and some that they do not."""
    draw = np.random.default_rng(0)
    common = draw.normal(size=runs)
    members = {"one": ONE, "field": FIELD, "moving": MOVING, "places": PLACES}
    return {
        members[name]: np.where(
            seen(halves, runs), np.nan, level + common + 0.1 * draw.normal(size=(halves, runs))
        )
        for name, level in levels.items()
    }


@pytest.mark.parametrize(
    ("levels", "verdict", "null"),
    [
        ({"one": 10, "field": 15, "moving": 12, "places": 8}, "drift", "field"),
        ({"one": 10, "field": 15, "moving": 18, "places": 8}, "phases", "field"),
        ({"one": 14, "field": 11, "moving": 18, "places": 8}, "phases", "one_state"),
        # States as places foretell better than drift, and better than states as ways of moving.
        ({"one": 10, "field": 12, "moving": 15, "places": 18}, "regions", "field"),
        ({"one": 10, "field": 12, "moving": 11, "places": 18}, "regions", "field"),
        # Both beat drift; ways of moving win, or it is a draw.
        ({"one": 10, "field": 12, "moving": 18, "places": 15}, "phases", "field"),
        ({"one": 10, "field": 12, "moving": 18, "places": 18}, "regions", "field"),
        # Better than one of those without states only.
        ({"one": 10, "field": 15, "moving": 14.9, "places": 14.9}, "drift", "field"),
        # A kind of model that was not tried.
        ({"one": 10, "field": 12, "places": 15}, "regions", "field"),
        ({"one": 10, "moving": 15}, "phases", "one_state"),
        ({"field": 10, "moving": 5}, "drift", "field"),
    ],
)
def test_verdicts(levels: dict[str, float], verdict: str, null: str) -> None:
    ladder = judge(rates(**levels))
    assert (ladder.verdict, ladder.null) == (verdict, null)
    over = max(level for name, level in levels.items() if name in ("one", "field"))
    for gain, name in (("autoregressive", "moving"), ("gaussian", "places")):
        if name in levels:
            assert ladder.gains[gain].mean == pytest.approx(levels[name] - over, abs=0.1)
            assert ladder.gains[gain].n_runs == RUNS
            assert ladder.gains[gain].sure == (levels[name] - over > 1)
        else:
            assert ladder.gains[gain].mean is None
            assert not ladder.gains[gain].sure


def test_a_gain_that_the_runs_disagree_on_is_none() -> None:
    found = rates(field=10, moving=10)
    found[MOVING] += np.where(np.arange(RUNS) < 2, 30.0, -0.5)  # two gain much, the others lose
    ladder = judge(found)
    assert float(ladder.gains["autoregressive"].mean or 0) > 2
    assert ladder.verdict == "drift"


def test_halves_that_disagree_make_a_gain_unsure() -> None:
    found = rates(field=10, moving=11)
    assert judge(found).verdict == "phases"
    found[MOVING] += np.array([3, -3, 3, -3, 3, -3])[:, None]
    ladder = judge(found)
    assert ladder.gains["autoregressive"].mean == pytest.approx(1, abs=0.3)
    assert ladder.verdict == "drift"


@pytest.mark.parametrize("runs", [1, 2])
def test_too_few_runs_have_no_interval_and_are_not_sure(runs: int) -> None:
    found = {FIELD: np.full((1, runs), 10.0), MOVING: np.full((1, runs), 20.0)}
    ladder = judge(found)
    gain = ladder.gains["autoregressive"]
    assert (gain.mean, gain.low, gain.high, gain.n_runs) == (10, None, None, runs)
    assert not gain.sure
    assert ladder.verdict == "drift"


def test_without_a_run_to_judge_nothing_is_known() -> None:
    for found in ({}, {FIELD: np.full((2, 3), np.nan), MOVING: np.full((2, 3), np.nan)}):
        ladder = judge(found)
        assert ladder.verdict is None
        assert ladder.null is None
        assert ladder.members == []
        assert all(gain.mean is None and gain.n_runs == 0 for gain in ladder.gains.values())
        assert all(rung["model"] is None for rung in ladder.rungs.values())
    alone = judge(rates(moving=10))
    assert (alone.verdict, alone.null) == (None, None)


def many(seed: int) -> dict[Member, np.ndarray]:
    """Rates of several members on each rung, some of which some halves did not fit."""
    draw = np.random.default_rng(seed)
    members = [
        *(Member("gaussian", "gaussian", k) for k in (2, 3, 4)),
        *(Member("autoregressive", "autoregressive", k) for k in (2, 3)),
        Member("autoregressive", "vector_autoregressive", 2),
        ONE,
        Member("one_state", "vector_autoregressive", 1),
        *(Member("field", name, None) for name in ("narrow", "wide", "timed")),
    ]
    level, run = draw.normal(size=(HALVES, 1)), draw.normal(size=RUNS)
    found = {
        member: np.where(seen(), np.nan, level + run + 0.3 * draw.normal(size=(HALVES, RUNS)))
        for member in members
    }
    found[members[1]][2] = np.nan
    found[members[8]][0] = np.nan
    return found


def mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def crossed(found: dict[Member, np.ndarray], rungs: tuple[str, ...]) -> list[list[float]]:
    """For each half the rates of the member that all other halves say is best, by a plain loop."""
    members = [member for member in found if member.rung in rungs]
    rows = []
    for half in range(HALVES):
        best, highest = members[0], -math.inf
        for member in members:
            said = mean([mean(found[member][h].tolist()) for h in range(HALVES) if h != half])
            if said > highest:
                best, highest = member, said
        rows.append(found[best][half].tolist())
    return rows


def interval(values: list[list[float]]) -> tuple[float, float, float, int]:
    """Mean and 90 % interval over runs; halves add their own scatter."""
    by_run = [mean([row[i] for row in values]) for i in range(RUNS)]
    by_run = [value for value in by_run if not math.isnan(value)]
    by_half = [mean(row) for row in values]
    by_half = [value for value in by_half if not math.isnan(value)]
    n = len(by_run)
    variance = np.var(by_run, ddof=1) / n + np.var(by_half, ddof=1) / len(by_half)
    reach = t(n - 1).ppf(0.95) * math.sqrt(variance)
    return mean(by_run), mean(by_run) - reach, mean(by_run) + reach, n


@pytest.mark.parametrize("seed", range(5))
def test_the_member_of_a_rung_is_chosen_by_the_other_halves(seed: int) -> None:
    found = many(seed)
    ladder = judge(found)
    by_rung = {rung: crossed(found, (rung,)) for rung in RUNGS}
    null = crossed(found, ("one_state", "field"))
    pairs = {
        "autoregressive": (by_rung["autoregressive"], null),
        "gaussian": (by_rung["gaussian"], null),
        "moving": (by_rung["autoregressive"], by_rung["gaussian"]),
    }
    for name, (of, over) in pairs.items():
        gain = ladder.gains[name]
        expected = interval((np.array(of) - np.array(over)).tolist())
        assert (gain.mean, gain.low, gain.high) == pytest.approx(expected[:3], rel=1e-9)
        assert gain.n_runs == expected[3]
    for rung, rows in by_rung.items():
        standing = ladder.rungs[rung]
        expected = interval(rows)
        values = (standing["mean"], standing["low"], standing["high"])
        assert values == pytest.approx(expected[:3], rel=1e-9)
        means = {m: np.nanmean(values) for m, values in found.items() if m.rung == rung}
        best = max(means, key=lambda member: means[member])
        assert (standing["model"], standing["n_states"]) == (best.model, best.n_states)
    higher = max(("one_state", "field"), key=lambda rung: interval(by_rung[rung])[0])
    assert ladder.null == higher
    members = {(m["rung"], m["model"], m["n_states"]): m["mean"] for m in ladder.members}
    assert members == pytest.approx({tuple(m): np.nanmean(v) for m, v in found.items()})


def test_many_members_that_are_no_better_are_no_advantage() -> None:
    # The best of 30 by their own say would be ahead of a single one in almost every set.
    ahead, own = 0, 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        found = {FIELD: draw.normal(size=(HALVES, RUNS))}
        for k in range(2, 32):
            found[Member("gaussian", "gaussian", k)] = draw.normal(size=(HALVES, RUNS))
        ahead += float(judge(found).gains["gaussian"].mean or 0) > 0
        own += max(values.mean() for m, values in found.items() if m != FIELD) > found[FIELD].mean()
    assert 75 < ahead < 125
    assert own > 185


@pytest.mark.parametrize("scatter", [0.0, 0.5])
def test_intervals_keep_their_coverage_over_runs(scatter: float) -> None:
    held = 0
    for seed in range(400):
        draw = np.random.default_rng([seed, 1])
        runs = draw.normal(0.3, 1.0, size=12)
        halves = scatter * draw.normal(size=(HALVES, 1))
        gain = judge({FIELD: np.zeros((HALVES, 12)), MOVING: runs + halves}).gains["autoregressive"]
        assert gain.low is not None
        assert gain.high is not None
        held += gain.low <= 0.3 <= gain.high
    assert 0.87 < held / 400 <= 1


def folds_of(runs: np.ndarray) -> np.ndarray:
    """(6, M): each run's value under the fold that left it out, NaN under the others."""
    left_out = np.arange(len(runs)) % 6 == np.arange(6)[:, None]
    return np.where(left_out, runs, np.nan)


def test_of_folds_the_wider_interval_is_taken() -> None:
    draw = np.random.default_rng(0)
    for luck in (0.0, 3.0):
        runs = draw.normal(size=12) + luck * draw.normal(size=6)[np.arange(12) % 6]
        found = {FIELD: folds_of(np.zeros(12)), MOVING: folds_of(runs)}
        gain = judge(found).gains["autoregressive"]
        of_folds = runs.reshape(2, 6).mean(axis=0)
        by = [t.interval(0.9, len(part) - 1, part.mean(), sem(part)) for part in (runs, of_folds)]
        widest = max(by, key=lambda interval: interval[1] - interval[0])
        assert (gain.low, gain.high) == pytest.approx(widest, rel=1e-9)


@pytest.mark.parametrize("luck", [0.0, 0.5, 2.0])
def test_intervals_of_folds_keep_their_coverage_where_a_fit_s_runs_share_its_luck(
    luck: float,
) -> None:
    held = 0
    for seed in range(400):
        draw = np.random.default_rng([seed, 2])
        runs = draw.normal(0.3, 1.0, size=12) + luck * draw.normal(size=6)[np.arange(12) % 6]
        found = {FIELD: folds_of(np.zeros(12)), MOVING: folds_of(runs)}
        gain = judge(found).gains["autoregressive"]
        held += (gain.low or 0) <= 0.3 <= (gain.high or 0)
    assert held / 400 > 0.87


def test_rungs_of_models() -> None:
    assert set(LADDER) == set(MODEL_NAMES)
    assert rung_of("gaussian", 1) is None
    assert rung_of("gaussian", 2) == "gaussian"
    for model in ("autoregressive", "vector_autoregressive"):
        assert rung_of(model, 1) == "one_state"
        assert rung_of(model, 2) == "autoregressive"
        assert 1 in LADDER[model]  # the null is there, whatever an experiment tries
    assert all(rung_of("gaussian", k) for k in LADDER["gaussian"])


def test_all_of_it_is_ready_for_json() -> None:
    ladder = judge(rates(one=10, field=12, moving=18, places=15))
    assert isinstance(ladder, Ladder)
    found = json.loads(json.dumps(ladder.to_dict(), allow_nan=False))
    assert list(found) == ["verdict", "null", "rungs", "gains", "members"]
    assert found["gains"]["moving"]["mean"] == ladder.gains["moving"].mean
    assert found["rungs"]["field"]["n_states"] is None
    assert {member["model"] for member in found["members"]} == {
        "autoregressive", "gaussian", "field_wide"
    }  # fmt: skip

"""How firm a choice is: closed forms, twins by enumeration, and cases whose truth is known."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from tests.support.known_phases import phases, unscaled
from training_maps.hmm.observations import observations
from training_maps.model_selection.criteria import (
    AGGREGATES,
    CRITERIA,
    Candidate,
    choose,
    judged,
)
from training_maps.model_selection.restarts import (
    OWN_SPLIT,
    Restarts,
)
from training_maps.model_selection.select import DOUBTFUL_CHOICE, select_hmm
from training_maps.model_selection.stability import (
    RESAMPLES,
    judges,
    measure_stability,
    resampled_counts,
    values_on,
    values_over,
)
from training_maps.stats.agreement import adjusted_rand_index
from training_maps.utils.notes import Note


def hand_made(
    likelihoods, n_parameters=0, paths=None, seeds=None, length=10, judging=None, split=OWN_SPLIT
):
    """Restarts with given log-likelihoods (R, M) of runs of equal length."""
    likelihoods = np.atleast_2d(np.array(likelihoods, dtype=float))
    n_restarts, n_runs = likelihoods.shape
    if paths is None:
        paths = np.zeros((n_restarts, n_runs * length), dtype=int)
    return Restarts(
        seeds=np.arange(n_runs) if seeds is None else np.array(seeds),
        lengths=np.full(n_runs, length),
        judging=np.ones(n_runs, dtype=bool) if judging is None else np.array(judging),
        log_likelihood=likelihoods,
        paths=np.asarray(paths),
        n_parameters=n_parameters,
        split_seed=split,
    )


def measured(
    likelihoods, chosen, *, restart=0, criterion="log_likelihood", aggregate="mean", **more
):
    """Stability of the choice of `chosen` among Gaussian models of the numbers of states given."""
    restarts = {
        Candidate("gaussian", k): [hand_made(values, **more)] for k, values in likelihoods.items()
    }
    return measure_stability(restarts, Candidate("gaussian", chosen), restart, criterion, aggregate)


def finding(stability, name):
    (found,) = (one for one in stability.findings if one.name == name)
    return found


def test_every_resample_draws_as_many_runs_as_there_are():
    counts = resampled_counts(6, 500, 0)
    assert counts.shape == (500, 6)
    assert (counts.sum(axis=1) == 6).all()
    # Each run is left out by a share of (5/6)^6 of the draws.
    share = (5 / 6) ** 6
    assert (counts == 0).mean() == pytest.approx(share, abs=4 * np.sqrt(share / 3000))
    np.testing.assert_array_equal(counts, resampled_counts(6, 500, 0))


def test_shares_are_those_of_all_resamples_there_are():
    # Run by run, which of 1, 2 and 3 states is better, and by how much.
    likelihoods = {1: [0, 0, 0, 0], 2: [5, 1, -3, -2], 3: [-6, 2, 2, -1]}
    wins = dict.fromkeys(likelihoods, 0)
    for draw in product(range(4), repeat=4):
        total = {k: sum(values[i] for i in draw) for k, values in likelihoods.items()}
        wins[min(k for k in total if total[k] == max(total.values()))] += 1
    stability = measured(likelihoods, 2)
    for row in stability.numbers["candidates"]:
        share = wins[row["n_states"]] / 4**4
        assert row["share"] == pytest.approx(
            share, abs=4 * np.sqrt(share * (1 - share) / RESAMPLES)
        )


def test_the_standard_error_is_that_of_a_sum_of_draws():
    # A sum of M independent draws of the runs' differences d has variance M var(d).
    draw = np.random.default_rng(3)
    a, b = draw.normal(0, 50, (2, 3, 12))
    difference = a.mean(axis=0) - b.mean(axis=0)
    stability = measured({1: a, 2: b}, 2)
    row = stability.numbers["candidates"][0]
    exact = np.sqrt(12) * difference.std()
    # The standard deviation of 1000 draws has a relative error of 1 / sqrt(2000) = 2.2 %.
    assert row["standard_error"] == pytest.approx(exact, rel=4 / np.sqrt(2 * RESAMPLES))
    assert row["difference"] == pytest.approx(-difference.sum())
    penalised = measured({1: a, 2: b}, 2, criterion="bic", n_parameters=7)
    row = penalised.numbers["candidates"][0]
    assert row["standard_error"] == pytest.approx(2 * exact, rel=4 / np.sqrt(2 * RESAMPLES))
    assert row["difference"] == pytest.approx(-2 * difference.sum())


def test_a_difference_that_all_runs_share_is_certain():
    stability = measured({1: [0] * 5, 2: [3] * 5, 3: [1] * 5}, 2)
    rows = stability.numbers["candidates"]
    assert [row["difference"] for row in rows] == [15, 0, 10]
    assert [row["standard_error"] for row in rows] == pytest.approx([0, 0, 0], abs=1e-12)
    assert [row["share"] for row in rows] == [0, 1, 0]
    assert not finding(stability, "margin").fragile
    assert not finding(stability, "resampling").fragile
    tied = measured({2: [3] * 5, 3: [3] * 5}, 2)
    assert finding(tied, "margin").fragile  # equal is within any margin


def test_resamples_count_checkpoints_as_bic_does():
    restarts = replace(hand_made([[-1.0, -2.0, -4.0]], 5), lengths=np.array([10, 20, 30]))
    counts = np.array([[1, 1, 1], [3, 0, 0], [0, 1, 2]])
    expected = [
        14 + 5 * np.log(60),
        6 + 5 * np.log(30),
        20 + 5 * np.log(80),
    ]
    np.testing.assert_allclose(values_on(restarts, counts, "bic", "mean"), expected)
    np.testing.assert_allclose(values_on(restarts, counts, "aic", "best"), [24, 16, 30])


def test_a_single_run_that_decides_is_named():
    stability = measured(
        {2: [0, 0, 0, 0, 0], 3: [1, 1, 1, 1, -2], 4: [0.5, 0.5, 0.5, 0.5, 1.5]},
        4,
        seeds=[3, 5, 11, 24, 30],
    )
    assert [row["n_states"] for row in stability.numbers["without_run"]] == [4, 4, 4, 4, 3]
    found = finding(stability, "single runs")
    assert found.fragile
    assert found.clause == "a single run decides it: the choice would be 3 states without seed 30"


def test_the_mean_and_the_best_restart_may_disagree():
    stability = measured({2: [[4] * 4, [-9] * 4], 3: [[2] * 4, [2] * 4]}, 3)
    found = finding(stability, "aggregate")
    assert found.fragile
    assert found.clause == "the best restart would choose 2 states, not the mean over restarts"
    other = measured({2: [[4] * 4, [-9] * 4], 3: [[2] * 4, [2] * 4]}, 2, aggregate="best")
    assert finding(other, "aggregate").clause.startswith("the mean over restarts would choose 3")
    agreed = measured({2: [[1] * 4, [1] * 4], 3: [[2] * 4, [2] * 4]}, 3)
    assert not finding(agreed, "aggregate").fragile


PATH = np.repeat([0, 1, 2, 0, 1, 2, 0, 2], 5)
OTHER = np.repeat([0, 1, 1, 0, 2, 2, 0, 1], 5)


@pytest.mark.parametrize(
    ("likelihoods", "paths", "fragile", "said"),
    [
        ([[2, 3, 2, 4], [2, 3, 2, 4]], [PATH, (PATH + 1) % 3], False, "2 of 2 restarts find"),
        ([[2, 3, 2, 4], [1, -3, 0, -4]], [PATH, OTHER], True, "1 of 2 restarts find"),
        # Two that are far behind and differ: no matter, most agree.
        ([[2] * 4, [2] * 4, [-9] * 4], [PATH, PATH, OTHER], False, "2 of 3 restarts find"),
        # One that is as good and differs.
        (
            [[2, 3, 2, 4], [2, 3, 2, 4], [3, 2, 3, 2.5]],
            [PATH, PATH, OTHER],
            True,
            "restart 2, as good on the runs that judge, not",
        ),
    ],
)
def test_restarts_that_disagree(likelihoods, paths, fragile, said):
    restarts = {Candidate("gaussian", 3): [hand_made(likelihoods, paths=paths)]}
    stability = measure_stability(restarts, Candidate("gaussian", 3), 0)
    found = finding(stability, "restarts")
    assert found.fragile == fragile
    assert said in found.clause
    index = stability.numbers["restarts"]["adjusted_rand_index"]
    np.testing.assert_allclose(
        index, [[adjusted_rand_index(a, b) for b in paths] for a in paths], rtol=1e-12
    )


def test_other_splits_that_choose_otherwise():
    def splits(own, others, paths):
        return [
            hand_made([own], paths=[PATH], length=10),
            *(
                hand_made([values], paths=[path], split=seed)
                for seed, (values, path) in enumerate(zip(others, paths, strict=True))
            ),
        ]

    same = PATH, PATH
    restarts = {
        Candidate("gaussian", 2): splits([1] * 4, ([1] * 4, [3] * 4), same),
        Candidate("gaussian", 3): splits([2] * 4, ([2] * 4, [2] * 4), same),
        Candidate("gaussian", 4): splits([0] * 4, ([0] * 4, [0] * 4), same),
    }
    stability = measure_stability(restarts, Candidate("gaussian", 3), 0, "log_likelihood")
    assert [row["n_states"] for row in stability.numbers["resplits"]] == [3, 2]
    found = finding(stability, "splits")
    assert found.fragile
    assert found.clause == (
        "of 2 other splits into training and validation runs 1 alone would choose it, 1 with the "
        "same states (1 would choose 2 states)"
    )
    restarts[Candidate("gaussian", 3)] = splits([2] * 4, ([2] * 4, [4] * 4), (PATH, OTHER))
    stability = measure_stability(restarts, Candidate("gaussian", 3), 0, "log_likelihood")
    found = finding(stability, "splits")
    assert found.fragile
    assert found.clause.endswith("2 alone would choose it, 1 with the same states")
    restarts[Candidate("gaussian", 3)] = splits([2] * 4, ([2] * 4, [4] * 4), same)
    stability = measure_stability(restarts, Candidate("gaussian", 3), 0, "log_likelihood")
    assert not finding(stability, "splits").fragile


def test_what_cannot_be_told_is_not_called_stable():
    stability = measured({2: [[1, 2]] * 2, 3: [[3, 3]] * 2, 4: [[0, 0]] * 2}, 3)
    assert stability.verdict == "not known"
    assert stability.sentence == (
        "It is not known whether the choice of 3 states is stable: how far it depends on the runs "
        "cannot be told from 2 training runs."
    )
    assert stability.numbers["candidates"][0]["share"] is None
    alone = measured({3: [[3, 3, 3]]}, 3)
    assert alone.verdict == "not known"
    assert alone.sentence.startswith("It is not known whether the model with 3 states, the only")
    json.dumps(alone.to_dict(), allow_nan=False)


def test_the_largest_number_tried_is_called_out():
    stability = measured({2: [[1] * 4] * 2, 3: [[3] * 4] * 2}, 3)
    assert stability.verdict == "fragile"
    assert stability.sentence == (
        "The choice of 3 states is fragile: 3 is the largest number of states tried, and more may "
        "fit better."
    )


def test_a_stable_choice_says_why():
    stability = measured({2: [[1] * 4] * 2, 3: [[3.5] * 4] * 2, 4: [[0] * 4] * 2}, 3)
    assert stability.verdict == "stable"
    assert stability.sentence == (
        "The choice of 3 states is stable: its log-likelihood is higher by 10 than that of the "
        "next best, 2 states, with a bootstrap standard error of 0; 100 % of 1000 resamples of the "
        "4 training runs choose it; no single run decides it; the mean over restarts and the best "
        "restart choose the same; larger numbers of states were tried; 2 of 2 restarts find the "
        "same states (adjusted Rand index of at least 0.9 with the one kept)."
    )


def blurred(gap, seed, n_runs=20, length=40):
    """Two phases that overlap: in one of two metrics their means are `gap` spreads apart."""
    draw = np.random.default_rng(seed)
    tables = {}
    for run in range(n_runs):
        later = np.arange(length) >= draw.integers(8, length - 8)
        values = gap * later[:, None] * [1, 0] + draw.normal(size=(length, 2))
        tables[run] = pd.DataFrame(values, columns=["l1", "l2"]).assign(step=np.arange(length))
    return unscaled(tables)


def test_a_choice_that_is_stable():
    chosen = [select_hmm(phases(seed), range(2, 5), 2).n_states for seed in range(3)]
    assert chosen == [3, 3, 3]  # truly: other runs choose the same
    model = select_hmm(phases(0), range(2, 5), 2, resplits=2)
    stability = model.stability
    assert stability.verdict == "stable", stability.sentence
    assert not any("choice of" in note.text for note in model.notes)
    numbers = stability.numbers
    (own,) = (row for row in numbers["candidates"] if row["n_states"] == 3)
    assert own["share"] == 1.0
    assert [row["n_states"] for row in numbers["resplits"]] == [3, 3]
    assert min(row["adjusted_rand_index"] for row in numbers["resplits"]) > 0.99
    assert min(numbers["restarts"]["matched_share"]) > 0.99


def test_a_choice_that_is_fragile():
    # At this gap two states are worth their parameters on some sets of runs and not on others ...
    models = [select_hmm(blurred(1.3, seed), range(1, 4), 3) for seed in range(6)]
    assert {model.n_states for model in models} == {1, 2}
    fragile = [model for model in models if model.stability.verdict == "fragile"]
    assert len(fragile) >= 5
    for model in fragile:
        assert Note(DOUBTFUL_CHOICE, model.stability.sentence) in model.notes
    # ... and with none, or a wide one, on all or none.
    for gap, truth in ((0.0, 1), (5.0, 2)):
        for seed in range(3):
            model = select_hmm(blurred(gap, seed), range(1, 4), 3)
            assert (model.n_states, model.stability.verdict) == (truth, "stable")


def test_several_splits_judge_together():
    def judged_by(split, *runs):
        values = np.array([[1.0, 2.0, 4.0, 8.0], [3.0, 5.0, 7.0, 9.0]]) * (split + 1)
        return hand_made(values, judging=np.isin(np.arange(4), runs), split=split)

    splits = [judged_by(0, 0, 1), judged_by(1, 1, 3)]
    assert judges(splits).tolist() == [True, True, False, True]
    counts = np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0], [0.0, 1.0, 2.0]])  # of runs 0, 1 and 3
    # Likelihoods of the two restarts, split by split: (1 + 2, 3 + 5) and 2 (2 + 8, 5 + 9), ...
    expected = -np.array(
        [
            [(3 + 8) / 2, (20 + 28) / 2],
            [(2 + 6) / 2, (16 + 18) / 2],
            [(2 + 5) / 2, (36 + 46) / 2],
        ]
    ).mean(axis=1)
    np.testing.assert_allclose(values_over(splits, counts, "log_likelihood", "mean"), expected)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_parts_add_up_to_the_scores(fits, criterion, aggregate):
    scores = pd.concat([fit.scores for fit in fits.values()], ignore_index=True)
    of_scores = judged(scores, criterion, aggregate)
    for candidate, fit in fits.items():
        everyone = np.ones((1, int(judges(fit.restarts).sum())))
        value = values_over(fit.restarts, everyone, criterion, aggregate)
        assert value == pytest.approx([of_scores[candidate]], rel=1e-9)


def test_the_choice_is_that_of_the_scores(fits):
    scores = pd.concat([fit.scores for fit in fits.values()], ignore_index=True)
    restarts = {candidate: fit.restarts for candidate, fit in fits.items()}
    chosen, restart = choose(scores)
    stability = measure_stability(restarts, chosen, restart)
    assert min(row["difference"] for row in stability.numbers["candidates"]) == 0
    for row in stability.numbers["other_rules"]:
        candidate, _ = choose(scores, row["criterion"], row["aggregate"])
        assert (row["model"], row["n_states"]) == candidate


class TestOneState:
    """Six training runs, two validation runs, of 10 checkpoints each."""

    judging = np.repeat([False, True], [6, 2])

    def stability(self, train, validation, n_parameters=20, chosen=1):
        fits = {
            Candidate("gaussian", 1): [
                hand_made([[0] * 8] * 2, 5, judging=self.judging),
            ],
            Candidate("gaussian", 2): [
                hand_made([[train] * 6 + [validation] * 2] * 2, n_parameters, judging=self.judging)
            ],
        }
        return measure_stability(fits, Candidate("gaussian", chosen), 0, "bic", "mean")

    def test_more_states_that_fail_on_validation_runs_are_told(self):
        found = self.stability(train=40, validation=-30)
        assert found.verdict == "fragile"
        told = finding(found, "one state")
        assert told.clause == (
            "2 states fit the training runs far better (by 4 nats a checkpoint) and fail on the "
            "validation runs; raise hmm.covariance_floor, or set hmm.covariance to diag, "
            "before you trust one state"
        )
        assert found.numbers["one_state"]["validation_loss"] == 3
        json.dumps(found.to_dict(), allow_nan=False)

    @pytest.mark.parametrize(
        ("train", "validation"),
        [(40, 1), (2, -30), (0, 0)],
        ids=["held-out runs agree", "no more than parameters buy", "no difference"],
    )
    def test_one_state_may_be_the_answer(self, train, validation):
        found = self.stability(train, validation)
        assert found.numbers["one_state"] is None
        assert "one state" not in {f.name for f in found.findings}

    def test_more_than_one_state_is_not_asked(self):
        assert self.stability(40, -30, chosen=2).numbers["one_state"] is None

    def test_noise_about_one_level_is_one_state(self):
        rng = np.random.default_rng(0)
        tables = {
            s: pd.DataFrame(rng.normal(size=(40, 2)), columns=["l1", "l2"]).assign(step=range(40))
            for s in range(16)
        }
        model = select_hmm(unscaled(tables), n_states=[1, 2, 3], restarts=2, random_state=0)
        assert model.n_states == 1
        assert model.stability.numbers["one_state"] is None
        assert "many_parameters" not in {note.kind for note in model.notes}

    def test_parameters_outnumber_checkpoints(self):
        rng = np.random.default_rng(0)
        columns = [f"l{i}" for i in range(8)]
        tables = {
            s: pd.DataFrame(rng.normal(size=(10, 8)), columns=columns).assign(step=range(10))
            for s in range(5)
        }
        model = select_hmm(observations(tables), n_states=[1], restarts=1, random_state=0)
        (note,) = [note for note in model.notes if note.kind == "many_parameters"]
        # 8 means and 36 covariances; 4 of 5 runs train.
        assert note.text == (
            "The model has 44 free parameters, more than the 40 checkpoints that it was fitted to; "
            "its states may be chance."
        )

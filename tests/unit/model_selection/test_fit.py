"""Fits from several starts: known phases are found, and scores are those of hmmlearn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.support.known_phases import MEANS, SPREAD, assert_same_model, simulated
from training_maps.hmm.observations import Observations, observations
from training_maps.model_selection.criteria import Candidate, choose
from training_maps.model_selection.fit import fit_hmm
from training_maps.model_selection.fitted import SCORE_COLUMNS
from training_maps.model_selection.restarts import visiting_order
from training_maps.model_selection.select import select_hmm
from training_maps.utils.errors import InputError


@pytest.fixture(scope="module")
def obs() -> Observations:
    return simulated(0)[0]


@pytest.mark.parametrize("seed", range(4))
def test_known_phases_are_recovered(seed):
    obs, phases = simulated(seed)
    model = select_hmm(obs, n_states=range(1, 5), restarts=3)
    assert model.n_states == 3
    assert choose(model.scores, "bic", "best") == (Candidate("gaussian", 3), model.restart)
    x, lengths, _ = obs.sequences()
    # The true phases, numbered as the runs visit them.
    order = visiting_order(np.split(phases, np.cumsum(lengths)[:-1]), 3)
    phases = np.argsort(order)[phases]
    assert np.mean(model.hmm.predict(x, lengths) == phases) > 0.999
    # The estimates are those of someone who saw the phases of the training runs ...
    train = (obs.table["split"] == "train").to_numpy()
    steps = train[1:] & (np.diff(obs.table["seed"]) == 0)
    counts = np.zeros((3, 3))
    np.add.at(counts, (phases[:-1][steps], phases[1:][steps]), 1)
    seen = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.hmm.transmat_, seen, atol=2e-3)
    np.testing.assert_allclose(model.hmm.startprob_, [1, 0, 0], atol=1e-6)
    for k in range(3):
        rows = x[train & (phases == k)]
        np.testing.assert_allclose(model.hmm.means_[k], rows.mean(axis=0), atol=2e-3)
        prior = 0.01 / len(rows)
        covariance = np.cov(rows.T, bias=True) + prior
        np.testing.assert_allclose(model.hmm.covars_[k], covariance, atol=5e-4)
        # ... and within five standard errors of the truth.
        error = np.abs(model.hmm.means_[k] - MEANS[order[k]])
        assert (error < 5 * SPREAD / np.sqrt(len(rows))).all()


@pytest.mark.parametrize("covariance", ["full", "diag", "tied", "spherical"])
def test_scores_are_those_of_hmmlearn_on_the_validation_runs(obs, covariance):
    fitted = fit_hmm(obs, 3, restarts=4, covariance=covariance, random_state=3)
    scores = fitted.scores
    assert tuple(scores.columns) == SCORE_COLUMNS
    assert scores["restart"].tolist() == [0, 1, 2, 3]
    assert (scores["n_states"] == 3).all()
    assert scores["log_likelihood_validation"].idxmax() == fitted.restart
    assert fitted.hmm.covariance_type == covariance
    plain = fitted.hmm.to_hmmlearn()
    row = scores.loc[fitted.restart]
    x, lengths, _ = obs.sequences("validation")
    assert row["log_likelihood_validation"] == pytest.approx(plain.score(x, lengths), rel=1e-8)
    assert row["aic"] == pytest.approx(plain.aic(x, lengths), rel=1e-8)
    assert row["bic"] == pytest.approx(plain.bic(x, lengths), rel=1e-8)
    x, lengths, _ = obs.sequences("train")
    assert row["log_likelihood_train"] == pytest.approx(plain.score(x, lengths), rel=1e-8)
    assert row["n_iterations"] == fitted.hmm.fit_report_.iterations
    assert bool(row["converged"]) == (row["reason"] == "converged")


def test_without_validation_runs_criteria_are_of_the_training_runs():
    obs = simulated(1, n_runs=4)[0]
    assert not obs.has_validation
    scores = fit_hmm(obs, 2, restarts=2).scores
    np.testing.assert_allclose(
        scores["log_likelihood_validation"], scores["log_likelihood_train"], rtol=1e-9
    )
    n = len(obs.sequences()[0])
    parameters = 1 + 2 + 6 + 12
    np.testing.assert_allclose(
        scores["bic"], -2 * scores["log_likelihood_train"] + parameters * np.log(n), rtol=1e-9
    )


def test_fits_repeat_and_more_restarts_keep_those_made(obs):
    few, again, more = (fit_hmm(obs, 3, restarts=n, random_state=1) for n in (2, 2, 4))
    assert_same_model(few.hmm, again.hmm)
    pd.testing.assert_frame_equal(few.scores, again.scores, check_exact=True)
    kept = more.scores.head(2)
    pd.testing.assert_frame_equal(few.scores, kept, check_exact=True)
    # With more states than there are phases, starts lead to different optima.
    other = [fit_hmm(obs, 5, restarts=2, random_state=seed).scores for seed in (1, 2)]
    assert not other[0].equals(other[1])
    selected = select_hmm(obs, [2, 3], restarts=2, random_state=1)
    assert_same_model(selected.hmm, few.hmm)


def test_degenerate_fits_leave_rows_that_are_finite():
    # Two distinct rows a run: two states explain everything, and the others starve.
    table = pd.DataFrame({"step": range(20), "l1": [0.0, 1] * 10, "l2": [1.0, 0] * 10})
    obs = observations([table] * 6)
    scores = fit_hmm(obs, 2, restarts=3).scores
    numbers = scores.drop(columns=["reason", "start", "model"])
    assert np.isfinite(numbers.to_numpy(dtype=float)).all()
    with pytest.raises(InputError, match=r"3 states need as many different checkpoints.*have 2"):
        fit_hmm(obs, 3)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"n_states": 0}, "n_states must be at least 1, got 0"),
        ({"restarts": 0}, "restarts must be at least 1"),
        ({"max_iterations": 0}, "max_iterations must be at least 1"),
        ({"random_state": -1}, "random_state must be at least 0, got -1"),
        ({"tolerance": 0.0}, "tolerance must be more than 0, got 0.0"),
        ({"covariance_floor": 0.0}, "covariance_floor must be more than 0 and at most 1, got 0.0"),
        ({"covariance_floor": 1.5}, "covariance_floor must be more than 0 and at most 1, got 1.5"),
        ({"covariance_floor": float("nan")}, "covariance_floor must be .* at most 1, got nan"),
        (
            {"covariance": "banded"},
            "covariance must be one of full, diag, tied, spherical, got 'banded'",
        ),
        ({"model": "linear"}, "model: 'linear' is not one of gaussian, autoregressive"),
        ({"resplits": -1}, "resplits must be at least 0, got -1"),
        ({"n_states": 10_000}, "n_states: 10000 states need"),
    ],
)
def test_bad_fit_settings_are_refused(obs, settings, problem):
    with pytest.raises(InputError, match=problem):
        fit_hmm(obs, **{"n_states": 2, **settings})


def test_fitted_states_are_numbered_as_runs_visit_them(obs):
    for k in (2, 3, 4):
        fitted = fit_hmm(obs, k, restarts=2, random_state=7)
        x, lengths, _ = obs.sequences()
        paths = np.split(fitted.hmm.predict(x, lengths), np.cumsum(lengths)[:-1])
        assert visiting_order(paths, k).tolist() == list(range(k))


def test_notes_tell_what_is_doubtful(obs):
    one = select_hmm(obs, [1], restarts=1)
    assert any("one state" in note.text for note in one.notes)
    most = select_hmm(obs, [1, 2], restarts=1)
    assert any("2 is the largest number of states tried" in note.text for note in most.notes)
    fine = select_hmm(obs, [3, 4], restarts=1)
    assert fine.n_states == 3
    assert not any("largest" in note.text or "iteration limit" in note.text for note in fine.notes)
    hasty = select_hmm(obs, [3], restarts=1, max_iterations=1)
    assert any("iteration limit" in note.text for note in hasty.notes)
    assert any("1 of 1 fits did not converge" in note.text for note in hasty.notes)


def test_the_covariance_floor_holds_and_is_no_news(obs):
    twins = Observations(obs.table.assign(l2=obs.table["l1"]), obs.metrics)
    least = {}
    for floor in (1e-3, 1e-2):
        model = select_hmm(twins, [2], restarts=1, covariance_floor=floor)
        least[floor] = np.linalg.eigvalsh(model.hmm.covars_).min()
        assert least[floor] == pytest.approx(floor)
        assert not any("floor" in note.text for note in model.notes)
    assert np.linalg.eigvalsh(select_hmm(twins, [2], restarts=1).hmm.covars_).min() == least[1e-3]


def test_a_floor_keeps_one_unusual_run_from_deciding(obs):
    # The last metric follows the first closely in every run but one, which is held out.
    table = obs.table.copy()
    draw = np.random.default_rng(0)
    odd = int(table.loc[table["split"] == "validation", "seed"].iloc[0])
    away = np.where(table["seed"] == odd, 0.05, 1e-5) * draw.normal(size=len(table))
    table["trace"] = table["l1"] + away
    twins = Observations(table, obs.metrics)
    tight = fit_hmm(twins, 3, restarts=1, covariance_floor=1e-10)
    loose = fit_hmm(twins, 3, restarts=1)
    x, lengths, seeds = twins.sequences("validation")
    parts = dict(zip(seeds, np.split(x, np.cumsum(lengths)[:-1]), strict=True))
    assert tight.hmm.score(parts[odd]) < -10_000
    assert loose.hmm.score(parts[odd]) > -200


def test_both_kinds_are_judged_on_the_same_checkpoints(obs):
    n = len(obs.sequences("validation")[0])
    for name in ("gaussian", "autoregressive"):
        fitted = fit_hmm(obs, 2, restarts=1, model=name)
        row = fitted.scores.loc[0]
        parameters = fitted.hmm.n_parameters()
        assert row["model"] == fitted.hmm.name == name
        assert row["bic"] == pytest.approx(
            -2 * row["log_likelihood_validation"] + parameters * np.log(n)
        )


def test_scores_are_criteria_of_the_likelihood_whatever_the_covariance(obs):
    for covariance in ("full", "diag", "tied", "spherical"):
        fit = fit_hmm(obs, 2, restarts=2, covariance=covariance)
        x, lengths, _ = obs.sequences("validation")
        d = x.shape[1]
        of_covariance = {"full": 2 * d * (d + 1) / 2, "diag": 2 * d, "tied": d * (d + 1) / 2}
        parameters = 1 + 2 + 2 * d + of_covariance.get(covariance, 2)
        kept = fit.scores.iloc[fit.restart]
        likelihood = kept["log_likelihood_validation"]
        assert likelihood == pytest.approx(fit.hmm.score(x, lengths), rel=1e-9)
        assert likelihood == fit.scores["log_likelihood_validation"].max()
        assert kept["aic"] == pytest.approx(2 * parameters - 2 * likelihood)
        assert kept["bic"] == pytest.approx(parameters * np.log(len(x)) - 2 * likelihood)


def test_other_splits_have_rows_of_their_own(obs):
    fit = fit_hmm(obs, 2, restarts=2, resplits=1)
    assert fit.scores[["split", "restart"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    alone = fit_hmm(obs, 2, restarts=2)
    pd.testing.assert_frame_equal(alone.scores, fit.scores.iloc[:2])
    assert_same_model(alone.hmm, fit.hmm)

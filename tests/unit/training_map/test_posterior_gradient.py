"""Gradients of the filtered posterior: against finite differences of a plain forward recursion."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.hmm_twins import (
    density_of_run,
    random_autoregression,
    random_model,
    random_rows,
    with_gaps,
)
from tests.support.known_chains import METRICS, VARIANCES, model_of, run_of
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.training_map.map import TrainingMap
from training_maps.training_map.posterior_gradient import posterior_gradients
from training_maps.utils.errors import InputError

LENGTHS = [6, 4, 1, 5]


def filtered_by_hand(model, x):
    """p(s_t = k | z_1:t) (n, K) of one run, by the textbook's recursion in plain probabilities."""
    density = density_of_run(model, x)
    found = []
    for t, row in enumerate(density):
        before = model.startprob_ if t == 0 else found[-1] @ model.transmat_
        found.append(before * row / (before * row).sum())
    return np.array(found)


def runs_of(x):
    return np.split(x, np.cumsum(LENGTHS)[:-1])


def every_model():
    for kind in ("full", "diag", "tied", "spherical"):
        yield pytest.param(random_model(kind, d=3), id=f"gaussian-{kind}")
        yield pytest.param(random_autoregression(kind, d=3), id=f"autoregressive-{kind}")
    yield pytest.param(random_autoregression("full", d=3, dynamics="full"), id="full dynamics")


@pytest.mark.parametrize("model", list(every_model()))
def test_filtered_posterior_equals_the_textbook(model):
    x = random_rows(LENGTHS, 3)
    expected = np.concatenate([filtered_by_hand(model, run) for run in runs_of(x)])
    np.testing.assert_allclose(np.exp(model.log_filtered(x, LENGTHS)), expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["full", "diag", "tied", "spherical"])
def test_filtered_posterior_with_gaps_equals_the_textbook(kind):
    model = random_model(kind, d=3)
    x = with_gaps(random_rows(LENGTHS, 3))
    expected = np.concatenate([filtered_by_hand(model, run) for run in runs_of(x)])
    np.testing.assert_allclose(np.exp(model.log_filtered(x, LENGTHS)), expected, rtol=1e-9)


@pytest.mark.parametrize("model", list(every_model()))
def test_gradient_equals_finite_differences(model):
    x = random_rows(LENGTHS, 3)
    rows, states = (i.ravel() for i in np.meshgrid(np.arange(len(x)), np.arange(3)))
    found = posterior_gradients(model, x, LENGTHS, rows, states)
    step = 1e-5
    for gradient, row, state in zip(found, rows, states, strict=True):
        run = int(np.searchsorted(np.cumsum(LENGTHS), row, side="right"))
        begin = sum(LENGTHS[:run])
        for i in range(3):
            logs = []
            for sign in (-1, 1):
                moved = x[begin : row + 1].copy()  # up to z_t, and nothing after it
                moved[-1, i] += sign * step
                logs.append(np.log(filtered_by_hand(model, moved)[-1, state]))
            assert gradient[i] == pytest.approx((logs[1] - logs[0]) / (2 * step), abs=2e-6)


def test_missing_entries_have_no_gradient_and_the_others_that_of_the_observed():
    model = random_model("full", d=3)
    x = random_rows([5], 3)
    x[3, 1] = np.nan
    found = posterior_gradients(model, x, [5], np.array([3, 4]), np.array([0, 0]))
    assert np.isnan(found[0, 1])
    assert np.isfinite(np.delete(found[0], 1)).all()
    assert np.isfinite(found[1]).all()
    step = 1e-5
    logs = []
    for sign in (-1, 1):
        moved = x[:4].copy()
        moved[3, 2] += sign * step
        logs.append(model.log_filtered(moved, [4])[-1, 0])
    assert found[0, 2] == pytest.approx((logs[1] - logs[0]) / (2 * step), rel=1e-5)


def test_two_states_in_closed_form():
    """With two states d log p_1 / dz = (1 - p_1)(mu_1 - mu_0) / variance: a logistic curve."""
    model = GaussianHMM.from_parameters(
        [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [[0.0], [3.0]], [[[2.0]], [[2.0]]]
    )
    x = np.array([[0.1], [0.4], [1.9]])
    p = np.exp(model.log_filtered(x))[2, 1]
    found = posterior_gradients(model, x, [3], np.array([2]), np.array([1]))
    assert found[0, 0] == pytest.approx((1 - p) * 3 / 2, rel=1e-12)


def test_no_digits_are_lost_where_the_model_is_sure():
    model = GaussianHMM.from_parameters(
        [0.5, 0.5], np.full((2, 2), 0.5), [[0.0], [20.0]], [[[1.0]], [[1.0]]]
    )
    found = posterior_gradients(model, np.array([[20.0]]), [1], np.array([0]), np.array([1]))
    # 1 - p_1 = exp(-200) to all digits that a float has.
    assert found[0, 0] == pytest.approx(20 * np.exp(-200), rel=1e-9)


def test_impossible_transitions_do_no_harm():
    model = GaussianHMM.from_parameters(
        [1.0, 0.0], [[0.5, 0.5], [0.0, 1.0]], [[0.0], [1.0]], [[[1.0]], [[1.0]]]
    )
    x = np.array([[0.0], [0.7], [0.2]])
    np.testing.assert_allclose(np.exp(model.log_filtered(x)), filtered_by_hand(model, x))


class TestMap:
    def close_model(self, runs):
        """Like `model_of`, but with states so near each other that entries are in doubt."""
        model = model_of(runs)
        spread = np.stack([np.diag(v) for v in VARIANCES * 400])
        model.hmm = GaussianHMM.from_parameters(
            model.hmm.startprob_, model.hmm.transmat_, model.hmm.means_, spread
        )
        model.hmm.predict = lambda x, lengths: np.concatenate([np.asarray(r) for r in runs])
        return model

    def test_averages_over_the_uses_of_each_transition(self):
        runs = [run_of(0, 1, 2), run_of(0, 1, 2, stay=4), run_of(0, 2, 1)]
        model = self.close_model(runs)
        tmap = TrainingMap.from_model(model, features="posterior_gradient", n_features=4)
        assert tmap.feature_ranking == "posterior_gradient"
        x, lengths, _ = model.observations.sequences()
        path = np.concatenate(runs)
        starts = np.cumsum(lengths) - lengths
        entries = [t for t in range(1, len(path)) if t not in starts and path[t] != path[t - 1]]
        for edge in tmap.transitions:
            uses = [t for t in entries if (path[t - 1], path[t]) == (edge.source, edge.target)]
            of_use = [
                posterior_gradients(model.hmm, x, lengths, np.array([t]), np.array([edge.target]))
                for t in uses
            ]
            mean = np.mean(of_use, axis=0)[0]
            order = np.argsort(-np.abs(mean), kind="stable")
            assert [c.metric for c in edge.feature_changes] == [METRICS[i] for i in order]
            for change, i in zip(edge.feature_changes, order, strict=True):
                assert change.posterior_gradient == pytest.approx(mean[i])
                means = model.hmm.means_
                assert change.change == means[edge.target, i] - means[edge.source, i]
        second = tmap.states[1]
        uses = np.array([t for t in entries if path[t] == 1])
        mean = posterior_gradients(model.hmm, x, lengths, uses, np.ones(len(uses), int)).mean(0)
        assert {f.metric: f.posterior_gradient for f in second.features} == pytest.approx(
            dict(zip(METRICS, mean, strict=True))
        )
        inside = np.flatnonzero(path == 0)  # no run enters state 0: all of its checkpoints count
        mean = posterior_gradients(model.hmm, x, lengths, inside, np.zeros(len(inside), int)).mean(
            0
        )
        assert {f.metric: f.posterior_gradient for f in tmap.states[0].features} == pytest.approx(
            dict(zip(METRICS, mean, strict=True))
        )

    def test_round_trip(self, tmp_path):
        model = self.close_model([run_of(0, 1, 2), run_of(0, 2)])
        tmap = TrainingMap.from_model(model, features="posterior_gradient")
        tmap.to_json(tmp_path / "map.json")
        again = TrainingMap.from_json(tmp_path / "map.json", tmap.paths)
        assert again.to_dict() == tmap.to_dict()
        assert again.states[1].features[0].posterior_gradient is not None

    def test_sure_transitions_are_noted(self):
        runs = [run_of(0, 1, 2), run_of(0, 2)]
        notes = TrainingMap.from_model(model_of(runs), features="posterior_gradient").notes
        assert sum("the model is sure of it" in note.text for note in notes) == 3
        notes = TrainingMap.from_model(self.close_model(runs), features="posterior_gradient").notes
        assert not any("the model is sure of it" in note.text for note in notes)

    def test_a_metric_that_is_missing_at_all_uses_comes_last(self):
        runs = [run_of(0, 1), run_of(0, 1)]
        model = self.close_model(runs)
        table = model.observations.table
        table.loc[table["step"] == 32 * 6, "trace"] = np.nan
        tmap = TrainingMap.from_model(model, features="posterior_gradient", n_features=4)
        (edge,) = tmap.transitions
        assert edge.feature_changes[-1].metric == "trace"
        assert edge.feature_changes[-1].posterior_gradient is None

    def test_unknown_ranking(self):
        with pytest.raises(InputError, match="features: 'size' is not one of"):
            TrainingMap.from_model(model_of([run_of(0, 1)]), features="size")

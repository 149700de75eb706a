"""The reference data as real input: what is known of made-up runs must hold for these too."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import wasserstein_distance
from tools import reproduction

from tests.properties.test_reproduction import settings_of
from tests.support.project import ROOT
from training_maps.analysis.dissimilarity import dissimilarity
from training_maps.analysis.semantics.outcomes import convergence_times, time_outcome
from training_maps.analysis.semantics.regression import regress
from training_maps.hmm.observations import Observations, observations
from training_maps.model_selection.fit import fit_hmm
from training_maps.runs.tables import read_logs, read_metrics
from training_maps.training_map.paths import find_routes, state_shares
from training_maps.utils.files import read_json

REFERENCE = ROOT / "reference"
NAMES = reproduction.experiments(REFERENCE)
N_STATES = 3


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def seeds(name):
    return list(range(read_json(REFERENCE / name / "settings.json")["n_runs"]))


@pytest.fixture(scope="module")
def tables(name, seeds):
    return dict(read_metrics(str(REFERENCE / name / "metrics.parquet"), seeds))


@pytest.fixture(scope="module")
def obs(tables):
    return observations(tables)


@pytest.fixture(scope="module")
def hmm(obs):
    return fit_hmm(obs, N_STATES, restarts=1).hmm


@pytest.fixture(scope="module")
def paths(obs: Observations, hmm):
    x, lengths, _ = obs.sequences()
    return obs.table[["seed", "step"]].assign(state=hmm.predict(x, lengths))


def test_z_scores_are_those_of_scipy(tables, obs):
    for seed, table in tables.items():
        values = table[list(obs.metrics)].to_numpy(dtype=np.float64)[:1000]
        found = obs.table.loc[obs.table["seed"] == seed, list(obs.metrics)].to_numpy()
        twin = (values - values.mean(axis=0)) / values.std(axis=0)
        np.testing.assert_allclose(found, twin, atol=1e-9)


def test_hmmlearn_says_the_same_of_the_fit(obs, hmm, paths):
    x, lengths, _ = obs.sequences()
    theirs = hmm.to_hmmlearn()
    assert hmm.score(x, lengths) == pytest.approx(theirs.score(x, lengths), rel=1e-10)
    assert (theirs.predict(x, lengths) == paths["state"]).all()
    np.testing.assert_allclose(
        hmm.posteriors(x, lengths), theirs.predict_proba(x, lengths), atol=1e-6
    )


def test_no_covariance_is_below_the_floor(hmm):
    for covariance in hmm.covars_:
        assert np.linalg.eigvalsh(covariance).min() >= hmm.covariance_floor * (1 - 1e-6)


def test_shares_and_routes_count_every_checkpoint(paths, seeds):
    shares = state_shares(paths)
    assert shares.index.tolist() == seeds
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    routes = find_routes(paths)
    assert sorted(seed for route in routes for seed in route.seeds) == seeds
    for route in routes:
        for seed in route.seeds:
            states = paths.loc[paths["seed"] == seed, "state"].tolist()
            entered = [s for i, s in enumerate(states) if i == 0 or s != states[i - 1]]
            assert list(dict.fromkeys(entered)) == list(dict.fromkeys(route.states))


def test_distances_are_scipys(paths):
    found = dissimilarity(paths).set_index(["seed_a", "seed_b"])
    states = {seed: run.to_numpy() for seed, run in paths.groupby("seed")["state"]}
    for a, b in combinations(sorted(states), 2):
        expected = wasserstein_distance(states[a], states[b])
        assert found.loc[(a, b), "index"] == pytest.approx(expected, abs=1e-12)


def test_the_regression_is_that_of_statsmodels(name, seeds, paths):
    logs = dict(read_logs(str(REFERENCE / name / "training_log.parquet"), seeds))
    threshold = settings_of(name)["semantics"]["threshold"]
    times = convergence_times(logs, threshold)
    first = {s: log.loc[log["eval_accuracy"] > threshold, "step"].min() for s, log in logs.items()}
    found = times.set_index("seed")
    for seed, step in first.items():
        assert found.loc[seed, "converged"] == (not np.isnan(step))
        assert np.isnan(step) or found.loc[seed, "step"] == step
    shares = state_shares(paths)
    fit = regress(shares, time_outcome(times, "eval_accuracy", threshold), alternatives=False)
    if not times["converged"].any():
        assert fit.r_squared is None
        assert "No run converges" in fit.reason
        return
    if not times["converged"].all():
        return  # censored runs: tests/unit/stats/test_tobit.py has the likelihood's twins
    coefficients = fit.coefficients.set_index("state")
    left_out = shares.drop(columns=coefficients.index)
    assert (left_out.max() - left_out.min() < 1e-12).all()  # they tell nothing, and it is noted
    assert len(fit.notes) >= left_out.shape[1]
    ols = sm.OLS(times["fraction"].to_numpy(), shares[coefficients.index].to_numpy()).fit()
    centred = 1 - ols.ssr / ((times["fraction"] - times["fraction"].mean()) ** 2).sum()
    assert fit.r_squared == pytest.approx(centred, abs=1e-9)
    assert coefficients["coefficient"].to_numpy() == pytest.approx(ols.params, abs=1e-8)
    assert coefficients["standard_error"].to_numpy() == pytest.approx(ols.bse, rel=1e-6)


def test_tables_as_csv_are_read_alike(name, seeds, tables, tmp_path):
    """A user's own table of the same numbers, in text, gives the same observations."""
    whole = pd.concat([tables[seed].assign(seed=seed) for seed in seeds[:6]])
    whole.to_csv(tmp_path / "metrics.csv", index=False)
    again = observations(dict(read_metrics(str(tmp_path / "metrics.csv"), seeds[:6])))
    kept = observations({seed: tables[seed] for seed in seeds[:6]})
    pd.testing.assert_frame_equal(again.table, kept.table, rtol=1e-6, atol=1e-6)

"""What runs are placed by: the map's scale, its model there, and its runs seen by the others."""

import dataclasses

import numpy as np
import pytest

from tests.support.placed_runs import METRICS, STEPS, log_of, tables, times, write_map
from training_maps.hmm.gaussian import GaussianHMM
from training_maps.hmm.observations import Observations, observations
from training_maps.hmm.standards import common_standards
from training_maps.model_selection.fit import fit_hmm
from training_maps.model_selection.fitted import load_fitted
from training_maps.placing import calibrate as calibrating
from training_maps.placing.calibrate import Runs, calibrate, reference_of
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, write_json, write_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_map(tmp_path_factory.mktemp("map"))


@pytest.fixture(scope="module")
def reference(folder):
    return calibrate(folder)


def raw():
    return [table[list(METRICS)].to_numpy() for table in tables(24).values()]


def test_the_scale_is_that_of_all_runs(reference):
    expected = common_standards(raw())
    np.testing.assert_allclose(reference.standards.mean, expected.mean)
    np.testing.assert_allclose(reference.scored, expected.z_scores(np.array(raw())))
    assert reference.steps.tolist() == STEPS.tolist()
    assert reference.metrics == METRICS
    assert reference.forks == (0,)


def test_of_a_pooled_map_the_model_is_the_map_s(reference, folder):
    obs = Observations.load(folder / "observations.parquet")
    fitted = load_fitted(folder / "hmm" / "states-3.npz", obs).hmm
    np.testing.assert_array_equal(reference.hmm.means_, fitted.means_)
    np.testing.assert_array_equal(reference.hmm.transmat_, fitted.transmat_)


def test_of_runs_scored_by_themselves_states_stay_and_are_read_off_anew(tmp_path):
    """Their means are those of the same checkpoints in the map's scale."""
    folder = write_map(tmp_path, scale="run")
    made = calibrate(folder)
    obs = Observations.load(folder / "observations.parquet")
    fitted = load_fitted(folder / "hmm" / "states-3.npz", obs).hmm
    x, lengths, _ = obs.sequences()
    used = (obs.table["split"] == "train").to_numpy()
    weights = fitted.posteriors(x, lengths)[used]
    scored = made.scored.reshape(-1, len(METRICS))[used]
    means = weights.T @ scored / weights.sum(axis=0)[:, None]
    np.testing.assert_allclose(made.hmm.means_, means, atol=1e-6)
    again = made.hmm.predict(made.scored.reshape(-1, len(METRICS)), lengths)
    assert np.mean(again == fitted.predict(x, lengths)) > 0.9


@pytest.mark.parametrize("model", ["autoregressive", "vector_autoregressive"])
def test_maps_of_other_models_are_calibrated_too(tmp_path, model):
    made = calibrate(write_map(tmp_path, n_runs=12, scale="run", model=model))
    assert made.hmm.name == model
    assert np.isfinite(made.usual.limit)
    assert np.isfinite(made.usual.runs).all()


def test_a_run_is_not_judged_by_what_it_taught(monkeypatch):
    """A run's surprise is the same whatever it is weighed with in the model that others see."""
    obs = observations(tables(10), scale="pooled", validation_share=0)
    runs = Runs.of(obs, tables(10))
    hmm = fit_hmm(obs, 3, restarts=1, random_state=0).hmm
    seen = calibrating._Posteriors.of(hmm, runs)
    without = seen.model(runs.values, (4,), hmm)
    rows = (obs.table["seed"] != 4).to_numpy()
    weights = hmm.posteriors(*obs.sequences()[:2])[rows]
    means = weights.T @ runs.values[rows] / weights.sum(axis=0)[:, None]
    np.testing.assert_allclose(without.means_, means, atol=1e-8)
    # And all of them are used in the end.
    found = reference_of(runs, hmm, {"experiment": "x"}).usual.runs
    assert found.shape == (10, len(STEPS))


def test_of_many_runs_a_sample_is_compared_with(monkeypatch):
    """Scale and model are of all runs, and each is judged by a model that does not know it."""
    obs = observations(tables(12), scale="pooled", validation_share=0)
    runs = Runs.of(obs, tables(12))
    hmm = fit_hmm(obs, 3, restarts=1, random_state=0).hmm
    of_all = reference_of(runs, hmm, {"experiment": "x"})
    monkeypatch.setattr(calibrating, "MOST_RUNS", 7)
    found = reference_of(runs, hmm, {"experiment": "x"})
    assert len(set(found.seeds.tolist())) == found.n_runs == 7
    assert found.runs_told == "7 of the map's 12 runs"
    assert of_all.runs_told == "the map's 12 runs"
    np.testing.assert_array_equal(found.scored, of_all.scored[found.seeds])
    np.testing.assert_array_equal(found.standards.mean, of_all.standards.mean)
    np.testing.assert_array_equal(found.hmm.means_, of_all.hmm.means_)
    seen = calibrating._Posteriors.of(hmm, runs)
    asked = (seen, runs, hmm, of_all.degrees)
    everyone = calibrating._surprise_of_each(*asked, of_all.scored, np.arange(12))
    sample = calibrating._surprise_of_each(*asked, found.scored, found.seeds)
    np.testing.assert_array_equal(sample, everyone[found.seeds])


def test_a_state_that_only_the_run_left_out_has_is_not_there_for_it():
    changed = tables(8)
    odd = changed[5]
    odd.loc[10:, list(METRICS)] += 40.0
    obs = observations(changed, scale="pooled", validation_share=0)
    runs = Runs.of(obs, changed)
    values = runs.values
    own = (obs.table["seed"] == 5).to_numpy() & (obs.table["step"] >= 100).to_numpy()
    means = np.array([values[~own].mean(axis=0), values[own].mean(axis=0)])
    hmm = GaussianHMM.from_parameters(
        np.array([1.0, 0.0]),
        np.array([[0.9, 0.1], [0.0, 1.0]]),
        means,
        np.tile(np.eye(3), (2, 1, 1)),
    )
    seen = calibrating._Posteriors.of(hmm, runs)
    assert seen.model(values, (5,), hmm).transmat_[0].tolist() == [1.0, 0.0]
    assert seen.model(values, (2,), hmm).transmat_[0, 1] > 0
    usual = reference_of(runs, hmm, {"experiment": "x"}).usual
    assert int(np.nanargmax(np.nanmax(usual.runs, axis=1))) == 5


def test_runs_of_other_lengths_and_steps_share_a_grid():
    changed = tables(9)
    changed[0] = changed[0].iloc[:12]
    changed[1] = changed[1].iloc[::2]
    extra = changed[2].iloc[[3]].assign(step=33)
    changed[2] = np_sorted(changed[2], extra)
    obs = observations(changed, scale="pooled", validation_share=0)
    seeds, steps, values = Runs.of(obs, changed).on_grid()
    assert seeds.tolist() == list(range(9))
    assert steps.tolist() == STEPS.tolist()
    assert np.isnan(values[0, 12:]).all()
    assert np.isnan(values[1, 1::2]).all()
    assert np.isfinite(values[2]).all()


def np_sorted(table, extra):
    import pandas as pd

    return pd.concat([table, extra]).sort_values("step", ignore_index=True)


def test_times_are_the_steps_of_convergence(reference):
    expected = [STEPS[(log_of(time)["eval_accuracy"] > 0.9).argmax()] for time in times(24)]
    assert reference.forecast.outcome.tolist() == expected
    assert reference.forecast.is_time
    assert not reference.forecast.censored.any()


def test_without_an_outcome_nothing_is_predicted(tmp_path):
    folder = write_map(tmp_path, n_runs=8)
    write_json({"outcome": None}, folder / "regression.json")
    assert calibrate(folder).forecast is None
    (folder / "regression.json").unlink()
    (folder / "forks.json").unlink()
    made = calibrate(folder)
    assert made.forecast is None
    assert made.forks == ()


def test_other_outcomes_are_those_of_their_table(tmp_path):
    folder = write_map(tmp_path, n_runs=8)
    about = {"name": "final loss", "is_time": False, "unit": "nats", "larger_means": "worse"}
    write_json({"outcome": about}, folder / "regression.json")
    import pandas as pd

    rows = {"seed": range(8), "outcome": np.arange(8.0), "censored": False, "predicted": 0.0}
    write_table(pd.DataFrame(rows), folder / "outcomes.csv")
    assert calibrate(folder).forecast.outcome.tolist() == list(range(8))


@pytest.mark.parametrize("offset", [0, 1])
def test_columns_of_logs_that_joined_the_metrics_are_read_there(offset, tmp_path):
    """As observations join them: also of a log that counts otherwise than the checkpoints."""
    folder = write_map(tmp_path, n_runs=8)
    obs = Observations.load(folder / "observations.parquet")
    joined = dataclasses.replace(
        obs, table=obs.table.assign(epoch_like=0.5), metrics=(*obs.metrics, "epoch_like")
    )
    for seed in range(8):
        log = log_of(times(8)[seed]).assign(epoch_like=np.arange(len(STEPS)) * (1.0 + seed))
        log["step"] += offset
        write_table(log, folder / "runs" / f"seed-{seed}" / "training_log.parquet")
    found = calibrating._before_scoring(folder, [2, 3], joined.metrics)[3]
    assert found["epoch_like"].tolist() == (np.arange(len(STEPS)) * 4.0).tolist()


class TestBadInput:
    def test_no_map(self, tmp_path):
        with pytest.raises(InputError, match=r"has no training_map\.json"):
            calibrate(tmp_path)

    def test_state_paths_have_no_model(self, tmp_path):
        write_json({"selected_model": None}, tmp_path / "training_map.json")
        with pytest.raises(InputError, match="has no model that could tell the states"):
            calibrate(tmp_path)

    def test_too_few_runs(self, tmp_path):
        with pytest.raises(InputError, match=r"has 4 runs .* too few"):
            calibrate(write_map(tmp_path, n_runs=4))

    def test_metrics_that_were_removed(self, tmp_path):
        folder = write_map(tmp_path, n_runs=6)
        (folder / "runs" / "seed-2" / "metrics.parquet").unlink()
        with pytest.raises(InputError, match="seed-2"):
            calibrate(folder)

    def test_nothing_is_written(self, folder):
        before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
        calibrate(folder)
        assert before == {f: f.stat().st_mtime_ns for f in folder.rglob("*") if f.is_file()}
        assert read_json(folder / "training_map.json")["experiment"] == "small"

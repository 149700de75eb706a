"""Fitting, scoring, numbering, choosing and storing models."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace

import hmmlearn.hmm
import numpy as np
import pandas as pd
import pytest

from training_maps.cli import main
from training_maps.hmm.observations import Observations, observations
from training_maps.model_selection.criteria import Candidate, choose
from training_maps.model_selection.fit import fit_hmm
from training_maps.model_selection.fitted import SCORE_COLUMNS, load_fitted, save_fitted
from training_maps.model_selection.restarts import visiting_order
from training_maps.model_selection.select import file_stem, load_selected, select_hmm
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, read_table, write_table

# Three phases, gone through in order; some runs skip the second.
MEANS = np.array([[-1.0, 0.0, 1.0], [0.0, 1.5, 0.0], [1.0, 0.0, -1.0]])
TRANSMAT = np.array([[0.9, 0.06, 0.04], [0.0, 0.85, 0.15], [0.0, 0.0, 1.0]])
SPREAD = 0.15


def simulated(seed: int, n_runs: int = 20, length: int = 50) -> tuple[Observations, np.ndarray]:
    """Observations of known phases, as raw tables z-scored by the stage before, and the phases."""
    draw = np.random.default_rng(seed)
    tables, phases = {}, []
    for run in range(n_runs):
        path = [0]
        for _ in range(length - 1):
            path.append(draw.choice(3, p=TRANSMAT[path[-1]]))
        values = MEANS[path] + SPREAD * draw.normal(size=(length, 3))
        tables[run] = pd.DataFrame(values, columns=["l1", "l2", "trace"])
        tables[run].insert(0, "step", 10 * np.arange(length))
        phases.append(path)
    table = pd.concat([t.assign(seed=s) for s, t in tables.items()], ignore_index=True)
    split = observations(tables, split_seed=seed).table["split"]
    # The simulated scale itself is kept: z-scores per run would blur what is to be recovered.
    table = table.assign(split=split)[["seed", "step", "split", "l1", "l2", "trace"]]
    return Observations(table, ("l1", "l2", "trace")), np.concatenate(phases)


@pytest.fixture(scope="module")
def obs() -> Observations:
    return simulated(0)[0]


@pytest.fixture(autouse=True)
def _no_handlers_left():
    """The command line leaves a handler that writes to the test's own standard error."""
    yield
    logging.getLogger("training_maps").handlers.clear()


def assert_same_model(a, b):
    for name in ("startprob_", "transmat_", "means_", "covars_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


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


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"criterion": "dic"}, "criterion: 'dic' is not one of bic, aic, log_likelihood"),
        ({"aggregate": "median"}, "aggregate: 'median' is not one of mean, best"),
        ({"n_states": []}, "no number of states"),
        ({"model": []}, "model: no kind of model to try"),
        ({"model": "linear"}, "model: 'linear' is not one of gaussian, autoregressive"),
    ],
)
def test_bad_selection_settings_are_refused(obs, settings, problem):
    with pytest.raises(InputError, match=problem):
        select_hmm(obs, **{"n_states": [1], **settings})


@pytest.mark.parametrize(
    ("paths", "order"),
    [
        ([[2, 2, 0, 1], [2, 0, 0, 1]], [2, 0, 1]),
        # State 1 is visited by one run only, but early there.
        ([[0, 0, 0, 2, 2], [0, 1, 2, 2, 2]], [0, 1, 2]),
        # Equal first visits (2 in both): the one left earlier comes first.
        ([[1, 1, 0, 0, 0, 1], [1, 1, 2, 2, 1, 1]], [1, 2, 0]),
        # Never visited: last, in their old order.
        ([[3, 3, 1]], [3, 1, 0, 2]),
    ],
)
def test_visiting_order(paths, order):
    result = visiting_order([np.array(path) for path in paths], len(order))
    assert result.tolist() == order


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


@pytest.mark.parametrize("covariance", ["full", "diag", "tied", "spherical"])
def test_npz_round_trip(tmp_path, obs, covariance):
    fitted = fit_hmm(obs, 3, restarts=2, covariance=covariance, covariance_floor=0.002)
    path = tmp_path / "hmm" / "states-3.npz"
    save_fitted(path, fitted, obs)
    loaded = load_fitted(path, obs)
    assert_same_model(loaded.hmm, fitted.hmm)
    assert (loaded.n_states, loaded.restart) == (3, fitted.restart)
    assert loaded.settings["covariance"] == covariance
    assert loaded.settings["covariance_floor"] == loaded.hmm.covariance_floor == 0.002
    x, lengths, _ = obs.sequences()
    with np.load(path, allow_pickle=False) as file:
        plain = hmmlearn.hmm.GaussianHMM(3, str(file["covariance_type"]))
        plain.startprob_, plain.transmat_ = file["startprob"], file["transmat"]
        plain.means_, plain.covars_ = file["means"], file["covars"]
        assert file["metrics"].tolist() == ["l1", "l2", "trace"]
        assert str(file["observations"]) == obs.digest
    assert plain.score(x, lengths) == pytest.approx(fitted.hmm.score(x, lengths), rel=1e-10)
    np.testing.assert_array_equal(plain.predict(x, lengths), loaded.hmm.predict(x, lengths))
    before = path.read_bytes()
    save_fitted(path, fitted, obs)
    assert path.read_bytes() == before


def test_models_of_other_observations_and_broken_files_are_refused(tmp_path, obs):
    path = tmp_path / "states-2.npz"
    fitted = fit_hmm(obs, 2, restarts=1)
    save_fitted(path, fitted, obs)
    other = Observations(obs.table.assign(l1=obs.table["l1"] + 1), obs.metrics)
    with pytest.raises(InputError, match=r"states-2.npz: this model was fitted to other obs"):
        load_fitted(path, other)
    with pytest.raises(InputError, match=r"states-3.npz: the model cannot be read"):
        load_fitted(tmp_path / "states-3.npz", obs)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"not an archive"):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"states-2.npz: is not a model"):
            load_fitted(path, obs)
    np.savez(path, startprob=np.ones(2))
    with pytest.raises(InputError, match=r"states-2.npz: is not a model"):
        load_fitted(path, obs)
    np.savez(path, startprob=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"states-2.npz: is not a model"):
        load_fitted(path, obs)


def run_command(folder, obs, k):
    obs.save(folder / "observations.parquet")
    arguments = ["hmm", "--observations", str(folder / "observations.parquet")]
    arguments += ["--n-states", str(k), "--restarts", "2", "--random-state", "4"]
    arguments += ["--max-iterations", "200", "--tolerance", "0.001", "--covariance", "diag"]
    arguments += ["--covariance-floor", "0.004"]
    outputs = ["--output", str(folder / f"states-{k}.npz")]
    return main([*arguments, *outputs, "--scores", str(folder / f"states-{k}.csv")])


def test_command_and_loading_a_selection(tmp_path, obs, capsys):
    for k in (1, 2, 3, 4):
        assert run_command(tmp_path, obs, k) == 0
    assert "3 states, restart 1 (" in capsys.readouterr().err
    direct = select_hmm(
        obs,
        [4, 3, 2, 1],
        restarts=2,
        random_state=4,
        covariance="diag",
        covariance_floor=0.004,
        max_iterations=200,
        tolerance=1e-3,
    )
    loaded = load_selected(obs, tmp_path, [1, 2, 3, 4])
    assert_same_model(loaded.hmm, direct.hmm)
    pd.testing.assert_frame_equal(loaded.scores, direct.scores, check_exact=True)
    names = ("kind", "n_states", "restart", "criterion", "aggregate", "covariance", "value")
    for name in (*names, "stability", "notes"):
        assert getattr(loaded, name) == getattr(direct, name)
    assert (loaded.n_states, loaded.covariance) == (3, "diag")
    assert loaded.hmm.covariance_floor == 0.004
    of_three = loaded.scores[loaded.scores["n_states"] == 3]
    assert loaded.value == pytest.approx(of_three["bic"].mean())
    best = load_selected(obs, tmp_path, [1, 2, 3, 4], criterion="aic", aggregate="best")
    assert best.value == best.scores["aic"].min()
    assert run_command(tmp_path, obs, 100_000) == 1
    assert "n_states: 100000 states need" in capsys.readouterr().err


def check_map_command(folder, obs, expected):
    """The map stage chooses between the kinds of model in `folder` as `expected` does."""
    obs.save(folder / "observations.parquet")
    arguments = ["map", "--observations", str(folder / "observations.parquet")]
    arguments += ["--models", str(folder), "--n-states", "2-3", "--model", "gaussian"]
    arguments += ["autoregressive", "--selection", str(folder / "model_selection.csv")]
    arguments += ["--stability", str(folder / "stability.json")]
    arguments += ["--output", str(folder / "map.json"), "--state-paths", str(folder / "paths.csv")]
    assert main(arguments) == 0
    written = read_json(folder / "stability.json")
    assert written.pop("made_by")["model"] == ["gaussian", "autoregressive"]
    assert written == json.loads(json.dumps(expected.stability.to_dict()))
    selected = read_json(folder / "map.json")["selected_model"]
    assert (selected["model"], selected["n_states"]) == (expected.kind, expected.n_states)
    scores = read_table(folder / "model_selection.csv", SCORE_COLUMNS)
    pd.testing.assert_frame_equal(scores, expected.scores, check_exact=True)


def test_kinds_of_model_are_chosen_between(tmp_path, obs):
    both = ["gaussian", "autoregressive"]
    direct = select_hmm(obs, [2, 3], restarts=2, model=both)
    assert direct.kind == "gaussian"  # the phases are places, and nothing drifts
    pairs = list(zip(direct.scores["n_states"], direct.scores["model"], strict=True))
    assert pairs[::2] == [(k, name) for k in (2, 3) for name in both]
    for candidate in (Candidate(name, k) for name in both for k in (2, 3)):
        fitted = fit_hmm(obs, candidate.n_states, restarts=2, model=candidate.model)
        stem = file_stem(candidate)
        save_fitted(tmp_path / f"{stem}.npz", fitted, obs)
        write_table(fitted.scores, tmp_path / f"{stem}.csv")
    assert {path.name for path in tmp_path.glob("*-3.npz")} == {
        "states-3.npz", "autoregressive_states-3.npz"
    }  # fmt: skip
    loaded = load_selected(obs, tmp_path, [2, 3], model=both)
    assert_same_model(loaded.hmm, direct.hmm)
    assert (loaded.kind, loaded.n_states) == (direct.kind, direct.n_states)
    assert loaded.stability == direct.stability
    check_map_command(tmp_path, obs, direct)
    alone = load_selected(obs, tmp_path, [2, 3], model="autoregressive")
    assert alone.kind == "autoregressive"
    assert any("a state is a way of moving" in note.text for note in alone.notes)


def drifting(seed=0, n_runs=20, length=60):
    """Runs that walk: each value is the one before it plus a step, faster in the second half."""
    draw = np.random.default_rng(seed)
    rows = []
    for run in range(n_runs):
        pace = np.where(np.arange(length) < draw.integers(20, 40), 0.01, 0.3)[:, None]
        values = np.cumsum(pace * (1 + 0.2 * draw.normal(size=(length, 2))), axis=0)
        table = pd.DataFrame(values, columns=["l1", "l2"]).assign(
            seed=run, step=np.arange(length), split="validation" if run % 5 == 4 else "train"
        )
        rows.append(table)
    return Observations(pd.concat(rows, ignore_index=True), ("l1", "l2"))


def test_drifting_runs_are_autoregressive():
    model = select_hmm(drifting(), [1, 2, 3], restarts=2, model=["gaussian", "autoregressive"])
    assert model.kind == "autoregressive"
    assert model.n_states == 2
    states = np.split(model.hmm.predict(*model.observations.sequences()[:2]), 20)
    assert all((np.diff(path) >= 0).all() and set(path) == {0, 1} for path in states)


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


def test_loading_a_selection_refuses_what_does_not_belong_together(tmp_path, obs):
    for k in (2, 3):
        fitted = fit_hmm(obs, k, restarts=2)
        save_fitted(tmp_path / f"states-{k}.npz", fitted, obs)
        write_table(fitted.scores, tmp_path / f"states-{k}.csv")
    with pytest.raises(InputError, match=r"states-4.csv"):
        load_selected(obs, tmp_path, [2, 3, 4])
    scores = read_table(tmp_path / "states-3.csv")
    likelihood = scores["log_likelihood_validation"]
    others = (
        scores.assign(log_likelihood_validation=likelihood + scores["restart"]),
        scores.assign(log_likelihood_validation=likelihood - 0.01),
        scores.head(1),
    )
    for of_other_fits in others:
        write_table(of_other_fits, tmp_path / "states-3.csv")
        with pytest.raises(InputError, match=r"states-3.npz: holds restart .* of other fits"):
            load_selected(obs, tmp_path, [2, 3])
    bare = replace(fitted, restarts=())
    save_fitted(tmp_path / "states-3.npz", bare, obs)
    write_table(scores, tmp_path / "states-3.csv")
    with pytest.raises(InputError, match=r"states-3.npz: .*make it again"):
        load_selected(obs, tmp_path, [2, 3])
    write_table(scores.assign(n_states=2), tmp_path / "states-3.csv")
    with pytest.raises(InputError, match=r"states-3.csv: expected the scores"):
        load_selected(obs, tmp_path, [2, 3])
    write_table(scores.drop(columns="bic"), tmp_path / "states-3.csv")
    with pytest.raises(InputError, match=r"states-3.csv: has no column bic"):
        load_selected(obs, tmp_path, [2, 3])


def test_importing_stays_light():
    # What a job of the hmm or map stage imports; the packages named take seconds.
    code = """
import json, sys
import training_maps.commands.hmm, training_maps.commands.map
import training_maps.model_selection.select, training_maps.hmm.observations
import training_maps.training_map.map
heavy = ("sklearn", "hmmlearn", "scipy.stats", "torch", "matplotlib")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []

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

from tests.support.known_phases import assert_same_model, simulated
from training_maps.cli import main
from training_maps.hmm.observations import Observations
from training_maps.model_selection.criteria import Candidate
from training_maps.model_selection.fit import fit_hmm
from training_maps.model_selection.fitted import SCORE_COLUMNS, load_fitted, save_fitted
from training_maps.model_selection.select import file_stem, load_selected, select_hmm
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, read_table, write_table


@pytest.fixture(scope="module")
def obs() -> Observations:
    return simulated(0)[0]


@pytest.fixture(autouse=True)
def _no_handlers_left():
    """The command line leaves a handler that writes to the test's own standard error."""
    yield
    logging.getLogger("training_maps").handlers.clear()


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
    with pytest.raises(InputError, match=r"states-2.npz: this model is of other observations"):
        load_fitted(path, other)
    with pytest.raises(InputError, match=r"states-3.npz: the model cannot be read"):
        load_fitted(tmp_path / "states-3.npz", obs)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"not an archive"):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"states-2.npz: is (not a model|empty)"):
            load_fitted(path, obs)
    np.savez(path, startprob=np.ones(2))
    with pytest.raises(InputError, match=r"states-2.npz: is (not a model|empty)"):
        load_fitted(path, obs)
    np.savez(path, startprob=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"states-2.npz: is (not a model|empty)"):
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

"""Models fitted to a half: predictive densities by hand, paths of all runs, files."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from tests.support.hmm_twins import random_autoregression, random_model, random_rows
from tests.support.known_phases import phases
from training_maps.hmm.covariances import COVARIANCES
from training_maps.hmm.observations import Observations
from training_maps.hmm.predictive import DEGREES, foretold, predictive_log_densities
from training_maps.model_selection.criteria import Candidate, all_candidates
from training_maps.model_selection.fit import fit_hmm
from training_maps.model_selection.fitted import SCORE_COLUMNS
from training_maps.reproducibility.halves import observations_of, runs_of
from training_maps.reproducibility.refit import HalfFit, fit_half
from training_maps.structure.field import SHAPES, foretold_by_fields
from training_maps.utils.errors import InputError

CANDIDATES = all_candidates(["gaussian", "autoregressive"], [1, 3])


# More models for the ladder, and one that is a candidate anyway.
BESIDE = (Candidate("autoregressive", 1), Candidate("vector_autoregressive", 2))


def filtered(hmm: Any, run: np.ndarray) -> float:
    """Sum of log p(x_t | x_1..x_t-1) over t = 2..T, checkpoint by checkpoint from the definition.

    States are predicted one step ahead, p(s_t | x_1..x_t-1), and then corrected by the checkpoint.
    """
    densities = np.exp(hmm.log_densities(run))  # (T, K)
    believed = hmm.startprob_ * densities[0]
    believed /= believed.sum()
    total = 0.0
    for density in densities[1:]:
        expected = believed @ hmm.transmat_
        total += np.log(expected @ density)
        believed = expected * density / (expected @ density)
    return total


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("make", [random_model, random_autoregression])
def test_predictive_densities_are_those_of_one_step_ahead(make: Any, kind: str) -> None:
    hmm = make(kind)
    lengths = np.array([9, 5, 1])
    rows = random_rows(lengths, 2)
    runs = np.split(rows, [9, 14])
    found = predictive_log_densities(hmm, rows, lengths, np.inf)
    assert abs(found[2]) < 1e-12
    expected = [filtered(hmm, run) for run in runs]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_one_gaussian_state_foretells_each_checkpoint_alike() -> None:
    obs = phases(1, n_runs=10)
    hmm = fit_hmm(obs, 1, restarts=1).hmm
    x, lengths, _ = obs.sequences()
    run = x[: lengths[0]]
    expected = multivariate_normal(hmm.means_[0], hmm.covars_[0]).logpdf(run[1:]).sum()
    found = predictive_log_densities(hmm, run, lengths[:1], np.inf)
    np.testing.assert_allclose(found, [expected], rtol=1e-9)


@pytest.fixture(scope="module")
def obs() -> Observations:
    return phases(1, n_runs=20)


@pytest.fixture(scope="module")
def half(obs: Observations) -> HalfFit:
    return fit_half(
        obs,
        3,
        CANDIDATES,
        validation_share=0.4,
        random_state=4,
        beside=BESIDE,
        restarts=2,
        covariance_floor=0.002,
    )


@pytest.fixture(scope="module")
def own(obs: Observations) -> Observations:
    """The observations of the half."""
    return observations_of(obs, runs_of(obs.seeds, 3, 4), 0.4, [4, 3, 1])


def test_a_half_has_every_candidate_s_scores_paths_and_densities(
    obs: Observations, own: Observations, half: HalfFit
) -> None:
    assert half.candidates == (*CANDIDATES, BESIDE[1])
    assert half.scheme == "halves"
    assert half.reason is None
    assert half.seeds[half.inside].tolist() == runs_of(obs.seeds, 3, 4)
    assert len(own.sequences("validation")[2]) == 4
    x, lengths, _ = obs.sequences()
    seen = own.sequences("train")[:2]
    for i, candidate in enumerate(half.candidates):
        fitted = fit_hmm(
            own,
            candidate.n_states,
            model=candidate.model,
            random_state=4,
            restarts=2,
            covariance_floor=0.002,
        )
        rows = half.scores[
            (half.scores["model"] == candidate.model)
            & (half.scores["n_states"] == candidate.n_states)
        ].reset_index(drop=True)
        if candidate in CANDIDATES:
            pd.testing.assert_frame_equal(rows, fitted.scores, check_exact=True)
        else:  # it is not chosen from
            assert rows.empty
        # The same states as the kept restart's, under numbers in visiting order.
        theirs, path = fitted.hmm.predict(x, lengths), half.path_of(candidate)
        assert len(set(zip(theirs, path, strict=True))) == len(set(theirs)) == len(set(path))
        first = [[int((run == k).argmax()) for run in np.split(path, lengths.cumsum()[:-1])]
                 for k in range(len(set(path)))]  # fmt: skip
        assert np.mean(first, axis=1).tolist() == sorted(np.mean(first, axis=1))
        # Degrees of freedom that make the half's own training runs likeliest foretell all runs.
        likelihood = [predictive_log_densities(fitted.hmm, *seen, v).sum() for v in DEGREES]
        degrees = DEGREES[int(np.argmax(likelihood))]
        expected = predictive_log_densities(fitted.hmm, x, lengths, degrees)
        np.testing.assert_allclose(half.predictive[i], expected, rtol=1e-12)
        if np.isinf(degrees):
            by_hand = [filtered(fitted.hmm, run) for run in np.split(x, lengths.cumsum()[:-1])]
            np.testing.assert_allclose(half.predictive[i], by_hand, rtol=1e-9)


def test_models_beside_the_candidates_leave_these_as_they_are(
    obs: Observations, half: HalfFit
) -> None:
    alone = fit_half(
        obs,
        3,
        CANDIDATES,
        validation_share=0.4,
        random_state=4,
        restarts=2,
        covariance_floor=0.002,
    )
    assert alone.candidates == tuple(CANDIDATES)
    n = len(CANDIDATES)
    np.testing.assert_array_equal(alone.paths, half.paths[:n])
    np.testing.assert_array_equal(alone.predictive, half.predictive[:n])
    pd.testing.assert_frame_equal(alone.scores, half.scores, check_exact=True)


def test_models_without_states_see_the_half_and_tell_of_all_runs(
    obs: Observations, own: Observations, half: HalfFit
) -> None:
    expected = foretold_by_fields(own, obs, 0.002)
    assert list(half.others) == list(expected) == list(SHAPES)
    for name, density in half.others.items():
        assert density.shape == (20,)
        np.testing.assert_array_equal(density, expected[name])


def test_a_half_is_split_again_half_as_often_and_its_fits_are_counted(
    obs: Observations, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="training_maps"):
        found = fit_half(
            obs, 0, CANDIDATES[:1], validation_share=0.4, restarts=1, resplits=5, beside=BESIDE[:1]
        )
    assert sorted(found.scores["split"]) == [0, 1, 2]
    counted = re.findall(r"\(refit 0, fit (\d of \d)", caplog.text)
    assert counted == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]


@pytest.fixture(scope="module")
def few() -> Observations:
    return phases(1, n_runs=12)


def test_a_fold_judges_and_holds_no_run_out(few: Observations) -> None:
    told = {"validation_share": 0.4, "restarts": 1, "random_state": 4}
    fold = fit_half(few, 3, CANDIDATES, beside=BESIDE, resplits=4, **told)
    assert fold.scheme == "folds"
    inside = runs_of(few.seeds, 3, 4)
    assert fold.seeds[fold.inside].tolist() == inside
    assert len(inside) == 10
    own = observations_of(few, inside, 0.0, [0])
    assert own.sequences("train")[2] == inside
    assert fold.candidates == (*CANDIDATES, BESIDE[1])
    assert list(fold.others) == list(SHAPES)
    for name, density in foretold_by_fields(own, few, 0.001).items():
        np.testing.assert_array_equal(fold.others[name], density)
    # Three times the restarts of a half.
    hmm = fit_hmm(own, 3, model="autoregressive", restarts=3, random_state=4).hmm
    expected = foretold(hmm, own.sequences("train")[:2], few.sequences()[:2])
    at = fold.candidates.index(Candidate("autoregressive", 3))
    np.testing.assert_array_equal(fold.predictive[at], expected)


def test_halves_beside_folds_do_not_judge(few: Observations) -> None:
    told = {"validation_share": 0.4, "restarts": 1, "random_state": 4}
    half = fit_half(few, 7, CANDIDATES, beside=BESIDE, **told)
    assert half.scheme == "halves"
    assert half.inside.sum() == 6
    assert half.candidates == tuple(CANDIDATES)
    assert half.others == {}


def test_what_is_not_fitted_has_no_path(half: HalfFit) -> None:
    with pytest.raises(KeyError):
        half.path_of(Candidate("gaussian", 2))


def same(a: HalfFit, b: HalfFit) -> None:
    for field in dataclasses.fields(HalfFit):
        one, two = getattr(a, field.name), getattr(b, field.name)
        if field.name == "scores":
            pd.testing.assert_frame_equal(one, two, check_exact=True, check_dtype=len(one) > 0)
        elif field.name == "others":
            assert one.keys() == two.keys()
            for name in one:
                np.testing.assert_array_equal(one[name], two[name])
        else:
            np.testing.assert_array_equal(one, two)


def test_a_half_is_read_back_as_it_was_written(
    obs: Observations, half: HalfFit, tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "half-3.npz"
    half.save(path, obs, {"restarts": 2})
    same(HalfFit.load(path, obs), half)
    assert [file.name for file in path.parent.iterdir()] == ["half-3.npz"]


@pytest.mark.parametrize(("n_runs", "number"), [(1, 0), (4, 4), (9, 17)])
def test_a_half_of_too_few_runs_is_empty_and_says_why(
    n_runs: int, number: int, tmp_path: Path
) -> None:
    obs = phases(1, n_runs=n_runs)
    empty = fit_half(obs, number, CANDIDATES, validation_share=0.2)
    assert empty.candidates == ()
    assert empty.others == {}
    assert f"{n_runs} runs are too few" in str(empty.reason)
    assert empty.paths.shape == (0, len(obs.table))
    empty.save(tmp_path / "half.npz", obs, {})
    same(HalfFit.load(tmp_path / "half.npz", obs), empty)


def test_more_states_than_checkpoints_are_left_out() -> None:
    table = pd.DataFrame({"seed": np.repeat(range(3), 2), "step": [0, 1] * 3, "split": "train"})
    obs = Observations(table.assign(l1=[-1.0, 1.0] * 3), ("l1",))
    few = fit_half(obs, 0, all_candidates("gaussian", [2, 3]), validation_share=0, restarts=1)
    assert few.candidates == (Candidate("gaussian", 2),)
    none = fit_half(obs, 0, all_candidates("gaussian", [3]), validation_share=0, restarts=1)
    assert none.candidates == ()
    assert "only 2 different checkpoints" in str(none.reason)


def test_a_half_of_other_observations_or_broken_is_refused(
    obs: Observations, half: HalfFit, tmp_path: Path
) -> None:
    path = tmp_path / "half-3.npz"
    half.save(path, obs, {})
    with pytest.raises(InputError, match="of other observations"):
        HalfFit.load(path, phases(2, n_runs=20))
    with np.load(path) as file:
        saved = dict(file)
    for changes, problem in (
        ({"paths": saved["paths"][:, 1:]}, "paths has shape"),
        ({"predictive": saved["predictive"][1:]}, "predictive has shape"),
        ({"scheme": None}, "scheme"),
        ({"scheme": np.array("thirds")}, "scheme is 'thirds'"),
        ({"scores_bic": None}, "scores_bic"),
    ):
        changed = {name: array for name, array in (saved | changes).items() if array is not None}
        np.savez(path, **changed)
        with pytest.raises(InputError, match=problem):
            HalfFit.load(path, obs)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not a half of"):
        HalfFit.load(path, obs)
    with pytest.raises(InputError, match="cannot be read"):
        HalfFit.load(tmp_path / "missing.npz", obs)


def test_scores_are_typed_as_they_were(obs: Observations, half: HalfFit, tmp_path: Path) -> None:
    half.save(tmp_path / "half.npz", obs, {})
    scores = HalfFit.load(tmp_path / "half.npz", obs).scores
    assert list(scores) == list(SCORE_COLUMNS)
    assert scores["converged"].dtype == bool
    assert pd.api.types.is_integer_dtype(scores["restart"])
    assert pd.api.types.is_float_dtype(scores["bic"])

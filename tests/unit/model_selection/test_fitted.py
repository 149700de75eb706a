"""Files of models: what is written is read back, for Gaussian and autoregressive states."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.support.hmm_twins import random_autoregression, random_model, random_rows
from training_maps.hmm.covariances import COVARIANCES
from training_maps.hmm.observations import Observations
from training_maps.model_selection.fitted import SCORE_COLUMNS, FittedHMM, load_fitted, save_fitted
from training_maps.utils.errors import InputError

LENGTHS = np.array([12, 12])


@pytest.fixture
def obs():
    table = pd.DataFrame(random_rows(LENGTHS, 2), columns=["l1", "l2"])
    table.insert(0, "seed", [0] * 12 + [1] * 12)
    table.insert(1, "step", [*range(12)] * 2)
    table.insert(2, "split", "train")
    return Observations(table, ("l1", "l2"))


def fitted(hmm):
    return FittedHMM(hmm, hmm.n_components, 1, pd.DataFrame(columns=list(SCORE_COLUMNS)), {"a": 1})


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("make", [random_model, random_autoregression])
def test_a_model_is_read_back_as_it_was_written(tmp_path, obs, make, kind):
    hmm = make(kind, covariance_floor=0.01)
    save_fitted(tmp_path / "states-3.npz", fitted(hmm), obs)
    loaded = load_fitted(tmp_path / "states-3.npz", obs)
    assert type(loaded.hmm) is type(hmm)
    assert (loaded.n_states, loaded.restart) == (3, 1)
    assert (loaded.hmm.covariance_type, loaded.hmm.covariance_floor) == (kind, 0.01)
    for name, values in hmm.arrays().items():
        np.testing.assert_array_equal(loaded.hmm.arrays()[name], values)
    x, lengths, _ = obs.sequences()
    assert loaded.hmm.score(x, lengths) == hmm.score(x, lengths)
    assert loaded.hmm.n_parameters() == hmm.n_parameters()


def test_full_dynamics_and_the_ridge_are_read_back(tmp_path, obs):
    hmm = random_autoregression("full", dynamics="full", ridge=0.5)
    save_fitted(tmp_path / "states-3.npz", fitted(hmm), obs)
    loaded = load_fitted(tmp_path / "states-3.npz", obs).hmm
    assert (loaded.dynamics, loaded.ridge) == ("full", 0.5)
    np.testing.assert_array_equal(loaded.coefficients_, hmm.coefficients_)


def test_stays_are_read_back_and_a_file_from_before_has_none(tmp_path, obs):
    path = tmp_path / "states-3.npz"
    hmm = random_autoregression("full", minimum_stay=3, stay_prior=5)
    save_fitted(path, fitted(hmm), obs)
    loaded = load_fitted(path, obs).hmm
    assert (loaded.minimum_stay, loaded.stay_prior) == (3, 5)
    x, lengths, _ = obs.sequences()
    assert loaded.predict(x, lengths).tolist() == hmm.predict(x, lengths).tolist()
    with np.load(path) as file:
        before = {name: file[name] for name in file.files if "stay" not in name}
    np.savez(path, **before)
    assert load_fitted(path, obs).hmm.minimum_stay == 1


def test_a_file_of_another_model_or_with_less_in_it_is_refused(tmp_path, obs):
    path = tmp_path / "states-3.npz"
    save_fitted(path, fitted(random_autoregression("full")), obs)
    with np.load(path) as file:
        saved = dict(file)
    for changes, problem in (
        ({"model": np.array("banded")}, "there is no model banded"),
        ({"coefficients": None}, "coefficients"),
        ({"first_variance": np.zeros(2)}, "first_variance_ must be positive"),
    ):
        kept = {name: values for name, values in {**saved, **changes}.items() if values is not None}
        np.savez(path, **kept)
        with pytest.raises(InputError, match=f"is not a model of 'training-maps hmm'.*{problem}"):
            load_fitted(path, obs)

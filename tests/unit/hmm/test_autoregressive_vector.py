"""Vector autoregressive states: metrics that pull each other along are found, and kept in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.hmm_twins import random_autoregression, random_rows, simulate_autoregression
from training_maps.hmm.autoregressive import AutoregressiveHMM, VectorAutoregressiveHMM
from training_maps.hmm.observations import Observations
from training_maps.model_selection.criteria import Candidate
from training_maps.model_selection.fit import fit_hmm
from training_maps.model_selection.fitted import load_fitted, save_fitted
from training_maps.model_selection.select import file_stem

# In the first state the metrics circle each other; in the second they calm down, each by itself.
CIRCLING = 0.9 * np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
CALMING = np.diag([0.5, 0.3])


@pytest.fixture(scope="module")
def planted() -> tuple[Observations, np.ndarray]:
    """Observations of 16 runs of 60 checkpoints, and their states."""
    truth = AutoregressiveHMM.from_parameters(
        startprob=np.array([1.0, 0.0]),
        transmat=np.array([[0.95, 0.05], [0.05, 0.95]]),
        means=np.zeros((2, 2)),
        covars=np.tile(0.04 * np.eye(2), (2, 1, 1)),
        intercepts=np.array([[0.0, 0.0], [0.6, -0.6]]),
        coefficients=np.stack([CIRCLING, CALMING]),
        first_mean=np.array([2.0, 0.0]),
        first_variance=np.full(2, 0.1),
        dynamics="full",
    )
    rows, lengths, path = simulate_autoregression(truth, 16, 60)
    table = pd.DataFrame(rows, columns=["l1", "l2"])
    table.insert(0, "seed", np.repeat(np.arange(16), lengths))
    table.insert(1, "step", np.tile(np.arange(60), 16))
    table.insert(2, "split", np.where(table["seed"] < 12, "train", "validation"))
    return Observations(table, ("l1", "l2")), path


def test_a_planted_vector_autoregression_is_found(planted: tuple[Observations, np.ndarray]) -> None:
    obs, path = planted
    found = fit_hmm(obs, 2, model="vector_autoregressive", restarts=3, covariance_floor=1e-4)
    hmm = found.hmm
    assert isinstance(hmm, VectorAutoregressiveHMM)
    assert hmm.name == "vector_autoregressive"
    assert set(found.scores["model"]) == {"vector_autoregressive"}
    x, lengths, _ = obs.sequences()
    circling = int(np.argmax(np.abs(hmm.coefficients_[:, 1, 0])))
    states = hmm.predict(x, lengths)
    assert np.mean((states != circling) == path) > 0.95
    np.testing.assert_allclose(hmm.coefficients_[circling], CIRCLING, atol=0.06)
    np.testing.assert_allclose(hmm.coefficients_[1 - circling], CALMING, atol=0.1)
    # States whose metrics go each by itself miss it.
    own = fit_hmm(obs, 2, model="autoregressive", restarts=3, covariance_floor=1e-4).hmm
    assert not np.any(own.coefficients_ * (1 - np.eye(2)))
    gain = hmm.score(x, lengths) - own.score(x, lengths)
    assert gain > 10 * (hmm.n_parameters() - own.n_parameters()) * np.log(len(x))


def test_it_is_the_autoregressive_model_with_full_dynamics() -> None:
    truth = random_autoregression("full", 2, 3, seed=3, dynamics="full")
    x, lengths, _ = simulate_autoregression(truth, 6, 40)
    own = VectorAutoregressiveHMM(2, "full", random_state=0).fit(x, lengths)
    same = AutoregressiveHMM(2, "full", dynamics="full", random_state=0).fit(x, lengths)
    for name, values in own.arrays().items():
        np.testing.assert_array_equal(values, same.arrays()[name])
    assert own.n_parameters() == same.n_parameters()
    # d^2 coefficients a state, where the model that it is a kind of has d.
    plain = AutoregressiveHMM(2, "full", random_state=0).fit(x, lengths)
    assert own.n_parameters() - plain.n_parameters() == 2 * (9 - 3)


def test_it_is_read_back_as_what_it_was(tmp_path: Path) -> None:
    truth = random_autoregression("full", dynamics="full")
    hmm = VectorAutoregressiveHMM.from_parameters(**truth.arrays(), ridge=0.5)
    assert type(hmm) is VectorAutoregressiveHMM
    table = pd.DataFrame(random_rows([12], 2), columns=["l1", "l2"])
    table = table.assign(seed=0, step=range(12), split="train")
    obs = Observations(table[["seed", "step", "split", "l1", "l2"]], ("l1", "l2"))
    fitted = fit_hmm(obs, 2, model="vector_autoregressive", restarts=1)
    save_fitted(tmp_path / "states-2.npz", fitted, obs)
    with np.load(tmp_path / "states-2.npz") as file:
        assert str(file["model"]) == "vector_autoregressive"
        assert str(file["dynamics"]) == "full"
    loaded = load_fitted(tmp_path / "states-2.npz", obs)
    assert type(loaded.hmm) is VectorAutoregressiveHMM
    assert loaded.hmm.name == "vector_autoregressive"
    for name, values in fitted.hmm.arrays().items():
        np.testing.assert_array_equal(loaded.hmm.arrays()[name], values)
    x, lengths, _ = obs.sequences()
    assert loaded.hmm.score(x, lengths) == fitted.hmm.score(x, lengths)


def test_its_files_have_its_name() -> None:
    assert file_stem(Candidate("vector_autoregressive", 3)) == "vector_autoregressive_states-3"
    assert file_stem(Candidate("gaussian", 3)) == "states-3"

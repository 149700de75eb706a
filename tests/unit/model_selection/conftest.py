"""Fits that several tests look at; nothing changes them."""

import pytest

from tests.support.known_phases import phases
from training_maps.model_selection.criteria import Candidate
from training_maps.model_selection.fit import fit_hmm


@pytest.fixture(scope="session")
def three_phases():
    """Fifteen runs through three phases far apart."""
    return phases(1, n_runs=15)


@pytest.fixture(scope="session")
def fits(three_phases):
    """Fits of one to three states to them, with two further splits each."""
    return {
        Candidate("gaussian", k): fit_hmm(three_phases, k, restarts=3, resplits=2)
        for k in (1, 2, 3)
    }

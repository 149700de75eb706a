"""Results whose figures the tests draw; nothing changes them."""

from __future__ import annotations

import pytest

from tests.support.simulated_runs import detour, simulate
from tests.support.synthetic_results import write_analysis, write_results
from training_maps.results import ExperimentResults


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    """Twelve runs of five states: forks, ways back, and two runs that never converge."""
    folder = tmp_path_factory.mktemp("forking")
    write_results(folder, n_runs=12, n_states=5, back_edges=True, n_censored=2)
    return ExperimentResults.read(folder)


@pytest.fixture(scope="session")
def detours(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    """Half the runs go 0-1-2 and are late, the others 0-2."""
    folder = tmp_path_factory.mktemp("detour")
    write_analysis(folder, *simulate(detour, 20, 1))
    return ExperimentResults.read(folder)


@pytest.fixture(scope="session")
def logged(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    """Twenty runs of four states, three of which never converge."""
    folder = tmp_path_factory.mktemp("logged")
    write_results(folder, n_runs=20, n_states=4, n_censored=3)
    return ExperimentResults.read(folder)

"""Delays in sentences: in epochs or steps where that is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.support.simulated_runs import short_cut, simulate
from tests.support.synthetic_results import write_analysis
from training_maps.report.delays import delay_sentence, delay_sizes, what_delays
from training_maps.report.summary import summarise
from training_maps.results import ExperimentResults


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    folder = tmp_path_factory.mktemp("short_cut")
    return ExperimentResults.read(write_analysis(folder, *simulate(short_cut, 40, 1)))


def test_the_size_is_that_of_the_table_in_epochs_or_steps(results: ExperimentResults) -> None:
    row = results.delays.set_index("state").loc[2]
    (size,) = delay_sizes(results, [2])
    assert size["unit"] == "epochs"
    assert size["delay"] == pytest.approx(100 * row["delay"])  # 100 epochs a run
    steps = results.convergence.assign(epoch=np.nan)
    (size,) = delay_sizes(dataclasses.replace(results, convergence=steps), [2])
    assert (size["unit"], size["interval_low"]) == (
        "steps",
        pytest.approx(1000 * row["interval_low"]),
    )
    none = results.convergence.iloc[:0]
    (size,) = delay_sizes(dataclasses.replace(results, convergence=none), [2])
    assert (size["unit"], size["delay"]) == ("of the run", row["delay"])
    assert "%" in delay_sentence(size).split("(")[0]


def test_the_slow_branch_is_a_delay_and_the_fast_one_is_a_detour_of_the_paper_only(
    results: ExperimentResults,
) -> None:
    summary = summarise(results)
    assert summary["detour_states"] == [1, 2]
    assert summary["delays"] == [2]
    (sentence,) = what_delays(summary)
    assert sentence == delay_sentence(summary["delay_sizes"][0])
    assert sentence.startswith("Runs that pass through state 2 converge later")


def test_nothing_is_said_where_the_outcome_is_not_known(results: ExperimentResults) -> None:
    assert what_delays({"outcome": None, "delays": []}) == []
    summary = {"outcome": {"is_time": True}, "delays": [4]}
    assert what_delays(summary) == [
        "Runs that pass through state 4 converge later than the average run."
    ]

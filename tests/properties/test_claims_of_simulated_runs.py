"""From tables to the summary: drift is no phases, a stark fork is found, a short cut delays nobody.

One small set of runs of each kind, by the recommended settings but for fewer fits.
`benchmarks/bench_claims.py` has many sets, and the rates of all claims.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.claims import Answers, judge
from tests.support.simulated_training import KINDS
from tests.support.whole_path import analyse, settings_of

N_RUNS, N_CHECKPOINTS, SEED = 16, 60, 1
FEW_FITS = {
    "hmm": {"n_states": "1-5"},
    "reproducibility": {"halves": 2, "restarts": 2},
}


def answered(kind: str, folder: Path) -> tuple[Answers, dict[str, bool]]:
    """What is found of a set of runs, and which claims are made."""
    runs = KINDS[kind](N_RUNS, SEED, n_checkpoints=N_CHECKPOINTS)
    answers = Answers.of(analyse(runs, folder, settings_of("recommended", **FEW_FITS)))
    return answers, judge(answers, runs.truth)


def test_drift_is_not_called_phases(tmp_path):
    answers, made = answered("drift_white", tmp_path)
    assert answers.structure["verdict"] == "drift"
    # The map has slices of the drift all the same, and halves do not agree on them.
    assert not made["a wrong number of states is stable"]
    for wrong in ("a fork that is not there is drawn", "delay of others"):
        assert not made[wrong]


def test_a_stark_fork_is_found(tmp_path):
    answers, made = answered("stark_fork", tmp_path)
    assert answers.structure["verdict"] == "phases"
    assert made["the map has the states that there are"]
    assert made["the true fork is found again"]
    assert not made["a fork that is not there is drawn"]
    # Its branches take equally long.
    assert not made["a branch foretells convergence, and does not"]
    assert answers.summary["delays"] == []


def test_a_short_cut_is_not_called_a_delay(tmp_path):
    _, made = answered("short_cut", tmp_path)
    assert made["the true fork is drawn"]
    assert not made["delay of a short cut"]


@pytest.mark.parametrize("method", ["paper", "recommended"])
def test_settings_are_those_of_the_method(method):
    settings = settings_of(method, hmm={"restarts": 1})
    kinds = settings["hmm"]["model"]
    assert settings["hmm"]["restarts"] == 1
    assert (kinds == "gaussian") == (method == "paper")
    assert settings["observations"]["scale"] == {"paper": "run", "recommended": "pooled"}[method]

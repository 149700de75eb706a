"""A placed run in words: where it is, whether it leaves the map, what is expected of it."""

import dataclasses
import json

import numpy as np
import pytest

from tests.support.placed_runs import log_of, metrics_of, small_reference
from training_maps.placing import sentences
from training_maps.placing.place import NewRun, place_run


def placed(converging=150.0, until=None, log=True, **changes):
    table = metrics_of(converging, np.random.default_rng([9, 7]))
    for column, (row, more) in changes.items():
        table.loc[row:, column] += more
    return place_run(
        small_reference(),
        NewRun("run 7", table.iloc[:until], log_of(converging) if log else None),
    )


def test_the_line_says_where_it_is_now():
    one = placed(until=9)
    line = sentences.line(small_reference(), one)
    now = one.table.iloc[-1]
    assert line.startswith(f"run 7: step 80 (28% of the map's), state {now['state']} (")
    assert f"percentile {now['percentile']:.0f}" in line
    assert "convergence time expected at step " in line
    assert line.endswith("no warning")


def test_it_says_when_it_converged():
    assert "converged at step " in sentences.line(small_reference(), placed())


def test_without_a_log_it_says_that_it_is_by_the_metrics():
    text = sentences.line(small_reference(), placed(100.0, log=False))
    assert "converged at about step " in text
    assert "by its metrics" in text


def test_a_warning_says_since_when_and_by_what():
    one = placed(var_w=(12, 0.6))
    assert "WARNING since step 120" in sentences.line(small_reference(), one)
    text = sentences.warning_sentence(small_reference(), one)
    assert text.startswith("From step 120 on it leaves what the map's 24 runs do: ")
    assert "above all in var_w" in text
    assert "another network" not in text
    assert "Gaussian" not in text


def test_another_network_is_thought_of_where_the_first_checkpoint_is_odd():
    text = sentences.warning_sentence(small_reference(), placed(l1=(0, 400.0)))
    assert "another network" in text


def test_a_limit_that_is_extrapolated_is_called_so():
    reference = small_reference()
    usual = dataclasses.replace(reference.usual, by_rank=False)
    few = dataclasses.replace(reference, usual=usual)
    assert "rests on" in sentences.warning_sentence(few, placed(var_w=(12, 0.6)))


def test_no_warning_is_said_with_its_rate():
    text = sentences.warning_sentence(small_reference(), placed())
    assert "no warning" in text
    assert "5%" in text


def test_slow_runs():
    reference = small_reference()
    slow, fast = placed(215.0), placed(100.0)
    assert sentences.slow_sentence(reference, slow).startswith("Since step ")
    assert "not told" in sentences.slow_sentence(reference, fast)
    assert sentences.slow_sentence(dataclasses.replace(reference, forecast=None), slow) == ""


def test_an_outcome_that_is_open_too_long():
    one = placed(215.0)
    one.table.loc[5, "predicted"] = np.nan
    assert "later than most" in sentences.outcome_sentence(small_reference(), one, 5)


@pytest.mark.parametrize("until", [3, None])
def test_json_has_it_all_and_no_number_that_is_none(until):
    data = sentences.to_dict(small_reference(), placed(until=until, var_w=(12, 0.6)))
    json.dumps(data, allow_nan=False)
    assert data["path"][0] == {"state": 0, "step": 0}
    assert data["limit"] == {"share": 0.05, "by_rank": True, "runs": 24}
    assert data["outcome"]["level"] == 0.9
    assert (data["warning"] is None) == (until == 3)
    assert len(data["probabilities"]) == 3
    assert [text for text in data["sentences"] if not text] == []


def test_json_without_outcome():
    reference = dataclasses.replace(small_reference(), forecast=None)
    table = metrics_of(150, np.random.default_rng(0))
    data = sentences.to_dict(reference, place_run(reference, NewRun("run", table)))
    assert data["outcome"] is None

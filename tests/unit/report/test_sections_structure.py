"""Whether there are states at all, in the report and its summary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.synthetic_results import write_results
from training_maps.report.headline import headline
from training_maps.report.page import render_report
from training_maps.report.sections import structure_block
from training_maps.report.summary import structure_sentences, summarise
from training_maps.results import ExperimentResults
from training_maps.structure.ladder import Member, judge
from training_maps.structure.sentences import verdict_sentence
from training_maps.training_map.noise import noise_notes

CHOICE = {"model": "gaussian", "n_states": 3, "agreement": 0.956, "worst": 0.9, "found_again": True}


def structure(gain: float) -> dict[str, Any]:
    """A ladder on which autoregressive states gain so much over a field, and Gaussian ones less."""
    draw = np.random.default_rng(0)
    levels = {
        Member("one_state", "vector_autoregressive", 1): -3.0,
        Member("field", "field_wide", None): 0.0,
        Member("autoregressive", "autoregressive", 4): gain,
        Member("gaussian", "gaussian", 2): gain - 9.0,
    }
    rates = {m: level + 0.1 * draw.normal(size=(2, 12)) for m, level in levels.items()}
    found = judge(rates).to_dict()
    return {**found, "sentence": verdict_sentence(found), "choice": CHOICE}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, 6, 3)
    return ExperimentResults.read(folder)


@pytest.mark.parametrize(("gain", "verdict"), [(2.0, "phases"), (-2.0, "drift")])
def test_the_ladder_has_a_row_a_rung(results: ExperimentResults, gain: float, verdict: str) -> None:
    found = replace(results, structure=structure(gain))
    block = structure_block(found)
    assert block["sentence"] == found.structure["sentence"]
    assert block["choice"].startswith("Halves of the runs agree on 3 Gaussian states")
    assert [row["model"] for row in block["rows"]] == [
        "vector autoregressive", "of 2 components", "autoregressive", "Gaussian"
    ]  # fmt: skip
    assert [row["n_states"] for row in block["rows"]] == [1, None, 4, 2]
    for row, rung in zip(block["rows"], found.structure["rungs"].values(), strict=True):
        assert row["mean"] == rung["mean"]
        assert row["interval"] == f"{rung['low']:.2f} to {rung['high']:.2f}".replace("-", "−")
    summary = summarise(found)
    assert summary["structure"] == verdict
    assert summary["structure_sentences"] == structure_sentences(found)
    assert structure_sentences(found)[0] == found.structure["sentence"]


def test_the_page_has_its_section(results: ExperimentResults) -> None:
    html = render_report(replace(results, structure=structure(2.0)))
    assert html.count('<section id="structure">') == 1
    assert "Are there states at all?" in html
    assert "Training has phases" in html


@pytest.mark.parametrize("found", [{}, {**structure(2.0), "verdict": None}])
def test_without_a_verdict_there_is_no_section(
    results: ExperimentResults, found: dict[str, Any]
) -> None:
    assert structure_block(replace(results, structure=found)) == {}
    assert summarise(replace(results, structure={}))["structure"] is None
    assert structure_sentences(replace(results, structure={})) == []


def test_what_was_found_before_is_passed_over_where_halves_are_no_longer_asked_for(
    results: ExperimentResults,
) -> None:
    found = replace(results, structure=structure(2.0))
    sentence = found.structure["sentence"]
    for halves, told in ((5, True), (0, False)):
        html = render_report(found, settings={"reproducibility": {"halves": halves}})
        assert ('<section id="structure">' in html) == told
        assert (sentence in html) == told  # neither in the headline
    nothing = found.without_halves()
    assert structure_block(nothing) == {}
    assert summarise(nothing)["structure"] is None
    assert summarise(nothing)["reproducibility"]["states"] is None
    assert nothing.rarely_found == frozenset()


@pytest.mark.parametrize(("high", "judged"), [(1.0, False), (-0.1, True)])
def test_a_verdict_that_is_not_sure_has_a_question_mark(
    results: ExperimentResults, high: float, judged: bool
) -> None:
    found = structure(-0.5)
    found["gains"]["autoregressive"] |= {"low": -2.0, "high": high}
    told = replace(results, structure=found)
    assert summarise(told)["structure_is_judged"] is judged
    assert summarise(told)["structure"] == "drift"


@pytest.mark.parametrize(("gain", "said"), [(2.0, "runs better"), (-2.0, "runs worse")])
def test_states_that_differ_in_noise_alone_are_drift(
    results: ExperimentResults, gain: float, said: str
) -> None:
    states = results.training_map["states"]
    alone = [{**state, "noise_of": 0 if i else None} for i, state in enumerate(states)]
    notes = [note.to_dict() for note in noise_notes(dict.fromkeys(range(1, len(states)), 0))]
    of_map = {**results.training_map, "states": alone, "notes": notes}
    found = replace(results, structure=structure(gain), training_map=of_map)
    summary = summarise(found)
    assert summary["structure"] == "drift"
    (sentence,) = structure_sentences(found)
    assert sentence.startswith("Training drifts, and its noise changes")
    assert said in sentence
    assert structure_block(found)["sentence"] == sentence
    # It is said once, and one state that differs in more keeps the verdict.
    told = headline(summary, significant=True)
    assert told[0] == sentence
    assert not any("no phase" in line for line in told)
    some = {**of_map, "states": [*alone[:-1], {**alone[-1], "noise_of": None}]}
    kept = replace(found, training_map=some)
    assert summarise(kept)["structure"] == found.structure["verdict"]
    assert structure_sentences(kept)[0] == found.structure["sentence"]


def test_too_few_runs_to_tell_are_not_told_of_noise(results: ExperimentResults) -> None:
    few = {**structure(-0.5), "scheme": "leave_one_out"}
    few["gains"]["autoregressive"] |= {"low": -2.0, "high": 1.0}
    states = [
        {**s, "noise_of": 0 if i else None} for i, s in enumerate(results.training_map["states"])
    ]
    found = replace(results, structure=few, training_map={**results.training_map, "states": states})
    assert structure_sentences(found)[0] == few["sentence"]

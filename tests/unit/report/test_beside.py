"""Two maps of the same runs on a page: both are there, and how far they agree is told."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from sklearn.metrics import adjusted_rand_score

from tests.support.plain_figures import plain_figures
from tests.support.synthetic_results import write_path_results, write_results
from training_maps.report.beside import agreement_sentence, beside_block
from training_maps.report.page import render_report
from training_maps.results import ExperimentResults
from training_maps.utils.errors import InputError


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    folder = tmp_path_factory.mktemp("one")
    return ExperimentResults.read(write_results(folder / "x", 6, 3, seed=1))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    folder = tmp_path_factory.mktemp("other")
    return ExperimentResults.read(write_results(folder / "x", 6, 4, seed=2))


def test_agreement_is_that_on_the_checkpoints_that_both_have(
    one: ExperimentResults, other: ExperimentResults
) -> None:
    fewer = other.state_paths.query("seed < 4 and step > 100").sample(frac=1, random_state=0)
    sentence = agreement_sentence(one, dataclasses.replace(other, state_paths=fewer))
    both = one.state_paths.merge(fewer, on=["seed", "step"])
    index = adjusted_rand_score(both["state_x"], both["state_y"])
    assert f"Of the {len(both):,} checkpoints that both have" in sentence
    assert f"adjusted Rand index of {index:.2f} " in sentence
    assert "of 4 runs" in sentence


def test_a_map_agrees_with_itself_whatever_its_numbers(one: ExperimentResults) -> None:
    turned = one.state_paths.assign(state=2 - one.state_paths["state"])
    sentence = agreement_sentence(one, dataclasses.replace(one, state_paths=turned))
    assert "index of 1.00" in sentence
    assert "6 of 6 runs take the same route" in sentence


def test_other_runs_are_refused(one: ExperimentResults) -> None:
    elsewhere = one.state_paths.assign(seed=one.state_paths["seed"] + 100)
    with pytest.raises(InputError, match="not of the same runs"):
        agreement_sentence(one, dataclasses.replace(one, state_paths=elsewhere))


def test_titles_tell_the_two_apart(
    tmp_path: Path, one: ExperimentResults, other: ExperimentResults
) -> None:
    def titles(a: ExperimentResults, b: ExperimentResults) -> list[str]:
        with plain_figures():
            return [side["title"] for side in beside_block(a, b, "step")["sides"]]

    assert titles(one, other) == ["3 Gaussian states", "4 Gaussian states"]
    named = dataclasses.replace(other, experiment="theirs")
    assert titles(one, named) == ["synthetic: 3 Gaussian states", "theirs: 4 Gaussian states"]
    alike = titles(one, one)
    assert alike == [f"3 Gaussian states ({one.folder})"] * 2
    given = ExperimentResults.read(write_path_results(tmp_path / "given", 6, 3))
    assert titles(one, given)[1].endswith("3 given states")


def test_the_page_has_both_maps_and_its_script_only_its_own(
    one: ExperimentResults, other: ExperimentResults
) -> None:
    alone = render_report(one, "epoch", {})
    assert 'id="beside"' not in alone
    page = render_report(one, "epoch", {}, beside=other)
    (section,) = re.findall(r'<section id="beside">.*?</section>', page, flags=re.S)
    assert section.count('class="map"') == 2
    assert "Training map of 4 Gaussian states" in section
    assert '<a href="#beside">Two maps of the same runs</a>' in page
    assert 'querySelectorAll("#map svg.map")' in page
    verdict = str(one.structure["sentence"]) if one.structure else ""
    assert verdict.replace("-", "−") in section.replace("-", "−")
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))

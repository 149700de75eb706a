"""From halves to a verdict by command, as the workflow calls them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.known_phases import phases
from training_maps.analysis.reproducibility.structure import structure_of
from training_maps.cli import main
from training_maps.hmm.observations import Observations
from training_maps.model_selection.criteria import Candidate, all_candidates
from training_maps.reproducibility.rates import ON_LADDER
from training_maps.reproducibility.refit import HalfFit
from training_maps.structure.sentences import choice_sentence, verdict_sentence

pytestmark = pytest.mark.usefixtures("restore_logging")
TRIED = ["--n-states", "2,3", "--model", "gaussian"]


@pytest.fixture(scope="module")
def obs() -> Observations:
    return phases(1, n_runs=20, length=24)


@pytest.fixture(scope="module")
def halves(obs: Observations, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the observations and a pair of halves, fitted."""
    folder = tmp_path_factory.mktemp("halves")
    obs.save(folder / "observations.parquet")
    for number in (0, 1):
        words = ["half", "--observations", str(folder / "observations.parquet"), *TRIED]
        words += ["--half", str(number), "--restarts", "1", "--random-state", "3"]
        assert main([*words, "--output", str(folder / f"half-{number}.npz")]) == 0
    return folder


def files(folder: Path) -> list[str]:
    return [str(folder / f"half-{number}.npz") for number in (0, 1)]


def test_a_half_has_what_is_tried_and_what_stands_on_the_ladder(
    obs: Observations, halves: Path
) -> None:
    half = HalfFit.load(files(halves)[0], obs)
    assert half.candidates[:2] == (Candidate("gaussian", 2), Candidate("gaussian", 3))
    assert set(half.candidates) == {*half.candidates[:2], *ON_LADDER}
    assert set(half.scores["n_states"]) == {2, 3}
    assert half.others
    with np.load(files(halves)[0]) as file:
        made_by = json.loads(str(file["made_by"]))
    assert (made_by["restarts"], made_by["random_state"]) == (1, 3)


def test_the_structure_is_written_and_told(
    obs: Observations, halves: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "structure.json"
    words = ["structure", "--halves", *files(halves), *TRIED, "--output", str(output)]
    assert main([*words, "--observations", str(halves / "observations.parquet")]) == 0
    told = capsys.readouterr().err
    found = json.loads(output.read_text())
    made_by = found.pop("made_by")
    assert (made_by["n_states"], made_by["model"]) == ("2,3", ["gaussian"])
    loaded = [HalfFit.load(path, obs) for path in files(halves)]
    assert found == structure_of(loaded, all_candidates("gaussian", [2, 3]))
    assert verdict_sentence(found) in told
    assert choice_sentence(found) in told
    assert found["choice"]["n_states"] == 3


def test_mistakes_are_one_line(
    halves: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "observations.parquet"
    phases(2, n_runs=10, length=24).save(other)
    words = ["structure", "--halves", *files(halves), *TRIED, "--output", str(tmp_path / "s.json")]
    assert main([*words, "--observations", str(other)]) == 1
    assert "of other observations" in capsys.readouterr().err
    words = ["half", "--observations", str(other), *TRIED, "--output", str(tmp_path / "h.npz")]
    assert main([*words, "--half", "-1"]) == 1
    assert "halves are counted from 0" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.json")) + list(tmp_path.glob("*.npz"))


def test_runs_that_are_too_few_are_no_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    obs = phases(1, n_runs=1, length=24)
    obs.save(tmp_path / "observations.parquet")
    given = ["--observations", str(tmp_path / "observations.parquet"), *TRIED]
    half, output = tmp_path / "half-0.npz", tmp_path / "structure.json"
    assert main(["half", *given, "--half", "0", "--output", str(half)]) == 0
    assert "nothing is fitted: 1 runs are too few" in capsys.readouterr().err
    assert main(["structure", *given, "--halves", str(half), "--output", str(output)]) == 0
    found = json.loads(output.read_text())
    assert found["verdict"] is found["choice"] is None
    assert "no run could be held out" in capsys.readouterr().err

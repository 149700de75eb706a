"""The method of an experiment: the paper's or the recommended one, and what is said beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from tests.support.project import ROOT
from training_maps.config.resolve import resolve
from training_maps.config.schema import load_schema
from training_maps.settings.sections import METHODS, KindOfModel
from training_maps.utils.errors import InputError

SCHEMA = load_schema()
KINDS = list(get_args(KindOfModel))
PAPER = ("gaussian", "bic", "run")
RECOMMENDED = (KINDS, "found_again", "pooled")
TRAINED: dict[str, Any] = {"training": {"task": "sparse_parities"}}
EXISTING: dict[str, dict[str, Any]] = {
    "checkpoints": {"checkpoints": {"path": "runs/{seed}/{step}.pt"}, "seeds": "0-11"},
    "hub": {"hub": {"preset": "polypythias", "size": "14m"}, "seeds": "0-3"},
    "metrics": {"tables": {"path": "runs-{seed}.csv"}, "seeds": "0-11"},
}


def method_of(folder: Path, settings: dict[str, Any], **config: Any) -> tuple[Any, Any, Any]:
    """The kinds of model, the criterion and the scale of an experiment."""
    (folder / "x.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    found = resolve({"experiments": ["x"], **config}, folder, SCHEMA).experiments["x"]
    return found["hmm"]["model"], found["hmm"]["criterion"], found["observations"]["scale"]


def test_runs_that_are_trained_here_are_analysed_as_in_the_paper(tmp_path: Path) -> None:
    assert method_of(tmp_path, TRAINED) == PAPER
    assert method_of(tmp_path, {**TRAINED, "method": None}) == PAPER
    assert method_of(tmp_path, {**TRAINED, "source": "training"}) == PAPER


@pytest.mark.parametrize("source", EXISTING)
def test_existing_runs_are_analysed_as_recommended(tmp_path: Path, source: str) -> None:
    existing = {"source": source, **EXISTING[source]}
    assert method_of(tmp_path, existing) == RECOMMENDED
    assert method_of(tmp_path, {**existing, "method": None}) == RECOMMENDED
    assert method_of(tmp_path, {**existing, "method": "paper"}) == PAPER


def test_a_method_that_is_given_is_used_whatever_the_runs(tmp_path: Path) -> None:
    assert method_of(tmp_path, {**TRAINED, "method": "recommended"}) == RECOMMENDED
    # In config.yaml, for all experiments; it has the last word, as for every other key.
    assert method_of(tmp_path, TRAINED, method="recommended") == RECOMMENDED
    assert method_of(tmp_path, {**TRAINED, "method": "recommended"}, method="paper") == PAPER


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"hmm": {"model": "autoregressive"}}, ("autoregressive", "found_again", "pooled")),
        ({"hmm": {"criterion": "aic"}}, (KINDS, "aic", "pooled")),
        ({"observations": {"scale": "run"}}, (KINDS, "found_again", "run")),
        (
            {"hmm": {"model": "gaussian", "criterion": "bic"}, "observations": {"scale": "run"}},
            PAPER,
        ),
        ({"hmm": {"restarts": 3}, "observations": {"split_seed": 2}}, RECOMMENDED),
    ],
)
def test_keys_that_are_given_win_wherever_they_are(
    tmp_path: Path, said: dict[str, Any], expected: tuple[Any, Any, Any]
) -> None:
    recommended = {**TRAINED, "method": "recommended"}
    assert method_of(tmp_path, {**recommended, **said}) == expected
    assert method_of(tmp_path, recommended, **said) == expected
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**TRAINED, **said}), encoding="utf-8")
    assert method_of(tmp_path, {"extends": "base", "method": "recommended"}) == expected


def test_a_method_of_what_is_extended_holds(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**TRAINED, "method": "recommended"}))
    assert method_of(tmp_path, {"extends": "base"}) == RECOMMENDED
    assert method_of(tmp_path, {"extends": "base", "method": "paper"}) == PAPER
    # The runs' source may be what is extended.
    (tmp_path / "base.yaml").write_text(
        yaml.safe_dump({"source": "metrics", **EXISTING["metrics"]})
    )
    assert method_of(tmp_path, {"extends": "base", "source": "metrics"}) == RECOMMENDED


def test_a_method_leaves_no_trace_in_the_next_experiment(tmp_path: Path) -> None:
    before = {name: {k: dict(v) for k, v in said.items()} for name, said in METHODS.items()}
    said = {"hmm": {"model": ["autoregressive"], "criterion": "aic"}}
    method_of(tmp_path, {**TRAINED, "method": "recommended"}, **said)
    assert before == METHODS
    assert method_of(tmp_path, {**TRAINED, "method": "recommended"}) == RECOMMENDED


@pytest.mark.parametrize("wrong", ["papper", "Paper", 3, [], {}, ["paper"], {"a": 1}])
def test_a_method_that_there_is_not_is_refused(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(InputError, match="method: expected one of paper, recommended"):
        method_of(tmp_path, {**TRAINED, "method": wrong})


def test_state_paths_have_no_model_to_choose(tmp_path: Path) -> None:
    settings = {"source": "state_paths", "state_paths": {"path": "paths.csv"}}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    for config in ({}, {"method": "paper"}, {"method": "recommended"}):
        resolve({"experiments": ["x"], **config}, tmp_path, SCHEMA)


def test_the_paper_s_experiments_say_nothing_else_than_the_paper() -> None:
    found = resolve({"experiments": "paper"}, ROOT / "experiments", SCHEMA).experiments
    for settings in found.values():
        assert settings["hmm"]["model"] == "gaussian"
        assert settings["hmm"]["criterion"] == "bic"
        assert settings["observations"]["scale"] == "run"

"""Settings as options of commands, and back: nothing is lost on the way."""

import argparse
import importlib
from typing import Any

import pytest

from training_maps.config.arguments import STAGES, add_options, options_of, read_options
from training_maps.config.experiment import Experiment
from training_maps.config.schema import fill_defaults
from training_maps.settings.fields import fields_schema
from training_maps.utils.errors import InputError

DEFAULTS = fill_defaults({}, fields_schema(Experiment))


def parse(stage: str, words: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, stage)
    return read_options(parser.parse_args(words), stage)


def told(stage: str, settings: dict[str, Any]) -> dict[str, Any]:
    keys = {section: only for section, _, only in STAGES[stage]}
    return {
        key: value
        for section, only in keys.items()
        for key, value in settings[section].items()
        if key in only or (not only and key in parse(stage, []))
    }


@pytest.mark.parametrize("stage", STAGES)
def test_defaults_are_the_same_by_option_and_without(stage):
    without = parse(stage, [])
    by_option = parse(stage, options_of(stage, DEFAULTS))
    assert by_option == without
    assert without == {
        key: [value] if key == "model" else value for key, value in told(stage, DEFAULTS).items()
    }


@pytest.mark.parametrize("stage", STAGES)
def test_every_option_is_one_of_the_stage_s_command(stage):
    """With today's names: `--covariance-floor` for `covariance_floor`."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"training_maps.commands.{stage}").add_arguments(parser)
    known = {option for action in parser._actions for option in action.option_strings}
    words = options_of(stage, DEFAULTS)
    assert {word for word in words if word.startswith("--")} <= known
    assert {f"--{key.replace('_', '-')}" for key in parse(stage, [])} <= known


@pytest.mark.parametrize(
    ("stage", "section", "changes"),
    [
        ("observations", "observations", {"metrics": ["l1", "x y"], "log_columns": []}),
        ("observations", "metrics", {"non_finite": "cut"}),
        ("hmm", "hmm", {"restarts": 7, "tolerance": 1e-05, "covariance": "diag"}),
        ("map", "hmm", {"criterion": "aic"}),
        ("map", "hmm", {"model": ["gaussian", "autoregressive"]}),
        ("semantics", "semantics", {"threshold": -1e-05, "column": "-x", "direction": "below"}),
        ("semantics", "semantics", {"outcome": "table", "table": {"path": "a b", "column": "{x}"}}),
        ("phase_transitions", "phase_transitions", {"chance": 0.1}),
        ("early_warning", "early_warning", {"fractions": [0.05, 1.0]}),
        ("figures", "figures", {"formats": ["png"], "widths": ["column"]}),
    ],
)
def test_what_is_told_arrives_as_it_was(stage, section, changes):
    settings = {**DEFAULTS, section: DEFAULTS[section] | changes}
    assert parse(stage, options_of(stage, settings)) == {**parse(stage, []), **changes}


def test_numbers_of_states_are_written_short():
    settings = {**DEFAULTS, "hmm": DEFAULTS["hmm"] | {"n_states": [1, 2, 3, 7]}}
    words = options_of("map", settings)
    assert words[words.index("--n-states") + 1] == "1-3,7"


def test_a_stage_is_told_only_what_it_depends_on():
    """What it is not told cannot rerun it."""
    for key, value in {"criterion": "aic", "aggregate": "best", "n_states": [1]}.items():
        settings = {**DEFAULTS, "hmm": DEFAULTS["hmm"] | {key: value}}
        assert options_of("hmm", settings) == options_of("hmm", DEFAULTS)
        assert options_of("map", settings) != options_of("map", DEFAULTS)
        if key != "n_states":
            for stage in ("half", "structure"):
                assert options_of(stage, settings) == options_of(stage, DEFAULTS)


@pytest.mark.parametrize(
    ("stage", "words", "message"),
    [
        ("hmm", ["--restarts", "0"], "--restarts must be at least 1, got 0"),
        ("hmm", ["--tolerance", "nan"], "--tolerance must be more than 0, got nan"),
        ("forks", ["--significance=1"], "--significance must be more than 0 and less than 1"),
        ("semantics", ["--threshold=inf"], "--threshold must be a finite number, got inf"),
        ("phase_transitions", ["--window=4"], "--window must be at least 1 and odd, got 4"),
        ("early_warning", ["--fractions", "0.5", "2"], "--fractions must be more than 0 and at"),
    ],
)
def test_values_beyond_their_limits_are_refused(stage, words, message):
    with pytest.raises(InputError, match=message):
        parse(stage, words)


def test_choices_are_refused_as_words_are_read(capsys):
    with pytest.raises(argparse.ArgumentError, match="invalid choice: 'ful'"):
        parse("hmm", ["--covariance", "ful"])

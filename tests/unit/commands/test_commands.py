"""All commands: each explains itself, and says in one line what it was given and cannot use.

What a command computes is tested beside what it calls (`tests/unit/analysis` and so on); those with
more to their command line than options have a file of their own here.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import ROOT
from training_maps import cli

pytestmark = pytest.mark.usefixtures("restore_logging")
# What stands for an option of no file: the command gets as far as what it reads.
WORDS = {
    "seeds": "0-1", "n_states": "2", "task": "nothing", "dataset": "nothing",
    "pattern": "nowhere/seed-{seed}/step-{step}.pt", "variant": "without_l1",
}  # fmt: skip


def parser_of(stage: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(stage)
    importlib.import_module(f"training_maps.commands.{stage}").add_arguments(parser)
    return parser


def required(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """What has to be given: options, places, and the first of each group of which one must be."""
    groups = [group for group in parser._mutually_exclusive_groups if group.required]
    return [action for action in parser._actions if action.required] + [
        group._group_actions[0] for group in groups
    ]


def given(action: argparse.Action, folder: Path) -> list[str]:
    """The option with a value of its kind; all files are missing."""
    value: Any = folder / "missing" / f"{action.dest}.json"
    if action.type is not Path:
        value = WORDS.get(action.dest, 2 if action.type in (int, float) else value)
    if action.choices:
        value = next(iter(action.choices))
    count = action.nargs if isinstance(action.nargs, int) else 1
    return [*action.option_strings[-1:], *[str(value)] * count]


def test_there_is_a_module_for_each_command() -> None:
    folder = ROOT / "python" / "training_maps" / "commands"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert modules == set(cli.STAGES)


@pytest.mark.parametrize("stage", cli.STAGES)
def test_every_option_is_explained(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([stage, "--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert f"training-maps {stage}" in told
    for action in parser_of(stage)._actions:
        assert all(option in told for option in action.option_strings)
        assert action.help, action.dest


@pytest.mark.parametrize("stage", cli.STAGES)
def test_without_its_input_a_command_says_so_in_one_line_and_writes_nothing(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [one for action in required(parser_of(stage)) for one in given(action, tmp_path)]
    assert cli.main([stage, *arguments]) == 1
    told = capsys.readouterr().err.strip()
    assert told
    assert len(told.splitlines()) == 1
    assert "bug" not in told
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("stage", cli.STAGES)
def test_without_its_options_a_command_stops(stage: str) -> None:
    if not required(parser_of(stage)):
        pytest.skip("it has none that must be given")
    with pytest.raises(SystemExit) as stop:
        cli.main([stage])
    assert stop.value.code == 2

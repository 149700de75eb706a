"""Which repositories and revisions hold a run's checkpoints."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_maps.hub.plan import PRESETS, check_hub, format_steps, hub_run, parse_steps
from training_maps.utils.errors import InputError


def test_multiberts():
    run = hub_run({"preset": "multiberts"}, range(5), 3)
    thousands = [*range(0, 201, 20), *range(300, 2001, 100)]
    assert len(thousands) == 29
    assert list(run.steps) == [1000 * k for k in thousands]
    assert run.locate(0) == ("google/multiberts-seed_3-step_0k", "main")
    assert run.locate(20_000) == ("google/multiberts-seed_3-step_20k", "main")
    assert run.locate(2_000_000) == ("google/multiberts-seed_3-step_2000k", "main")


def test_pythia():
    run = hub_run({"preset": "pythia", "size": "410m-deduped"}, [0], 0)
    assert len(run.steps) == 154
    assert list(run.steps[:13]) == [0, *(2**k for k in range(10)), 1000, 2000]
    assert run.steps[-1] == 143_000
    assert run.locate(512) == ("EleutherAI/pythia-410m-deduped", "step512")


def test_polypythias():
    section = {"preset": "polypythias", "size": "160m"}
    assert hub_run(section, range(10), 7).locate(1) == ("EleutherAI/pythia-160m-seed7", "step1")
    # The run that Pythia itself has, whose seed was 1234.
    assert hub_run(section, range(10), 0).locate(1000) == ("EleutherAI/pythia-160m", "step1000")
    assert hub_run(section, [1], 1).steps == hub_run({**section, "preset": "pythia"}, [0], 0).steps


def test_a_preset_with_fewer_steps():
    run = hub_run({"preset": "multiberts", "steps": [0, "20000-60000:20000"]}, [0], 0)
    assert run.steps == (0, 20_000, 40_000, 60_000)


def test_patterns_of_ones_own():
    section = {
        "repository": "me/net-{seed}",
        "revision": "at-{step}",
        "steps": "0-20:10",
        "files": ["*.safetensors"],
        "endpoint": "http://localhost",
    }
    run = hub_run(section, [4, 8], 8)
    assert run.locate(10) == ("me/net-8", "at-10")
    assert (run.steps, run.files, run.endpoint) == ((0, 10, 20), ("*.safetensors",),
                                                    "http://localhost")  # fmt: skip


def test_a_repository_for_each_seed():
    section = {"repository": ["me/first", "you/second"], "revision": "step{step}", "steps": "0-2"}
    assert hub_run(section, [3, 9], 9).locate(2) == ("you/second", "step2")


@pytest.mark.parametrize(
    ("section", "seeds", "fault"),
    [
        ({}, [0], "hub.repository: is missing; give a preset (multiberts, pythia, polypythias)"),
        ({"repository": "a/b"}, [0], "hub.steps: is missing"),
        ({"preset": "bert"}, [0], "hub.preset: 'bert' is not one of"),
        ({"preset": "multiberts", "repository": "a/b"}, [0], "the preset has its own"),
        ({"preset": "multiberts"}, [4, 5, 6], "multiberts has no seed 5,6; its seeds are 0-4"),
        ({"preset": "pythia"}, [0], "hub.size: is missing"),
        ({"preset": "pythia", "size": "14m"}, [0, 1], "pythia has no seed 1"),
        ({"repository": "a/b", "revision": "{step}", "steps": "0-2"}, [0, 1], "has {seed}"),
        ({"repository": "a/{seed}", "steps": "0-2"}, [0, 1], "has {step} or {step_k}"),
        ({"repository": "a/{run}", "steps": 0}, [0], "'a/{run}' has {run}; expected none but"),
        ({"repository": "a/{", "steps": 0}, [0], "is no pattern"),
        ({"repository": "a/{step_k}", "steps": "0,1500"}, [0], "1500 is no multiple of 1000"),
        ({"repository": ["a/b"], "steps": 0}, [0, 1], "lists 1 repositories for 2 seeds (0,1)"),
    ],
)
def test_what_cannot_be(section, seeds, fault):
    with pytest.raises(InputError, match=f"mine: .*{re.escape(fault)}"):
        check_hub(section, seeds, "mine")


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ("", "neither a whole number"),
        ([], "empty"),
        ("5-3", "runs backwards"),
        ("0-9:0", "stride must be at least 1"),
        ("-3", "neither"),
        ("1,1", "1 is given more than once"),
        ("0-1000000", "give a larger stride"),
        ("1.5", "neither"),
    ],
)
def test_steps_that_cannot_be(steps, fault):
    with pytest.raises(InputError, match=f"hub.steps: .*{fault}"):
        parse_steps(steps)


@given(st.sets(st.integers(0, 60), min_size=1).map(sorted))
def test_steps_are_written_as_they_are_read(steps):
    assert list(parse_steps(format_steps(steps))) == steps


def test_steps_are_written_in_short():
    for preset in PRESETS.values():
        assert format_steps(parse_steps(preset.steps)) == preset.steps.replace("0,1,2,4", "0-2,4")

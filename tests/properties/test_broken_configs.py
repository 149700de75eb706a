"""A thousand broken configs: each is refused in one message, and nothing else happens."""

import copy
from pathlib import Path

import pytest
import yaml

from tests.support.broken_configs import (
    BROUGHT,
    EXPERIMENTS,
    KINDS,
    SCHEMA,
    broken_configs,
    make_world,
)
from training_maps.config.resolve import check_file, prepare
from training_maps.utils.errors import InputError

EACH = 1000 // len(KINDS)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


def write(files, folder):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def plan():
    """What the workflow's rules/common.smk does with config.yaml before there is any rule."""
    check_file("config.yaml", SCHEMA)
    return prepare(yaml.safe_load(Path("config.yaml").read_text()), "experiments", SCHEMA)


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def refusal(broken, world):
    """What is wrong with how a broken job is met; None if it is refused as it should be."""
    text = broken.config
    if not isinstance(text, bytes):
        text = yaml.safe_dump(text, allow_unicode=True).encode()
    write({"config.yaml": text, **broken.files}, world)
    try:
        plan()
    except InputError as error:
        message = str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    else:
        return "is accepted"
    if not any(name in message for name in broken.names):
        return f"names none of {broken.names}: {message}"
    lines = message.splitlines()
    if len(lines) > 12 or max(map(len, lines)) > 1500:
        return f"is a message of {len(lines)} lines, {len(message)} characters"
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_config_is_refused(kind, world, monkeypatch):
    monkeypatch.chdir(world)
    wrong, before = [], files_of(world)
    for broken in broken_configs(kind, EACH):
        problem = refusal(broken, world)
        if problem is not None:
            wrong.append(
                f"{problem:.300}\n    {broken.config!r:.150}\n    {dict(broken.files)!r:.250}"
            )
        for name in ("config.yaml", *broken.files):
            (world / name).unlink()
    assert files_of(world) == before
    assert not wrong, "\n".join([f"{len(wrong)} of {EACH}", *wrong[:10]])


@pytest.mark.parametrize("name", [*BROUGHT, *EXPERIMENTS])
def test_what_the_broken_ones_are_made_of_is_accepted(name, world, monkeypatch):
    """Else they could be refused for something that nobody broke."""
    monkeypatch.chdir(world)
    settings = copy.deepcopy(BROUGHT.get(name, {"extends": name}))
    write(
        {
            "config.yaml": b"experiments: own/right.yaml",
            "own/right.yaml": yaml.safe_dump(settings).encode(),
        },
        world,
    )
    assert plan().experiments["right"]["seeds"]

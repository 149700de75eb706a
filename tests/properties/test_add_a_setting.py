"""A key of the config takes one line and its use: docs/add_a_setting.md, carried out in a copy."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests.support.project import ROOT
from training_maps.hmm.observations import observations

PAGE = (ROOT / "docs/add_a_setting.md").read_text(encoding="utf-8")
#: Where each of the page's lines goes: file, class or function, and the line.
PLACES = re.findall(r'```python title="(\S+), (\w+)"\n(.*)\n```', PAGE)
CHECKS = """
from training_maps.config.arguments import options_of
from training_maps.config.resolve import resolve
from training_maps.config.schema import load_schema
from training_maps.utils.errors import InputError
from tools.config_listing import listing

def hmm(**section):
    config = {"experiments": ["sparse_parities"], "hmm": section}
    return resolve(config, "experiments", load_schema()).experiments["sparse_parities"]

def refused(**section):
    try:
        hmm(**section)
    except InputError as error:
        return str(error)

told = hmm(slow_after="1e-6")
assert told["hmm"]["slow_after"] == 1e-6
assert hmm()["hmm"]["slow_after"] == 3600
assert refused(slow_after=0) == "config: hmm.slow_after: expected number more than 0, got 0"
assert "unknown key hmm.slow_afte (did you mean slow_after?)" in refused(slow_afte=1)
assert "--slow-after 1e-06" in " ".join(options_of("hmm", told))
assert options_of("map", told) == options_of("map", hmm())  # nothing but the fits is rerun
line = "#   slow_after: 3600            # seconds of fits that are warned of (number more than 0)"
assert line in listing()
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the project with what the page adds, and the warning itself."""
    folder = tmp_path_factory.mktemp("add_a_setting") / "project"
    for part in ("python", "tools", "experiments"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    shutil.copy(ROOT / "config.yaml", folder)
    for name, where, line in PLACES:
        text = (folder / name).read_text(encoding="utf-8")
        # Before the class's other fields, or the function's other options.
        after = re.search(
            rf'class {where}\b.*\n    """.*"""\n\n|def {where}\((?:\n    .*)*?\n    \*,\n', text
        )
        assert after is not None, where
        text = f"{text[: after.end()]}{line}\n{text[after.end() :]}"
        (folder / name).write_text(text, encoding="utf-8")
    fit = folder / "python/training_maps/model_selection/fit.py"
    used = fit.read_text(encoding="utf-8").replace(
        "    return FittedHMM(",
        "    logger.warning('warns after %s s', slow_after)\n    return FittedHMM(", 1,
    )  # fmt: skip
    fit.write_text(used, encoding="utf-8")
    return folder


def call(copy, *command):
    environment = {**os.environ, "PYTHONPATH": str(copy / "python")}
    return subprocess.run(
        [sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True
    )


def test_it_is_one_line_and_its_use():
    assert [(name.rpartition("/")[2], where) for name, where, _ in PLACES] == [
        ("sections.py", "FitSettings"),
        ("fit.py", "fit_hmm"),
    ]
    assert all("\n" not in line for _, _, line in PLACES)


def test_check_options_and_listing_follow(copy):
    done = call(copy, "-c", CHECKS)
    assert done.returncode == 0, done.stderr


def test_the_command_has_it(copy, tmp_path):
    told = call(copy, "-m", "training_maps.cli", "hmm", "--help").stdout
    assert "--slow-after" in told
    assert "seconds of fits that are warned of (default: 3600)" in " ".join(told.split())
    table = pd.DataFrame({"step": range(20), "l1": np.sin(np.arange(20)), "l2": np.arange(20.0)})
    observations([table] * 6).save(tmp_path / "obs.parquet", {})
    files = {"observations": "obs.parquet", "output": "a.npz", "scores": "a.csv"}
    options = [f"--{option}={tmp_path / name}" for option, name in files.items()]
    options.append("--n-states=1")
    done = call(copy, "-m", "training_maps.cli", "hmm", *options, "--slow-after", "7")
    assert "warns after 7.0 s" in done.stderr
    assert done.returncode == 0, done.stderr
    done = call(copy, "-m", "training_maps.cli", "hmm", *options, "--slow-after", "0")
    assert "--slow-after must be more than 0, got 0.0" in done.stderr

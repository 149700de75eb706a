"""What a stage's command imports, where it does its work: packages that take longer than the work.

No time is asserted: which packages are there tells it on any machine.
"""

import json
import re
import shlex
import sys

import pytest

HEAVY = ("torch", "snakemake", "sklearn", "scipy.signal", "scipy.stats", "scipy.optimize",
         "matplotlib", "pandas", "jinja2", "yaml")  # fmt: skip
# What of these each stage may need; what is not here needs pandas alone.
MAY_NEED = {
    "metrics": set(),
    "structure": {"pandas", "scipy.optimize"},  # matches states
    "map": {"pandas", "scipy.optimize"},
    "reproducibility": {"pandas", "scipy.optimize"},
    "semantics": {"pandas", "scipy.optimize", "scipy.stats", "sklearn"},  # ridge regression
    "calibrate": {"pandas", "scipy.optimize", "matplotlib"},  # the map's picture, and its texts
    "figures": {"pandas", "scipy.optimize", "matplotlib"},
    "report": {"pandas", "scipy.optimize", "matplotlib", "jinja2"},
    "compare": {"pandas", "matplotlib", "jinja2"},
}
CODE = f"""
import json, sys
from training_maps.cli import main
assert not main(sys.argv[1:])
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""


def commands(project):
    """One command of each stage, as the workflow calls it."""
    told = project.snakemake("--forceall", "--dry-run", "--printshellcmds", "--quiet", "progress")
    lines = re.findall(r"^(?:Shell command:)? *training-maps (\w+) (.+)$", told.stdout, flags=re.M)
    assert lines, told.stdout
    return dict(reversed(lines))


def imported(project, stage, options):
    """The heavy packages that a command has imported at its end."""
    done = project.call(sys.executable, "-c", CODE, stage, *shlex.split(options))
    assert done.returncode == 0, done.stdout
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("show", [False, True])
def test_each_stage_imports_what_it_needs(project, show):
    if show:  # what a run ends with
        options = "--show results/tiny/summary.json"
        assert imported(project, "summary", options) == set()
        return
    found = {
        stage: imported(project, stage, options)
        for stage, options in commands(project).items()
        if stage != "train"
    }
    assert {"metrics", "hmm", "half", "structure", "map", "report"} < set(found)
    needless = {stage: names - MAY_NEED.get(stage, {"pandas"}) for stage, names in found.items()}
    assert not any(needless.values()), needless

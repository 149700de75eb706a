"""A report that shows another experiment's map beside its own, where both are run."""

from __future__ import annotations

import re

from tests.support.workflow_project import TINY, Project


def test_a_report_waits_for_the_experiment_beside_it_if_that_is_run_too(tmp_path):
    project = Project.new(tmp_path / "project")
    for name, own in (("other", "method: recommended\nbeside: tiny\n"), ("same", "beside: same\n")):
        (project.folder / f"experiments/{name}.yaml").write_text(TINY + own)

    def planned(*experiments):
        config = ["--config", f"experiments=[{', '.join(experiments)}]"]
        return project.run("--dry-run", "--printshellcmds", "--quiet", "host", *config)

    def beside(told):
        commands = re.findall(r"training-maps report --results (\S+) (.*)", told)
        return {of: re.findall(r"--beside (\S+)", options) for of, options in commands}

    told = planned("tiny", "other", "same")
    assert beside(told) == {
        "results/tiny": [],
        "results/other": ["results/tiny"],
        "results/same": [],
    }
    inputs = re.findall(r"^rule report:\n    input: (.*)\n    output: (.*)", told, flags=re.M)
    (of_other,) = [files for files, page in inputs if page == "results/other/report.html"]
    assert "results/tiny/training_map.json" in of_other
    assert beside(planned("other")) == {"results/other": []}

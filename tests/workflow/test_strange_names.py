"""Names with spaces, quotes, semicolons and substitutions reach the commands as they are."""

import json

import pandas as pd
import pytest

from tests.support.workflow_project import Project

# What a shell would run, end, or take for something else, if it saw it unquoted.
NASTY = "a b'c\"d;touch pwned;$(touch pwned)`touch pwned`&|>x{seed_}#!*?\\"
FOLDER = "ré sults'; touch pwned; $(touch pwned) `touch pwned` & | #\"!\\"


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """Six runs in a table in which every name is strange, in a folder that is too."""
    project = Project.new(tmp_path_factory.mktemp("strange") / "a folder's; touch pwned")
    table = pd.DataFrame(
        [
            {
                "run": seed,
                "global step $(touch pwned)": 10 * step,
                "l2;touch pwned": 3.0 * (step > 12 + seed) + 0.1 * ((7 * step + seed) % 5),
                NASTY: -1.0 * (step > 12 + seed) + 0.1 * ((3 * step + 2 * seed) % 7),
                "val'acc": 0.95 if step > 12 + seed else 0.1,
            }
            for seed in range(6)
            for step in range(40)
        ]
    )
    own = project.folder / "o'wn; touch pwned"
    own.mkdir()
    table.to_csv(own / "$(touch pwned) history #.csv", index=False)
    settings = {
        "description": "<script>alert(1)</script>; touch pwned $(touch pwned)",
        "source": "metrics",
        "tables": {
            "path": "o'wn; touch pwned/$(touch pwned) history #.csv",
            "seed": "run",
            "step": "global step $(touch pwned)",
            "metrics": ["l2;touch pwned", NASTY],
        },
        "training_log": {"columns": {"eval_accuracy": "val'acc"}},
        "observations": {"metrics": ["l2;touch pwned", NASTY]},
        "hmm": {"n_states": "2", "restarts": 1, "covariance": "diag"},
        "reproducibility": {"halves": 1},
        "figures": {"formats": ["svg"], "widths": ["page"]},
    }
    (project.folder / "experiments" / "strange.yaml").write_text(json.dumps(settings))
    (project.folder / "config.yaml").write_text(
        json.dumps({"experiments": ["strange"], "results": FOLDER})
    )
    project.results = project.folder / FOLDER / "strange"
    return project


def pwned(project):
    return [str(path) for path in project.folder.rglob("*") if path.name == "pwned"]


def test_commands_are_shown_as_they_can_be_typed(strange):
    told = strange.run("--dry-run", "--printshellcmds", "--quiet", "progress")
    assert "training-maps tables" in told
    assert "training-maps observations" in told
    assert not pwned(strange)


def test_strange_names_go_all_the_way_to_the_report(strange):
    told = strange.run()
    assert not pwned(strange), told
    seen = pd.read_parquet(strange.results / "observations.parquet")
    assert list(seen.columns) == ["seed", "step", "split", "l2;touch pwned", NASTY]
    report = (strange.results / "report.html").read_text()
    assert "<script>alert(1)</script>" not in report
    assert "&lt;script&gt;alert(1)" in report
    assert not strange.planned()


def test_a_target_that_somebody_names_is_quoted(strange):
    target = f"{FOLDER}/datasets/mnist;touch pwned;.json"
    told = strange.run("--dry-run", "--printshellcmds", "--quiet", "progress", "--", target)
    assert "--dataset 'mnist;touch pwned;'" in told

"""Which files of figures are written, as `figures` in the config says."""

import re
from collections import Counter

from tests.support.workflow_project import FEW_FIGURES, TINY

FIGURES = 12


def test_only_the_files_that_are_asked_for_are_written(project):
    folder = project.results / "figures"
    for file in folder.rglob("*.*"):
        file.unlink()
    config = ["--config", "figures={formats: [svg, png], widths: [column]}"]
    assert project.planned(*config) == Counter(figures=1, report=1)
    project.run(*config)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert Counter((path.parent.name, path.suffix) for path in files) == {
        ("column", ".svg"): FIGURES, ("column", ".png"): FIGURES,
        ("figures", ".txt"): 1, ("figures", ".tex"): 1,  # captions
    }  # fmt: skip
    page = (project.results / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") > 5  # the report's figures are its own
    assert "figures.formats" in page.replace("<wbr>", "")  # names may break at dots
    assert project.planned(*config) == Counter()
    project.run(*config, "--report", "report.html")
    page = (project.folder / "report.html").read_text(encoding="utf-8")
    assert page.count('"kind": "figure"') == FIGURES
    assert '"forks.png"' in page
    assert '"forks.svg"' not in page
    (folder / "column/forks.svg").unlink()
    assert project.planned(*config) == Counter(figures=1)


def test_experiments_may_ask_for_other_files_than_each_other(finished, tmp_path):
    project = finished[0].copy(tmp_path / "project")
    for name, figures in {
        "all": None,
        "vectors": "{formats: [pdf, svg]}",
        "columns": "{formats: [pdf, svg], widths: [column]}",
        "same": "{formats: [pdf, svg], widths: [column]}",
    }.items():
        own = f"figures: {figures}\n" if figures else ""
        (project.folder / f"experiments/{name}.yaml").write_text(TINY.replace(FEW_FIGURES, own))
    experiments = "experiments=[tiny, all, vectors, columns, same]"
    told = project.run("--dry-run", "--quiet", "host", "--config", experiments)
    jobs = re.findall(r"^rule figures\w*:\n.*?^    output: (.*?)$", told, flags=re.M | re.S)
    kinds = {
        files.partition("/figures/")[0]: Counter(re.findall(r"/(page|column)/\w+\.(\w+)", files))
        for files in jobs
    }
    columns = {("column", "pdf"): FIGURES, ("column", "svg"): FIGURES}
    assert kinds == {  # nothing is left to do for tiny
        "results/all": {
            (width, suffix): FIGURES
            for width in ("page", "column")
            for suffix in ("svg", "pdf", "png")
        },
        "results/vectors": {**columns, ("page", "pdf"): FIGURES, ("page", "svg"): FIGURES},
        "results/columns": columns,
        "results/same": columns,
    }

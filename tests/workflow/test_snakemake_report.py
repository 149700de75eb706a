"""Snakemake's own report: figures and tables with captions, by experiment."""

import json
import re
import zipfile

FIGURES = {
    "overview", "training_map", "forks", "model_selection", "loss_by_state", "metrics_by_state",
    "phase_transitions", "state_timelines", "convergence_times", "regression", "dissimilarity",
    "layers",
}  # fmt: skip


def test_report_has_figures_and_tables_with_captions(project):
    project.run("--report", "report.html")
    page = (project.folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="https?://[^"]+\.(js|css|png|svg)"', page)
    for figure in FIGURES:
        assert f'"{figure}.svg"' in page, figure
    for table in ("coefficients.csv", "model_selection.csv", "comparison.csv"):
        assert table in page, table
    captions = [
        json.loads(f'"{text}"') for text in re.findall(r'"caption": "((?:[^"\\]|\\.)*)"', page)
    ]
    assert sum("<strong>tiny</strong>" in caption for caption in captions) == len(FIGURES) + 2
    assert any("Table 1" in caption for caption in captions)  # of the comparison
    assert "Training maps of many training runs" in page
    assert page.count('"kind": "figure"') == len(FIGURES)
    assert page.count('"kind": "table"') == 3
    assert '"shows": "Training map and runs"' in page
    assert '"tiny"' in page
    project.run("--report", "report.zip")
    with zipfile.ZipFile(project.folder / "report.zip") as folder:
        names = folder.namelist()
    assert any(name.endswith("report.html") for name in names)
    assert sum(name.endswith(".svg") for name in names) >= len(FIGURES)

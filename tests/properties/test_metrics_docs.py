"""docs/metrics.md says of each metric what the table of metrics says."""

import pytest

from tests.support.project import ROOT
from training_maps.metrics.definitions import EXTRA_METRICS, LANDSCAPE_METRICS, METRICS

PAGE = ROOT / "docs" / "metrics.md"


def row(metric):
    """A metric's line in the page's tables."""
    cells = (f"`{metric.column}`", metric.symbol, metric.formula, metric.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


@pytest.mark.parametrize(
    ("heading", "metrics"), [("paper's", METRICS), ("Others", (*EXTRA_METRICS, *LANDSCAPE_METRICS))]
)
def test_the_page_lists_the_metrics(heading, metrics):
    section = PAGE.read_text(encoding="utf-8").split(f"{heading}\n", 1)[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [row(metric) for metric in metrics]

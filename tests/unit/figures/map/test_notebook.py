"""A map in a notebook: a figure that leaves pyplot alone, and an HTML view that is safe."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from tests.support.known_chains import model_of, paths_of, run_of
from training_maps.figures.map.notebook import MOST_ROWS
from training_maps.training_map.map import TrainingMap

HOSTILE = "<script>alert('x')</script> & \"quotes\" {braces} a-b"


@pytest.fixture(scope="module")
def tmap() -> TrainingMap:
    """A map that forks, with a return."""
    runs = [run_of(0, 1, 2, 3), run_of(0, 2, 3), run_of(0, 1, 0, 1, 2, 3)]
    return TrainingMap.from_model(model_of(runs), experiment="forking")


def test_plot_is_a_figure_and_leaves_pyplot_alone(tmap: TrainingMap) -> None:
    before = dict(plt.rcParams), plt.get_fignums()
    figure = tmap.plot()
    assert isinstance(figure, Figure)
    assert (dict(plt.rcParams), plt.get_fignums()) == before
    own, ax = plt.subplots()
    assert tmap.plot(ax=ax) is own
    assert plt.gcf() is own
    plt.close(own)


def test_html_has_every_state_and_transition(tmap: TrainingMap) -> None:
    html = tmap._repr_html_()
    root = ElementTree.fromstring(html)
    (svg,) = root.iter("{http://www.w3.org/2000/svg}svg")
    drawn = {g.get("data-state") for g in svg.iter() if g.get("class") == "state-node"}
    assert drawn == {str(state.state) for state in tmap.states}
    states, transitions = root.iter("table")
    rows = [["".join(cell.itertext()) for cell in row] for row in states.iter("tr")][1:]
    assert rows == [
        [
            str(one.state),
            ", ".join(feature.metric for feature in one.features[:3]),
            f"{100 * one.share_of_checkpoints:.1f} %",
            str(one.n_runs),
        ]
        for one in tmap.states
    ]
    rows = [["".join(cell.itertext()) for cell in row] for row in transitions.iter("tr")][1:]
    edges = tmap.transitions
    assert len(edges) <= MOST_ROWS
    assert [row[0] for row in rows] == [f"{edge.source} → {edge.target}" for edge in edges]
    assert [row[2:] for row in rows] == [
        [f"{edge.probability:.3f}", str(edge.n_runs)] for edge in edges
    ]
    first = edges[0].feature_changes[0]
    number = f"{first.change:+.2f}".replace("-", "−")
    assert rows[0][1].startswith(f"{first.metric} {number}")


def test_html_is_safe_and_asks_for_nothing(tmap: TrainingMap) -> None:
    features = tuple(dataclasses.replace(f, metric=HOSTILE) for f in tmap.states[0].features)
    states = (dataclasses.replace(tmap.states[0], features=features), *tmap.states[1:])
    html = dataclasses.replace(tmap, states=states, experiment=HOSTILE)._repr_html_()
    root = ElementTree.fromstring(html)
    assert "script" not in {element.tag.rpartition("}")[2] for element in root.iter()}
    assert HOSTILE in "".join(root.itertext())
    assert not re.search(r"\b(src|href|onload|onclick)=", html.replace("&quot;", ""))
    assert "@import" not in html
    assert "url(" not in html


def test_two_maps_of_a_notebook_do_not_touch_each_other(tmap: TrainingMap) -> None:
    other = TrainingMap.from_paths(paths_of(run_of(0, 1), run_of(0)))
    both = [tmap._repr_html_(), other._repr_html_()]
    names = [ElementTree.fromstring(html).get("id") for html in both]
    assert len(set(names)) == 2
    for html, name in zip(both, names, strict=True):
        style = html[html.index("<style>") + 7 : html.index("</style>")]
        rules = [rule.partition("{")[0] for rule in style.split("}") if rule.strip()]
        for selector in ",".join(rules).split(","):
            assert selector.strip().startswith(f"#{name} ")
    assert tmap._repr_html_() == both[0]  # the same each time


def test_the_package_is_imported_without_matplotlib() -> None:
    code = "import sys, training_maps.training_map.map; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

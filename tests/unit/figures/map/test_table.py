"""The table beside the map holds what changes on each transition."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from tests.support.figure_checks import faults, texts
from training_maps.figures import (
    draw_training_map,
)
from training_maps.figures.map.table import (
    MOST_ROWS,
    draw_table,
    format_change,
    gradient_arrow,
    shown_transitions,
    table_height,
)
from training_maps.results import ExperimentResults


def test_map_table_holds_the_feature_changes(results: ExperimentResults) -> None:
    shown = texts(draw_training_map(results.training_map))
    for edge in results.training_map["transitions"]:
        assert f"{edge['from']} → {edge['to']}" in shown
        change = edge["feature_changes"][0]["change"]
        number = f"{change:+.2f}".replace("-", "−")
        assert any(text.startswith(f"{number} ") for text in shown)


def transition(j: int, k: int, n_runs: int) -> dict[str, Any]:
    change = {"metric": "trace", "change": -0.214, "posterior_gradient": None}
    return {"from": j, "to": k, "n_runs": n_runs, "feature_changes": [change]}


MANY = [transition(0, k, k % 7) for k in range(1, 41)]


def test_the_most_used_transitions_are_shown_in_the_order_of_states() -> None:
    few = [transition(2, 0, 1), transition(0, 2, 5), transition(0, 1, 5), transition(1, 2, 3)]
    assert [(t["from"], t["to"]) for t in shown_transitions(few, 3)] == [(0, 1), (0, 2), (1, 2)]
    assert len(shown_transitions(few)) == 4
    assert len(shown_transitions(MANY)) == MOST_ROWS
    least = min(t["n_runs"] for t in shown_transitions(MANY))
    assert sum(t["n_runs"] > least for t in MANY) < MOST_ROWS
    assert shown_transitions([]) == []


@pytest.mark.parametrize(
    ("change", "text"), [(0.594, "+0.59"), (-0.214, "−0.21"), (0.0, "+0.00"), (-12.0, "−12.00")]
)
def test_changes_have_a_sign(change: float, text: str) -> None:
    assert format_change(change) == text


@pytest.mark.parametrize(("gradient", "arrow"), [(0.1, "↑"), (-2.0, "↓"), (0.0, ""), (None, "")])
def test_the_arrow_is_the_gradients_sign(gradient: float | None, arrow: str) -> None:
    assert gradient_arrow({"posterior_gradient": gradient}) == arrow
    assert gradient_arrow({}) == ""


@pytest.mark.parametrize("width", [3.4, 6.9])
@pytest.mark.parametrize("rows", [5, MOST_ROWS])
def test_the_table_keeps_to_its_height_and_says_what_it_leaves_out(width: float, rows: int) -> None:
    height = table_height(MANY, width, rows)
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1))
    draw_table(ax, MANY, width, rows)
    assert faults(figure) == []
    shown = texts(figure)
    assert sum(" → " in text for text in shown) == rows
    assert any(f"{len(MANY) - rows} rarer" in text for text in shown)


def test_a_table_without_rows_has_no_height_and_a_wide_one_less() -> None:
    assert table_height([], 3.0) == 0.0
    assert table_height(MANY, 3.0, 0) == 0.0
    assert table_height(MANY[:2], 3.0) < table_height(MANY[:3], 3.0)
    assert table_height(MANY, 6.9) < table_height(MANY, 3.4)


@pytest.mark.parametrize("counts", [{}, {"n_fast": 1, "n_slow": 2, "differs": False}])
@pytest.mark.parametrize("family", ["DejaVu Sans", "DejaVu Sans Mono"])
def test_heads_do_not_run_into_each_other(family: str, counts: dict[str, Any]) -> None:
    with rc_context({"font.family": family}):
        figure = Figure(figsize=(3.4, 2))
        ax = figure.add_axes((0, 0, 1, 1))
        draw_table(ax, [transition(0, 1, 3) | counts], 3.4)
        figure.draw_without_rendering()
        boxes = {text.get_text(): text.get_window_extent() for text in ax.texts}
    names = ["transition", "runs", *(["fast", "slow"] if counts else [])]
    heads = [boxes[name] for name in names]
    heads.append(next(box for text, box in boxes.items() if text.startswith("change")))
    for left, right in pairwise(heads):
        assert left.x1 < right.x0


def test_heads_of_a_column_s_table_keep_to_it() -> None:
    counts = {"n_fast": 1, "n_slow": 2, "differs": True}
    figure = Figure(figsize=(3.35, 2))
    draw_table(figure.add_axes((0, 0, 1, 1)), [transition(0, 1, 3) | counts], 3.35)
    assert faults(figure) == []


def test_fast_and_slow_runs_are_counted_and_a_difference_is_bold(
    detours: ExperimentResults,
) -> None:
    """Half of the runs go 0-1-2, the others 0-2; say that it is the slow ones that do."""
    marked = {(0, 1): {"n_fast": 1, "n_slow": 9, "differs": True}}
    transitions = [
        {**t, **marked.get((t["from"], t["to"]), {})} for t in detours.drawn_map["transitions"]
    ]
    figure = draw_training_map({**detours.drawn_map, "transitions": transitions})
    rows: dict[str, list[Any]] = {}
    for text in figure.axes[-1].texts:
        rows.setdefault(f"{text.get_position()[1]:.3f}", []).append(text)
    cells = {row[0].get_text(): row for row in rows.values()}
    assert [text.get_text() for text in cells["transition"][1:4]] == ["runs", "fast", "slow"]
    use = next(t for t in transitions if (t["from"], t["to"]) == (0, 1))
    row = cells["0 → 1"]
    expected = [str(use[name]) for name in ("n_runs", "n_fast", "n_slow")]
    assert [text.get_text() for text in row[1:4]] == expected
    assert all(text.get_fontweight() == "bold" for text in row[:4])
    labels = {text.get_gid(): text for text in figure.axes[0].texts}
    assert labels["transition-label-0-1"].get_fontweight() == "bold"

"""Texts of figures: users' names are no formulas."""

from __future__ import annotations

import dataclasses

import pandas as pd

from tests.support.figure_checks import drawn, texts
from training_maps.figures import (
    draw_regression,
    draw_state_timelines,
)
from training_maps.figures.symbols import (
    LONGEST,
    LONGEST_NAME,
    in_brackets,
    metric_symbol,
    plain_text,
)
from training_maps.metrics.definitions import ALL_METRICS
from training_maps.results import ExperimentResults


def test_names_of_the_users_are_no_formulas(detours: ExperimentResults) -> None:
    assert plain_text("$x$") == r"\$x\$"
    assert len(plain_text("x" * 99)) == 44
    assert in_brackets("") == ""
    regression = {
        **detours.regression,
        "column": r"$\frac{",
        "outcome": {**detours.outcome, "name": r"$\frac{", "unit": r"$\frac{$, as given"},
    }
    odd = dataclasses.replace(detours, regression=regression)
    drawn(draw_regression(odd))
    assert r"converged (\$\frac{ > 0.9)" in texts(drawn(draw_state_timelines(odd)))
    assert isinstance(odd.run_paths, pd.DataFrame)


def test_metrics_have_the_papers_symbols() -> None:
    assert metric_symbol("mean_w") == "μ(w)"
    assert metric_symbol("lambda_max") == "λₘₐₓ"
    assert metric_symbol("my_max") == "my_max"  # a user's own name stays as it is
    for metric in ALL_METRICS:
        assert 0 < len(metric_symbol(metric.column)) <= LONGEST
    assert len({metric_symbol(metric.column) for metric in ALL_METRICS}) == len(ALL_METRICS)


def test_long_names_are_cut_and_say_so() -> None:
    assert metric_symbol("x" * LONGEST) == "x" * LONGEST
    assert metric_symbol("x" * (LONGEST + 1)) == "x" * (LONGEST - 1) + "…"
    assert plain_text("x" * LONGEST_NAME) == "x" * LONGEST_NAME
    assert plain_text("x" * (LONGEST_NAME + 1)).endswith("x…")
    assert in_brackets("loss < $1") == r" (loss < \$1)"

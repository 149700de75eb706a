"""Metrics and the names of their columns."""

import pytest
from matplotlib.mathtext import MathTextParser

from training_maps.figures.symbols import metric_symbol
from training_maps.metrics.definitions import (
    ALL_METRICS,
    BIAS_COLUMNS,
    DISTANCES,
    EXTRA_METRICS,
    LANDSCAPE_METRICS,
    METRIC_COLUMNS,
    METRICS,
    metric_columns,
    plugin_columns,
)
from training_maps.utils.errors import InputError


def test_names_of_columns():
    paper = METRIC_COLUMNS
    assert metric_columns([]) == metric_columns(["paper"]) == paper
    assert metric_columns(["l2", "trace"]) == ("l2", "trace")
    extra = tuple(metric.column for metric in EXTRA_METRICS)
    assert metric_columns(["paper", *extra]) == (*paper, *extra)
    assert metric_columns([extra[0], "paper"]) == (extra[0], *paper)
    for names, message in (
        (["distance_from_strat"], r"no metric distance_from_strat \(did you mean distance_from_s"),
        (["Paper"], r"did you mean paper\?"),
        (["x" * 20], r"there is no metric xxx.*x; the metrics are l1, .*distance_from_previous"),
        (["l2", "paper"], "l2 is there twice"),
    ):
        with pytest.raises(InputError, match=rf"^metrics\.columns: .*{message}"):
            metric_columns(names)


def test_all_metrics_have_a_column_a_symbol_and_words_of_their_own():
    assert (*METRICS, *EXTRA_METRICS, *LANDSCAPE_METRICS) == ALL_METRICS
    for part in ("column", "symbol", "mathtext", "formula", "meaning"):
        assert len({getattr(metric, part) for metric in ALL_METRICS}) == len(ALL_METRICS)
    for metric in ALL_METRICS:
        MathTextParser("agg").parse(metric.mathtext)
        assert metric_symbol(metric.column) == metric.symbol.replace("_max", "ₘₐₓ")


def test_users_metrics_are_those_that_are_none_of_this_project():
    assert plugin_columns(["l1", "mine", "distance_from_start", "other"]) == ["mine", "other"]
    assert plugin_columns([]) == []


def test_the_papers_metrics_are_the_fourteen_of_its_appendix():
    assert len(METRICS) == 14
    assert set(BIAS_COLUMNS) < set(METRIC_COLUMNS)
    assert set(DISTANCES) < {metric.column for metric in EXTRA_METRICS}

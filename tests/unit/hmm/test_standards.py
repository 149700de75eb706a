"""Standards of z-scores: those of a run, and those common to all runs, by plain loops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from training_maps.hmm.observations import observations
from training_maps.hmm.standards import Standards, common_standards
from training_maps.utils.notes import Note


def pooled(runs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Pooled z-scores by the definition: mean of means, and root of the mean of variances."""
    result = [np.zeros_like(run) for run in runs]
    for j in range(runs[0].shape[1]):
        known = [[value for value in run[:, j] if not np.isnan(value)] for run in runs]
        means = [sum(values) / len(values) for values in known]
        variances = [
            sum((value - mean) ** 2 for value in values) / len(values)
            for values, mean in zip(known, means, strict=True)
        ]
        mean, deviation = np.mean(means), np.sqrt(np.mean(variances))
        for run, z in zip(runs, result, strict=True):
            z[:, j] = (run[:, j] - mean) / deviation
    return result


def walks(lengths: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [
        draw.normal(size=(n, 3)).cumsum(axis=0) * [1e6, 1.0, 1e-7] + [1e6, run, 3e-7 * run]
        for run, n in enumerate(lengths)
    ]


def observed(runs: Sequence[np.ndarray], **settings: object) -> tuple[list[np.ndarray], list[Note]]:
    """The runs' z-scores as the model sees them, and the notes."""
    tables = [
        pd.DataFrame(run, columns=["l1", "l2", "trace"]).assign(step=range(len(run)))
        for run in runs
    ]
    made = observations(tables, validation_share=0.2, **settings)  # type: ignore[arg-type]
    values, lengths, _ = made.sequences()
    return np.split(values, np.cumsum(lengths)[:-1]), list(made.notes)


def test_a_run_s_own_standards_are_those_of_scipy() -> None:
    values = walks([40])[0]
    np.testing.assert_allclose(Standards.of(values).z_scores(values), stats.zscore(values))
    own, _ = observed(walks([30, 12, 45, 20, 31]))  # "run" by default
    for run, z in zip(walks([30, 12, 45, 20, 31]), own, strict=True):
        np.testing.assert_allclose(z, stats.zscore(run), rtol=1e-9, atol=1e-9)


def test_pooled_standards_count_all_runs_alike_however_long() -> None:
    runs = walks([30, 12, 45, 20, 31])
    found, notes = observed(runs, scale="pooled")
    for z, expected in zip(found, pooled(runs), strict=True):
        np.testing.assert_allclose(z, expected, rtol=1e-9, atol=1e-9)
    assert notes == []
    # All runs are measured by one scale: differences between them stay.
    assert abs(found[0][:, 1].mean() - found[4][:, 1].mean()) > 0.5
    variances = [z.var(axis=0) for z in found]
    np.testing.assert_allclose(np.mean(variances, axis=0), 1, rtol=1e-9)
    np.testing.assert_allclose(np.mean([z.mean(axis=0) for z in found], axis=0), 0, atol=1e-9)


def test_only_checkpoints_that_are_kept_count() -> None:
    runs = walks([30, 40, 45, 20, 31])
    found, _ = observed(runs, scale="pooled", max_checkpoints=25)
    kept = pooled([run[:25] for run in runs])
    for z, expected in zip(found, kept, strict=True):
        np.testing.assert_allclose(z, expected, rtol=1e-9, atol=1e-9)


def test_missing_entries_do_not_count_and_stay_missing() -> None:
    runs = walks([30, 12, 45, 20, 31])
    runs[0][3, 1] = runs[2][5] = runs[4][0, 0] = np.nan
    found, _ = observed(runs, scale="pooled")
    for run, z, expected in zip(runs, found, pooled(runs), strict=True):
        np.testing.assert_array_equal(np.isnan(z), np.isnan(run))
        np.testing.assert_allclose(z, expected, rtol=1e-9, atol=1e-9)


def test_a_metric_that_is_constant_in_some_runs_adds_no_variance_and_keeps_its_place() -> None:
    runs = walks([30, 12, 45, 20, 31])
    runs[1][:, 1] = 7.0
    runs[3][:, 1] = 2.0 * (1 + 1e-15 * np.arange(20))  # rounding noise
    found, notes = observed(runs, scale="pooled")
    for z, expected in zip(found, pooled(runs), strict=True):
        np.testing.assert_allclose(z, expected, rtol=1e-9, atol=1e-9)
    assert np.ptp(found[1][:, 1]) == 0
    assert found[1][0, 1] != 0
    text = "Metric l2 is constant in 2 of 5 runs (seeds 1,3)."
    assert notes == [Note("partly_constant_metric", text)]
    _, of_run = observed(runs)
    assert of_run[0].text == "Metric l2 is constant in 2 of 5 runs (seeds 1,3) and is 0 there."


def test_a_metric_that_is_constant_in_every_run_is_left_out() -> None:
    runs = walks([30, 12, 45, 20, 31])
    for i, run in enumerate(runs):
        run[:, 1] = float(i)
    assert np.isinf(common_standards(runs).deviation).tolist() == [False, True, False]
    found, notes = observed(runs, scale="pooled")
    assert found[0].shape == (30, 2)
    assert [note.kind for note in notes] == ["constant_metric"]


@pytest.mark.parametrize("size", [1e300, 1e150, 1e-150, 1e-300])
def test_huge_and_tiny_values_neither_overflow_nor_vanish(size: float) -> None:
    runs = [run * [1e-6, 1.0, 1e7] for run in walks([30, 12, 45])]
    common = common_standards([run * size for run in runs])
    for run, expected in zip(runs, pooled(runs), strict=True):
        np.testing.assert_allclose(common.z_scores(run * size), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e-150, 1e-300])
@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_a_run_that_stands_still_does_not_hide_tiny_movement(size: float, constant: float) -> None:
    runs = [np.array([[1.0], [2.0], [4.0]]), np.full((2, 1), constant)]
    found = [common_standards([size * run for run in runs]).z_scores(size * run) for run in runs]
    for z, expected in zip(found, pooled(runs), strict=True):
        np.testing.assert_allclose(z, expected, rtol=1e-12)
    # However much larger it is.
    if constant:
        large = [size * runs[0], 1e200 * size * runs[1]]
        deviation = common_standards(large).deviation
        assert 0 < deviation[0] < 1e-199

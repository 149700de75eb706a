"""The smooth field: least squares by NumPy, densities by SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from training_maps.hmm.observations import Observations
from training_maps.structure import field as module
from training_maps.structure import field_noise
from training_maps.structure.field import SHAPES, Shape, SmoothField, Steps, foretold_by_fields
from training_maps.structure.field_noise import NOISES, Noise
from training_maps.structure.following import shares_of

GAUSSIAN, FLOOR = Noise(np.inf), 1e-6
COUPLED, OWN = Shape(2, 0.4, True), Shape(2, 0.4, False)


def drifts(
    seed: int = 0, n_runs: int = 6, length: int = 30, d: int = 3, noise: float = 0.05
) -> list[np.ndarray]:
    """Runs that go along a curve, each at its own pace, with noise."""
    draw = np.random.default_rng(seed)
    runs = []
    for _ in range(n_runs):
        along = np.linspace(0, draw.uniform(2, 3), length)
        curve = np.stack([np.sin((1 + j / 3) * along) for j in range(d)], axis=1)
        runs.append(curve + noise * draw.normal(size=curve.shape))
    return runs


def fitted(shape: Shape, runs: Sequence[np.ndarray], noise: Noise = GAUSSIAN) -> SmoothField:
    """A field with this noise, whatever the runs say of it."""
    field = SmoothField(shape, FLOOR).fit(runs)
    field.noise = noise
    return field


def places(field: SmoothField, run: np.ndarray) -> np.ndarray:
    """Where a run is before each step: averaged over the last checkpoints, and projected."""
    averages = [run[0]]
    for row in run[1:-1]:
        averages.append(field.shape.memory * averages[-1] + (1 - field.shape.memory) * row)
    place = (np.array(averages) - field.centre) @ field.axes
    if field.shape.timed:
        times = [t / max(len(place) - 1, 1) for t in range(len(place))]
        place = np.column_stack([place, times])
    return place


def say(field: SmoothField, runs: Sequence[np.ndarray]) -> np.ndarray:
    """How much (n, A) each anchor has to say of each step, by a plain loop."""
    rows = []
    for place in np.concatenate([places(field, run) for run in runs]):
        weights = [
            np.exp(-0.5 * np.sum((place - anchor) ** 2) / field.shape.bandwidth**2)
            for anchor in field.anchors
        ]
        rows.append(np.array(weights) / np.sum(weights))
    return np.array(rows)


def regression(
    before: np.ndarray,
    change: np.ndarray,
    weights: np.ndarray,
    own: bool,
    flow: np.ndarray | None = None,
    of_all: np.ndarray | float = 1.0,
    ridge: float = 1e-2,
) -> np.ndarray:
    """b and B (1 + d, d) by NumPy's least squares: the ridge and the lean on all as imagined rows.

    `flow` is the regression of all rows, by weights `of_all`, which counts for 0.3 of a row.
    """
    rows = np.hstack([np.ones((len(before), 1)), before])
    design, right = [np.sqrt(weights)[:, None] * rows], [np.sqrt(weights)[:, None] * change]
    if flow is not None:
        lean = np.sqrt(0.3 * of_all / len(rows) * np.ones(len(rows)))[:, None]
        design.append(lean * rows)
        right.append(lean * (rows @ flow))
    design.append(np.sqrt(np.diag([1e-9, *[ridge] * before.shape[1]])))
    right.append(np.zeros((rows.shape[1], change.shape[1])))
    a, b = np.vstack(design), np.vstack(right)
    if not own:
        return np.asarray(np.linalg.lstsq(a, b, rcond=None)[0])
    found = np.zeros((rows.shape[1], change.shape[1]))
    for j in range(change.shape[1]):
        columns = [0, 1 + j]
        found[columns, j] = np.linalg.lstsq(a[:, columns], b[:, j], rcond=None)[0]
    return found


def learnt(field: SmoothField, runs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Flows and covariances at the anchors, twice: then each row counts by its noise."""
    before = np.vstack([run[:-1] for run in runs])
    change = np.vstack([np.diff(run, axis=0) for run in runs])
    rows = np.hstack([np.ones((len(before), 1)), before])
    weights, own = say(field, runs), not field.shape.coupled
    n, d = change.shape
    sizes = np.ones(len(field.anchors))
    ridge = 1e-2 / len(field.anchors)  # the anchors share it
    for _ in range(2):
        noise = np.array([np.prod(sizes**w) for w in weights])
        counts = len(rows) / noise / np.sum(1 / noise)  # they sum to the number of rows
        usual_flow = regression(before, change, counts, own)
        flows = np.array([
            regression(before, change, w * counts, own, usual_flow, counts, ridge)
            for w in weights.T
        ])  # fmt: skip
        left = np.array([
            (delta - row @ np.tensordot(ws, flows, axes=1)) / np.sqrt(size)
            for delta, row, ws, size in zip(change, rows, weights, noise, strict=True)
        ])  # fmt: skip
        usual = left.T @ left / n
        covariances = []
        for w, size in zip(weights.T, sizes, strict=True):
            scatter = sum(one * np.outer(r, r) for one, r in zip(w, left, strict=True))
            # Ten rows' worth of the usual covariance's shape, with the size of residuals here.
            here = np.trace(np.linalg.solve(usual, scatter)) / max(w.sum(), 1e-300) / d
            here = here if w.sum() > 1e-9 else 1.0
            covariances.append(size * (scatter + 10 * here * usual) / (w.sum() + 10))
        sizes = np.linalg.det(covariances) ** (1 / d)
    return flows, np.array(covariances)


@pytest.mark.parametrize("shape", [COUPLED, OWN, SHAPES["field_averaged"], SHAPES["field_timed"]])
def test_every_anchor_is_a_weighted_regression_with_the_covariance_of_its_residuals(
    shape: Shape,
) -> None:
    runs = drifts()
    field = fitted(shape, runs)
    assert len(field.anchors) == sum(len(run) - 1 for run in runs) // 20
    flows, covariances = learnt(field, runs)
    np.testing.assert_allclose(field.flows, flows, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(field.covariances, covariances, rtol=1e-6, atol=1e-12)


def test_a_place_of_little_noise_has_little_though_much_is_near() -> None:
    draw = np.random.default_rng(0)
    noise = np.where(np.arange(100) < 10, 1.0, 0.01)[:, None]
    runs = [np.linspace(-2, 2, 100)[:, None] + noise * draw.normal(size=(100, 2)) for _ in range(8)]
    field = fitted(Shape(1, 0.3, True), runs)
    rest = [run[50:] for run in runs]
    weights = field._weights(Steps.of(rest, 0.0))
    # A step has the noise of two rows.
    assert np.median(field._covariances(weights)[:, 0, 0]) < 2.5 * 2 * 0.01**2


def test_one_anchor_is_one_autoregression_for_all_of_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ANCHORS", 1)
    runs = drifts()
    before = np.vstack([run[:-1] for run in runs])
    change = np.vstack([np.diff(run, axis=0) for run in runs])
    for shape in (COUPLED, OWN):
        field = fitted(shape, runs)
        found = regression(before, change, np.ones(len(before)), not shape.coupled)
        np.testing.assert_allclose(field.flows, [found], atol=1e-3)
        left = change - found[0] - before @ found[1:]
        expected = left.T @ left / len(before)
        np.testing.assert_allclose(field.covariances, [expected], rtol=1e-3, atol=1e-6)


def by_scipy(
    field: SmoothField, run: np.ndarray, shares: Sequence[float] = (0.0, 0.0)
) -> list[float]:
    """Log density of what is seen of each next row, under Gaussian noise."""
    found, last, average = [], np.zeros(run.shape[1]), np.zeros(run.shape[1])
    filled = run.copy()
    for j in range(run.shape[1]):
        known = np.flatnonzero(~np.isnan(run[:, j]))
        filled[:, j] = np.interp(np.arange(len(run)), known, run[known, j])
    for t, weights in enumerate(say(field, [filled])):
        flow = sum(w * f for w, f in zip(weights, field.flows, strict=True))
        sizes = np.linalg.det(field.covariances) ** (1 / run.shape[1])
        size = np.prod(sizes**weights)
        shapes = field.covariances / sizes[:, None, None]
        covariance = size * sum(w * c for w, c in zip(weights, shapes, strict=True))
        mean = filled[t] + flow[0] + filled[t] @ flow[1:]
        seen = ~np.isnan(run[t + 1])
        if seen.any():
            followed = mean + shares[0] * last + shares[1] * average
            here = multivariate_normal(followed[seen], covariance[np.ix_(seen, seen)])
            found.append(float(here.logpdf(run[t + 1][seen])))
        last = np.where(seen, run[t + 1] - mean, 0.0)
        average = 0.8 * average + 0.2 * last
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_densities_are_those_of_scipy(name: str) -> None:
    field = fitted(SHAPES[name], drifts())
    others = drifts(1, n_runs=3)
    expected = [sum(by_scipy(field, run)) for run in others]
    np.testing.assert_allclose(field.foretold(others), expected, rtol=1e-8)


@pytest.mark.parametrize("name", SHAPES)
def test_missing_entries_leave_the_density_of_what_is_seen(name: str) -> None:
    runs, others = drifts(), drifts(1, n_runs=2)
    runs[0][3, 1] = runs[2][7] = np.nan
    others[0][5, 0] = others[0][5, 2] = others[1][9] = others[1][0, 1] = np.nan
    field = fitted(SHAPES[name], runs)
    assert np.isfinite(field.covariances).all()
    expected = [sum(by_scipy(field, run)) for run in others]
    np.testing.assert_allclose(field.foretold(others), expected, rtol=1e-8)


@pytest.mark.parametrize("name", SHAPES)
def test_residuals_are_followed_where_noise_switches(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, others = drifts(), drifts(1, n_runs=2)
    others[0][5, 0] = others[0][5, 2] = others[1][9] = np.nan
    field = fitted(SHAPES[name], runs, Noise(np.inf, switching=True))
    assert np.abs(field.shares).max() > 0.02
    monkeypatch.setattr(field_noise, "_LEVELS", (1.0, 1.0))  # that are no change of size
    expected = [sum(by_scipy(field, run, field.shares)) for run in others]
    np.testing.assert_allclose(field.foretold(others), expected, rtol=1e-8)
    steps = Steps.of(runs, field.shape.memory)
    learnt = field._products(steps, field._weights(steps))
    np.testing.assert_array_equal(shares_of(learnt[0], learnt[2]), field.shares)


def test_an_anchor_without_rows_leans_on_all_rows() -> None:
    # A run far off has an anchor of its own, and is in one of the two folds only.
    runs = drifts()
    far = [*runs, drifts(2, n_runs=1)[0] + 30.0]
    field = SmoothField(Shape(2, 0.2, True), FLOOR)
    field._place(far)
    field._learn(runs)
    away = int(np.argmax(np.abs(field.anchors[:, 0] - np.median(field.anchors[:, 0]))))
    flows, covariances = learnt(field, runs)
    np.testing.assert_allclose(field.flows[away], flows[away], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(field.covariances[away], covariances[away], rtol=1e-3)


def noisy(kind: str, seed: int) -> list[np.ndarray]:
    """Runs without drift in two metrics, whose noise is of some kind."""
    draw = np.random.default_rng(seed)
    runs = []
    for _ in range(10):
        steps = draw.normal(size=(200, 2))
        if kind == "spikes":
            steps *= np.where(draw.uniform(size=(200, 1)) < 0.04, 10.0, 1.0)
        if kind == "levels":
            steps *= np.repeat(draw.choice([0.1, 1.0], size=(10, 1)), 20, axis=0)
        runs.append(0.5 * steps + np.linspace(-1, 1, 200)[:, None])
    return runs


def noise_of(kind: str, seed: int) -> Noise:
    return SmoothField(COUPLED, FLOOR).fit(noisy(kind, seed)).noise


def test_plain_noise_is_plain_noise() -> None:
    found = [noise_of("plain", seed) for seed in range(10)]
    assert min(noise.degrees for noise in found) >= 20
    # Of many kinds of noise, chance prefers another one now and then.
    assert sum((noise.swell, noise.switching) == (0.0, False) for noise in found) >= 9


@pytest.mark.parametrize("seed", range(3))
def test_spikes_and_levels_are_told_from_plain_noise(seed: int) -> None:
    assert noise_of("spikes", seed).degrees <= 4
    levels = noise_of("levels", seed)
    assert levels.switching or levels.swell


def test_the_noise_is_chosen_by_runs_that_were_not_learnt_from() -> None:
    runs = noisy("levels", 0)
    field = SmoothField(COUPLED, FLOOR)
    field._place(runs)
    totals = dict.fromkeys(NOISES, 0.0)
    for learnt, judging in ((runs[0::2], runs[1::2]), (runs[1::2], runs[0::2])):
        field._learn(learnt)
        for noise in totals:
            field.noise = noise
            totals[noise] += field.foretold(judging).sum()
    chosen = SmoothField(COUPLED, FLOOR).fit(runs)
    assert chosen.noise == max(totals, key=lambda noise: totals[noise])
    field._learn(runs)  # and then all of them are learnt from
    np.testing.assert_array_equal(field.flows, chosen.flows)
    np.testing.assert_array_equal(field.shares, chosen.shares)


def test_a_run_tells_nothing_of_the_others() -> None:
    field = SmoothField(COUPLED, FLOOR).fit(drifts())
    others = drifts(1, n_runs=4)
    before = field.foretold(others)
    others[2] = others[2][:9] * 3
    after = field.foretold(others)
    np.testing.assert_allclose(after[[0, 1, 3]], before[[0, 1, 3]], rtol=1e-12)
    assert after[2] != before[2]
    np.testing.assert_allclose(field.foretold(others[::-1]), after[::-1], rtol=1e-12)


def test_only_where_a_run_is_counts_or_when_too_if_timed() -> None:
    run = drifts(1)[0]
    for name, shape in SHAPES.items():
        field = fitted(shape, drifts())
        whole = field.foretold([run])[0]
        parts = field.foretold([run[:13], run[12:]]).sum()
        assert (abs(whole - parts) < 1e-9 * abs(whole)) == (not shape.timed and not shape.memory), (
            name
        )


def test_steps_of_averaged_positions() -> None:
    run = np.array([[1.0], [3.0], [np.nan], [7.0]])
    steps = Steps.of([run, run[:2]], memory=0.5)
    assert steps.before[:, 0].tolist() == [1, 3, 5, 1]  # interpolated between 3 and 7
    assert steps.change[:, 0].tolist() == [2, 0, 2, 2]
    assert steps.missing[:, 0].tolist() == [False, True, False, False]
    assert steps.place[:, 0].tolist() == [1, 2, 3.5, 1]
    assert steps.time.tolist() == [0, 0.5, 1, 0]
    assert steps.lengths == [3, 1]


def observed(runs: Sequence[np.ndarray], n_validation: int = 0) -> Observations:
    """Observations of runs, the last ones held out."""
    names = [f"m{j}" for j in range(runs[0].shape[1])]
    tables = [
        pd.DataFrame(run, columns=names).assign(
            seed=seed,
            step=np.arange(len(run)),
            split="validation" if seed >= len(runs) - n_validation else "train",
        )
        for seed, run in enumerate(runs)
    ]
    return Observations(pd.concat(tables, ignore_index=True), tuple(names))


def test_fields_of_all_shapes_learn_from_training_runs_and_foretell_all() -> None:
    runs = [*drifts(), *drifts(3, n_runs=2)]
    runs[1] = runs[1][:1]  # nothing to learn from, and nothing to foretell
    seen, judged = observed(runs, n_validation=2), observed([*runs, *drifts(4, n_runs=1)])
    found = foretold_by_fields(seen, judged, FLOOR)
    assert list(found) == list(SHAPES)
    learnt = [run for run in runs[:6] if len(run) > 1]
    for name, density in found.items():
        assert density.shape == (9,)
        assert density[1] == 0
        field = SmoothField(SHAPES[name], FLOOR).fit(learnt)
        expected = field.foretold([run for run in [*runs, *drifts(4, n_runs=1)] if len(run) > 1])
        np.testing.assert_allclose(np.delete(density, 1), expected, rtol=1e-10)
    # What is held out has no say.
    runs[6], runs[7] = runs[6] * 5, runs[7] - 3
    again = foretold_by_fields(observed(runs, n_validation=2), judged, FLOOR)
    for name, density in again.items():
        np.testing.assert_array_equal(density, found[name])


@pytest.mark.parametrize(
    "runs",
    [
        [np.zeros((5, 2)), np.zeros((5, 2))],  # nothing moves
        [np.array([[0.0, 1.0], [1.0, 0.0]])],  # a single step
        [run * [1, 1, 0] for run in drifts(n_runs=2)],  # a metric stands still
        [run[:, [0, 0, 0]] for run in drifts(n_runs=3)],  # metrics that are the same
        [run * 1e-8 for run in drifts(n_runs=2)],
        [run[:, :1] for run in drifts(n_runs=2)],  # fewer metrics than components
    ],
)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_degenerate_runs_have_finite_densities(shape: Shape, runs: list[Any]) -> None:
    field = SmoothField(shape, 1e-3).fit(runs)
    assert np.isfinite(field.foretold(runs)).all()
    assert np.linalg.eigvalsh(field.covariances).min() >= 1e-3 * (1 - 1e-9)


@pytest.mark.parametrize("shape", [COUPLED, OWN, SHAPES["field_timed"]])
def test_many_rows_and_large_matrices_are_taken_in_parts(
    shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = drifts()
    runs[1][3, 1] = np.nan
    at_once = SmoothField(shape, FLOOR).fit(runs)
    for name, value in (("_AT_ONCE", 290), ("_LARGE", 2), ("_RUNS_AT_ONCE", 4)):
        monkeypatch.setattr(module, name, value)
        in_parts = SmoothField(shape, FLOOR).fit(runs)
        np.testing.assert_allclose(in_parts.covariances, at_once.covariances, rtol=1e-7)
        np.testing.assert_allclose(in_parts.foretold(runs), at_once.foretold(runs), rtol=1e-9)

"""The metrics of spectra beyond the paper's, against their twin and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.metrics_twin import spectral_twin, tail_exponent_twin
from tests.unit.metrics.test_compute import FAMILIES
from training_maps.metrics.compute import checkpoint_metrics
from training_maps.metrics.definitions import EXTRA_METRICS, METRIC_COLUMNS, METRICS
from training_maps.utils.errors import InputError

COLUMNS = ("stable_rank", "effective_rank", "tail_exponent")


def measured(*weights, threads=1):
    return checkpoint_metrics(weights, columns=COLUMNS, threads=threads)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("shape", [(64, 64), (40, 128), (128, 40), (300, 7), (3, 4), (1, 50)])
def test_one_matrix_against_the_twin(shape, family):
    weight = family(shape, np.random.default_rng([*shape, len(family.__name__)]))
    metrics, expected = measured(weight), spectral_twin([weight])
    if "spread" in family.__name__:
        # Small singular values are known to epsilon of the largest, relatively to themselves less.
        tail, expected_tail = metrics.pop("tail_exponent", 0), expected.pop("tail_exponent", 0)
        assert tail == pytest.approx(expected_tail, rel=1e-5)
    assert metrics == pytest.approx(expected, rel=1e-9)


def test_a_network_is_the_mean_over_its_matrices():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in [(30, 40), (80, 25), (4, 4), (9, 1)]]
    expected = spectral_twin(weights)
    assert expected["tail_exponent"] == spectral_twin(weights[:2])["tail_exponent"]
    for threads in (1, 3):
        assert measured(*weights, threads=threads) == pytest.approx(expected, rel=1e-9)
    assert measured(*weights, threads=1) == measured(*weights, threads=3)


def test_closed_forms():
    """An identity stretches all directions alike; a matrix of rank one, one; zeros, none."""
    identity = measured(np.eye(40))
    assert identity == pytest.approx({"stable_rank": 40, "effective_rank": 40}, rel=1e-14)
    rank_one = measured(np.outer(np.arange(1.0, 31), np.arange(1.0, 41)))
    assert rank_one == pytest.approx({"stable_rank": 1, "effective_rank": 1}, rel=1e-10)
    assert measured(np.zeros((3, 4))) == {"stable_rank": 0, "effective_rank": 0}
    diagonal = measured(np.diag([2.0, 1.0, 1.0]))
    assert diagonal["stable_rank"] == pytest.approx(6 / 4)
    assert diagonal["effective_rank"] == pytest.approx(2**0.5 * 4**0.5)


@pytest.mark.parametrize("alpha", [1.8, 2.5, 4.0])
def test_the_exponent_of_a_known_law_is_found(alpha):
    """Singular values whose squares are a sample of a Pareto law of exponent `alpha`."""
    rng = np.random.default_rng(1)
    squares = 1 + rng.pareto(alpha - 1, 500)
    found = measured(np.diag(np.sqrt(squares)))["tail_exponent"]
    assert found == pytest.approx(tail_exponent_twin(squares), rel=1e-9)
    # The likelihood's standard error is (alpha - 1) / sqrt(n); the tail may be half the sample.
    assert abs(found - alpha) < 4 * (alpha - 1) / np.sqrt(250)


def test_too_few_singular_values_have_no_tail():
    rng = np.random.default_rng(2)
    assert "tail_exponent" not in measured(rng.normal(size=(19, 60)))
    assert "tail_exponent" in measured(rng.normal(size=(20, 60)))
    low_rank = rng.normal(size=(60, 10)) @ rng.normal(size=(10, 60))
    assert "tail_exponent" not in measured(low_rank)
    rotation, _ = np.linalg.qr(rng.normal(size=(60, 60)))
    assert "tail_exponent" not in measured(rotation)


@given(st.integers(0, 2**32), st.integers(2, 30), st.integers(2, 30), st.floats(-90, 90))
def test_invariance(seed, rows, cols, decades):
    """Neither transposing, permuting, rotating nor scaling changes a rank or an exponent."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(rows, cols))
    reference = measured(weight)
    rotation, _ = np.linalg.qr(rng.normal(size=(rows, rows)))
    moved = [weight.T, rng.permutation(weight), rotation @ weight, 10.0**decades * weight]
    for other in moved:
        metrics = measured(other)
        assert metrics == pytest.approx(reference, rel=1e-8)


def test_tables_keep_the_columns_of_the_paper():
    weight = np.random.default_rng(3).normal(size=(30, 30))
    plain = checkpoint_metrics([weight], [np.ones(2)])
    assert tuple(plain) == METRIC_COLUMNS
    assert len(METRICS) == 14
    assert set(COLUMNS) <= {metric.column for metric in EXTRA_METRICS}
    mixed = checkpoint_metrics([weight], columns=["tail_exponent", "l2"])
    assert tuple(mixed) == ("tail_exponent", "l2")
    assert mixed["l2"] == plain["l2"]
    with pytest.raises(InputError, match="there is no metric rank"):
        checkpoint_metrics([weight], columns=["rank"])
    with pytest.raises(InputError, match="distance_from_start is no metric of arrays in memory"):
        checkpoint_metrics([weight], columns=["distance_from_start"])

"""The 14 metrics of arrays in memory, against a float64 twin in NumPy and closed forms."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.metrics_twin import assert_close, twin
from training_maps.metrics.compute import checkpoint_metrics
from training_maps.metrics.definitions import BIAS_COLUMNS, METRIC_COLUMNS, METRICS
from training_maps.utils.errors import InputError

SHAPES = [(64, 64), (40, 128), (128, 40), (300, 7), (3, 1000), (2, 2), (1, 50), (50, 1), (1, 1)]


def gaussian(shape, rng):
    return rng.normal(0.02, 1, shape)


def uniform(shape, rng):
    return rng.uniform(-0.1, 0.1, shape)


def rank_deficient(shape, rng):
    rank = max(1, min(shape) // 4)
    return rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))


def dead_rows(shape, rng):
    matrix = rng.normal(size=shape)
    matrix[: shape[0] // 2] = 0
    return matrix


def spread(decades):
    """A family of matrices whose singular values fall over so many decades."""

    def family(shape, rng):
        side = min(shape)
        left, _ = np.linalg.qr(rng.normal(size=(shape[0], side)))
        right, _ = np.linalg.qr(rng.normal(size=(shape[1], side)))
        return (left * np.logspace(0, -decades, side)) @ right.T

    family.__name__ = f"spread_{decades}_decades"
    return family


def far_from_zero(shape, rng):
    return 100 + rng.normal(size=shape)


FAMILIES = [
    gaussian,
    uniform,
    rank_deficient,
    dead_rows,
    far_from_zero,
    *(spread(decades) for decades in (2, 4, 6, 8, 12)),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
def test_one_matrix_against_the_twin(shape, family, dtype):
    rng = np.random.default_rng([shape[0], shape[1], len(family.__name__)])
    weight, bias = family(shape, rng).astype(dtype), rng.normal(size=9).astype(dtype)
    assert_close(checkpoint_metrics([weight], [bias]), twin([weight], [bias]))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_network_of_all_kinds_of_matrices(dtype):
    rng = np.random.default_rng(1)
    weights = [family(shape, rng).astype(dtype) for family in FAMILIES for shape in SHAPES]
    weights.append(np.zeros((5, 8), dtype))
    biases = [rng.normal(size=n).astype(dtype) for n in (1, 10, 4097)]
    assert_close(checkpoint_metrics(weights, biases), twin(weights, biases))


def test_large_matrices_take_the_counting_median():
    """More than 2^17 values, of an odd and an even number, and of two types at once."""
    rng = np.random.default_rng(2)
    for shape in [(301, 601), (400, 512)]:
        weight = rng.normal(size=shape).astype(np.float32)
        assert_close(checkpoint_metrics([weight]), twin([weight]))
    mixed = [rng.normal(size=(300, 301)).astype(np.float32), rng.normal(size=(300, 300))]
    for threads in (1, 3):
        assert_close(checkpoint_metrics(mixed, threads=threads), twin(mixed))


def test_closed_forms_of_a_diagonal_matrix():
    metrics = checkpoint_metrics([np.diag([3.0, -4.0, 5.0])], [np.array([1.0, 2.0, 3.0, 6.0])])
    expected = {
        "l1": 12.0,
        "l2": 50**0.5,
        "l1_over_l2": 12 / 50**0.5,
        "mean_w": 4 / 9,
        "median_w": 0.0,
        "var_w": 50 / 9 - (4 / 9) ** 2,
        "mean_b": 3.0,
        "median_b": 2.5,
        "var_b": 3.5,
        "trace": 4.0,
        "lambda_max": 5.0,
        "trace_over_lambda_max": 0.8,
        "mean_lambda": 4.0,
        "var_lambda": 2 / 3,
    }
    assert metrics == pytest.approx(expected, rel=1e-14)
    assert tuple(metrics) == METRIC_COLUMNS


def test_means_run_over_matrices_and_moments_over_weights():
    """Two matrices of different size tell a mean over matrices from one over weights."""
    metrics = checkpoint_metrics([np.ones((1, 1)), np.full((2, 3), 5.0)])
    assert metrics["l1"] == (1 + 30) / 2
    assert metrics["mean_w"] == pytest.approx(31 / 7)
    assert metrics["median_w"] == 5


def test_all_zero_matrices_have_zero_ratios():
    metrics = checkpoint_metrics([np.zeros((4, 3)), np.zeros((3, 4))], [np.zeros(2)])
    assert metrics == dict.fromkeys(METRIC_COLUMNS, 0.0)
    one_of_two = checkpoint_metrics([np.zeros((2, 2)), np.eye(2)])
    assert one_of_two["l1_over_l2"] == pytest.approx(2**0.5 / 2)
    assert one_of_two["trace_over_lambda_max"] == pytest.approx(1.0)


def test_one_singular_value_has_no_variance():
    rng = np.random.default_rng(3)
    for shape in [(1, 33), (33, 1)]:
        assert checkpoint_metrics([rng.normal(size=shape)])["var_lambda"] == 0.0


def test_equal_singular_values_have_next_to_no_variance():
    rotation, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(50, 50)))
    metrics = checkpoint_metrics([rotation])
    assert metrics["mean_lambda"] == pytest.approx(1, rel=1e-14)
    assert 0 <= metrics["var_lambda"] < 1e-28


def test_without_biases_their_columns_are_absent():
    metrics = checkpoint_metrics([np.eye(2)])
    assert tuple(metrics) == tuple(c for c in METRIC_COLUMNS if c not in BIAS_COLUMNS)


def test_magnitudes_whose_squares_leave_the_range():
    weight = np.random.default_rng(5).normal(size=(20, 30))
    reference = checkpoint_metrics([weight])
    for exponent in (-600, -500, 450, 500):
        metrics = checkpoint_metrics([np.ldexp(weight, exponent)])
        for column in ("l1", "l2", "lambda_max", "mean_lambda", "trace"):
            assert metrics[column] == pytest.approx(
                np.ldexp(reference[column], exponent), rel=1e-13
            )
        for column in ("l1_over_l2", "trace_over_lambda_max"):
            assert metrics[column] == pytest.approx(reference[column], rel=1e-13)


def test_a_metric_that_overflows_is_an_error():
    with pytest.raises(InputError, match="metric var_w overflows"):
        checkpoint_metrics([np.array([[1e300, -1e300]])])


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40))
def test_invariance(seed, rows, cols):
    """Transposing changes nothing; permuting or rotating rows and columns leaves the spectrum."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(rows, cols))
    reference = checkpoint_metrics([weight], threads=1)
    assert_close(checkpoint_metrics([weight.T], threads=1), reference)
    left, _ = np.linalg.qr(rng.normal(size=(rows, rows)))
    right, _ = np.linalg.qr(rng.normal(size=(cols, cols)))
    for moved in (rng.permutation(weight), rng.permutation(weight, axis=1), left @ weight @ right):
        metrics = checkpoint_metrics([moved], threads=1)
        for column in ("l2", "lambda_max", "mean_lambda", "var_lambda"):
            assert metrics[column] == pytest.approx(reference[column], rel=1e-9, abs=1e-13)


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40), st.floats(-100, 100))
def test_scaling(seed, rows, cols, decades):
    """A factor comes out of every metric as often as its formula says."""
    rng = np.random.default_rng(seed)
    weight, bias, factor = rng.normal(size=(rows, cols)), rng.normal(size=5), 10.0**decades
    reference = checkpoint_metrics([weight], [bias], threads=1)
    metrics = checkpoint_metrics([factor * weight], [factor * bias], threads=1)
    for column in METRIC_COLUMNS:
        power = 2 if column.startswith("var") else 0 if "_over_" in column else 1
        terms = max(abs(reference[column]), reference["l2"] / reference["lambda_max"] * 1e-3)
        assert abs(metrics[column] / factor**power - reference[column]) <= 1e-9 * terms


def test_views_are_read_as_they_look():
    base = np.random.default_rng(6).normal(size=(2, 30, 40))
    for view in (base[0].T, base[0, ::2, ::-3], base[:, 1], np.asfortranarray(base[1])):
        assert_close(checkpoint_metrics([view], [view[0]]), twin([view], [view[0]]))
        single = view.astype(np.float32, order="K")
        assert_close(checkpoint_metrics([single]), twin([single]))
    read_only = base[0].copy()
    read_only.flags.writeable = False
    assert checkpoint_metrics([read_only]) == checkpoint_metrics([base[0]])


def test_unaligned_and_big_endian_arrays():
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    raw = np.frombuffer(b"\0" + values.tobytes(), np.uint8)[1:]
    unaligned = raw.view(np.float32).reshape(3, 4)
    assert not unaligned.flags.aligned
    assert checkpoint_metrics([unaligned]) == checkpoint_metrics([values])
    assert checkpoint_metrics([values.astype(">f4")]) == checkpoint_metrics([values])


def test_heads_and_kernels():
    rng = np.random.default_rng(7)
    heads, kernel = rng.normal(size=(4, 8, 32)), rng.normal(size=(16, 3, 5, 5))
    assert_close(checkpoint_metrics([heads, kernel]), twin([*heads, kernel.reshape(16, 75)]))


def test_any_number_of_threads_gives_the_same_bits():
    rng = np.random.default_rng(8)
    weights = [rng.normal(size=(n, 400)).astype(np.float32) for n in range(2, 402, 25)]
    biases = [rng.normal(size=1000)]
    reference = checkpoint_metrics(weights, biases, threads=1)
    for threads in (2, 3, 8):
        assert checkpoint_metrics(weights, biases, threads=threads) == reference


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_non_finite_value_is_named_with_its_place(value, dtype):
    weights = [np.ones((2, 2), dtype), np.ones((3, 70, 100), dtype)]
    weights[1][2, 69, 98] = value
    for threads in (1, 2):
        with pytest.raises(InputError, match=r"weights\[1\] holds .* at index \[2, 69, 98\]"):
            checkpoint_metrics(weights, threads=threads)
    bias = np.ones(5000, dtype)
    bias[4500] = value
    with pytest.raises(InputError, match=r"biases\[0\] holds .* at index \[4500\]"):
        checkpoint_metrics([np.ones((2, 2), dtype)], [bias])


@pytest.mark.parametrize(
    ("weights", "biases", "threads", "message"),
    [
        ([], [], 1, "at least one weight matrix"),
        ([np.ones(3)], [], 1, r"weights\[0\] has shape \[3\]"),
        ([np.ones((0, 3))], [], 1, r"weights\[0\] has shape \[0, 3\]"),
        ([np.ones((2, 2), int)], [], 1, r"weights\[0\]: has dtype int64; expected float64"),
        ([np.ones((2, 2), complex)], [], 1, "has dtype complex128"),
        ([np.ones((2, 2))], [np.ones(2, bool)], 1, r"biases\[0\]: has dtype bool"),
        ([np.ones((2, 2))], [], 0, "threads: expected at least 1"),
    ],
)
def test_what_is_refused(weights, biases, threads, message):
    with pytest.raises(InputError, match=message):
        checkpoint_metrics(weights, biases, threads=threads)


def test_the_table_of_metrics_is_that_of_the_extension():
    computed = checkpoint_metrics([np.eye(2)], [np.ones(1)])
    assert tuple(computed) == tuple(metric.column for metric in METRICS)
    assert len({metric.symbol for metric in METRICS}) == 14


def test_the_table_of_metrics_needs_no_extension():
    code = (
        "import sys, training_maps.metrics as m; assert len(m.METRICS) == 14;"
        "print([n for n in sys.modules if n.endswith('_rust_metrics') or n == 'torch'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert result.stdout.strip() == b"[]"


def test_labels_are_valid_mathtext():
    from matplotlib.mathtext import MathTextParser

    for metric in METRICS:
        MathTextParser("agg").parse(metric.mathtext)


@pytest.mark.parametrize("weights", ["file.pt", Path("file.pt"), {"a": np.eye(2)}])
def test_of_a_file_it_is_said_what_measures_it(weights):
    with pytest.raises(InputError, match=r"expected arrays.*run_metrics measures a folder"):
        checkpoint_metrics(weights)

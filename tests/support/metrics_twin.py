"""An independent computation of the metrics: float64, full decompositions, plain NumPy.

Written from the formulas of Hu et al. 2023, Appendix B, and of the papers named below, sharing no
code with the package.
"""

import numpy as np


def twin(weights, biases=()):
    """Metrics of weight matrices, each of shape (rows, cols), or (n, rows, cols) for n of them."""
    matrices = []
    for weight in weights:
        matrices += list(weight) if weight.ndim == 3 else [weight]
    matrices = [np.asarray(matrix, np.float64) for matrix in matrices]
    spectra = [np.linalg.svd(matrix)[1] for matrix in matrices]
    l1 = np.array([np.abs(matrix).sum() for matrix in matrices])
    l2 = np.array([np.sqrt((matrix**2).sum()) for matrix in matrices])
    traces = np.array([np.trace(matrix) for matrix in matrices])
    largest = np.array([spectrum.max() for spectrum in spectra])
    w = np.concatenate([matrix.ravel() for matrix in matrices])
    metrics = {
        "l1": l1.mean(),
        "l2": l2.mean(),
        "l1_over_l2": np.divide(l1, l2, where=l2 > 0, out=np.zeros_like(l1)).mean(),
        "mean_w": w.mean(),
        "median_w": np.median(w),
        "var_w": w.var(),
        "trace": traces.mean(),
        "lambda_max": largest.mean(),
        "trace_over_lambda_max": np.divide(
            traces, largest, where=largest > 0, out=np.zeros_like(traces)
        ).mean(),
        "mean_lambda": np.mean([spectrum.mean() for spectrum in spectra]),
        "var_lambda": np.mean([spectrum.var() for spectrum in spectra]),
    }
    if biases:
        b = np.concatenate([np.asarray(bias, np.float64).ravel() for bias in biases])
        metrics |= {"mean_b": b.mean(), "median_b": np.median(b), "var_b": b.var()}
    return metrics


def spectral_twin(weights):
    """Stable rank, effective rank and tail exponent of matrices (rows, cols), none of them 0."""
    spectra = [np.linalg.svd(np.asarray(weight, np.float64))[1] for weight in weights]
    shares = [spectrum / spectrum.sum() for spectrum in spectra]
    entropies = [-np.sum(p[p > 0] * np.log(p[p > 0])) for p in shares]
    tails = [
        tail_exponent_twin(spectrum[spectrum > spectrum.max() * max(weight.shape) * 2.0**-52] ** 2)
        for spectrum, weight in zip(spectra, weights, strict=True)
    ]
    tails = [tail for tail in tails if tail is not None]
    metrics = {
        "stable_rank": np.mean([np.sum(s**2) / s.max() ** 2 for s in spectra]),
        "effective_rank": np.mean(np.exp(entropies)),
    }
    return metrics | ({"tail_exponent": np.mean(tails)} if tails else {})


def tail_exponent_twin(values):
    """Clauset, Shalizi and Newman 2009: the likeliest exponent over the nearest tail."""
    if len(values) < 20:
        return None
    nearest, best = np.inf, None
    for start in np.unique(values)[:-1]:
        tail = np.sort(values[values >= start])
        if np.log(tail[-1] / start) <= 1e-6:
            break
        alpha = 1 + len(tail) / np.sum(np.log(tail / start))
        fitted = 1 - (tail / start) ** (1 - alpha)
        distance = np.max(np.abs(fitted - np.arange(len(tail)) / len(tail)))
        if distance < nearest:
            nearest, best = distance, alpha
    return best


def assert_close(metrics, expected, relative=1e-9):
    """Every metric within 1e-9 of the twin's, relatively; zeros exactly.

    Terms of a sum may cancel, leaving less than 1e-5 of their size; then the twin's own rounding
    shows, and the difference may be up to 1e-14 of the terms' root mean square or bound.
    """
    assert set(metrics) == set(expected)
    terms = {
        "mean_w": np.hypot(expected["mean_w"], np.sqrt(expected["var_w"])),
        "trace": expected["l2"],
        "trace_over_lambda_max": expected["l2"] / (expected["lambda_max"] or 1),
        "var_lambda": expected["mean_lambda"] ** 2,
    }
    for column, value in expected.items():
        floor = 1e-14 * terms.get(column, 0.0)
        assert abs(metrics[column] - value) <= max(relative * abs(value), floor), (
            f"{column}: {metrics[column]!r} is not {value!r}"
        )

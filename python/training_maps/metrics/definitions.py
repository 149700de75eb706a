"""The metrics: their columns in tables, their symbols and formulas.

Hu et al. 2023, Appendix B: a checkpoint has K weight matrices W_1..W_K; w are all weights together,
b all biases, and lambda the singular values of a W_k. To read this takes no extension.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from training_maps.metrics import plugins
from training_maps.utils.errors import InputError

FROM_START, FROM_PREVIOUS = "distance_from_start", "distance_from_previous"

DISTANCES = (FROM_START, FROM_PREVIOUS)

# Computed where it is asked for, as it takes a while on small matrices.
TAIL_EXPONENT = "tail_exponent"


@dataclass(frozen=True)
class Metric:
    """One metric: its column in tables, its symbol in text and in figures, and what it is."""

    column: str
    symbol: str
    mathtext: str
    formula: str
    meaning: str


METRICS: tuple[Metric, ...] = (
    Metric(
        "l1", "L1", r"$L_1$", "mean over k of the sum of |entries| of W_k", "size of the weights"
    ),
    Metric(
        "l2",
        "L2",
        r"$L_2$",
        "mean over k of the Frobenius norm of W_k",
        "size of the weights, dominated by the large ones",
    ),
    Metric(
        "l1_over_l2",
        "L1/L2",
        r"$L_1/L_2$",
        "mean over k of L1 / L2 of W_k (0 if W_k = 0)",
        "evenness: low for sparse weights",
    ),
    Metric("mean_w", "μ(w)", r"$\mu(w)$", "mean of all weights", "mean weight"),
    Metric("median_w", "median(w)", r"median$(w)$", "median of all weights", "median weight"),
    Metric("var_w", "var(w)", r"var$(w)$", "variance of all weights", "variance of the weights"),
    Metric("mean_b", "μ(b)", r"$\mu(b)$", "mean of all biases", "mean bias"),
    Metric("median_b", "median(b)", r"median$(b)$", "median of all biases", "median bias"),
    Metric("var_b", "var(b)", r"var$(b)$", "variance of all biases", "variance of the biases"),
    Metric(
        "trace",
        "trace",
        "trace",
        "mean over k of the sum of the main diagonal of W_k",
        "how far the matrices repeat their input",
    ),
    Metric(
        "lambda_max",
        "λ_max",
        r"$\lambda_{\max}$",
        "mean over k of the largest singular value of W_k",
        "the most that a matrix stretches a vector",
    ),
    Metric(
        "trace_over_lambda_max",
        "trace/λ_max",
        r"trace$/\lambda_{\max}$",
        "mean over k of trace / lambda_max of W_k (0 if W_k = 0)",
        "the trace, whatever the size of the weights",
    ),
    Metric(
        "mean_lambda",
        "μ(λ)",
        r"$\mu(\lambda)$",
        "mean over k of the mean singular value of W_k",
        "how much a matrix stretches vectors on average",
    ),
    Metric(
        "var_lambda",
        "var(λ)",
        r"var$(\lambda)$",
        "mean over k of the variance of the singular values of W_k",
        "how unevenly a matrix stretches vectors",
    ),
)

# Metrics that are computed where they are asked for.
EXTRA_METRICS: tuple[Metric, ...] = (
    Metric(
        "stable_rank",
        "stable rank",
        "stable rank",
        "mean over k of (L2 / lambda_max)² of W_k (0 if W_k = 0)",
        "how many directions a matrix stretches about as much as it does the foremost",
    ),
    Metric(
        "effective_rank",
        "effective rank",
        "effective rank",
        "mean over k of exp of the entropy of the singular values of W_k over their sum "
        "(0 if W_k = 0; Roy and Vetterli 2007)",
        "how many directions a matrix uses, each counted by its share",
    ),
    Metric(
        TAIL_EXPONENT,
        "α",
        r"$\alpha$",
        "mean, over the W_k with at least 20 singular values that are not 0, of the exponent alpha "
        "of the power law that fits the largest eigenvalues of W_kᵀ W_k best (Clauset, Shalizi and "
        "Newman 2009)",
        "how heavy the spectrum's tail is: low for few, very large singular values",
    ),
    Metric(
        FROM_START,
        "|w − w₀|",
        r"$|w - w_0|$",
        "Euclidean norm of the difference between all weights and those of the run's first "
        "checkpoint",
        "how far the weights have moved from where they started",
    ),
    Metric(
        FROM_PREVIOUS,
        "|Δw|",
        r"$|\Delta w|$",
        "Euclidean norm of the difference between all weights and those of the checkpoint before "
        "(0 at the first)",
        "how far the weights have moved since the checkpoint before",
    ),
)

# Metrics of a network's loss, which take its data: of runs that are trained here, if asked for.
LANDSCAPE_METRICS: tuple[Metric, ...] = (
    Metric(
        "hessian_max",
        "max H",
        r"$\max H$",
        "largest eigenvalue of the loss's Hessian (16 steps of Lanczos' method)",
        "sharpness: how fast the slope changes along the most curved direction",
    ),
    Metric(
        "hessian_trace",
        "tr H",
        "tr $H$",
        "trace of the loss's Hessian, by 8 random vectors (Hutchinson 1990)",
        "sharpness summed over all directions",
    ),
    Metric(
        "gradient_norm",
        "|g|",
        r"$|g|$",
        "Euclidean norm of the loss's gradient g",
        "how steep the ground is",
    ),
    Metric(
        "gradient_noise_scale",
        "tr S/|g|²",
        r"tr $S/|g|^2$",
        "trace of the covariance S of a single example's gradient, over |g|² (McCandlish et al. "
        "2018)",
        "how large a batch must be for its gradient to be mostly signal",
    ),
)

LANDSCAPE: tuple[str, ...] = tuple(metric.column for metric in LANDSCAPE_METRICS)

ALL_METRICS: tuple[Metric, ...] = (*METRICS, *EXTRA_METRICS, *LANDSCAPE_METRICS)

METRIC_COLUMNS: tuple[str, ...] = tuple(metric.column for metric in METRICS)

_COLUMNS = tuple(metric.column for metric in ALL_METRICS)

# Stands for all of `METRICS` where columns are named.
PAPER = "paper"

BIAS_COLUMNS: tuple[str, ...] = ("mean_b", "median_b", "var_b")

# What each weight matrix has by itself: all but what is of biases or of two checkpoints.
MATRIX_COLUMNS: tuple[str, ...] = tuple(
    column for column in _COLUMNS if column not in (*BIAS_COLUMNS, *DISTANCES, *LANDSCAPE)
)


def metric_columns(names: Sequence[str], *, data: bool = False) -> tuple[str, ...]:
    """The columns that a list of names stands for, in the order of the list.

    Args:
        names: of `ALL_METRICS` and `plugins.installed()`; "paper" for all of `METRICS`, as does
            no name.
        data: whether the training data are there, which `LANDSCAPE_METRICS` take.

    Raises:
        InputError: if a name is unknown, with the nearest that is known, is there twice, or takes
            data that are not there.
    """
    known = (*_COLUMNS, *_plugin_names(names))
    columns: list[str] = []
    for name in names or (PAPER,):
        if name != PAPER and name not in known:
            near = difflib.get_close_matches(name, (*known, PAPER), n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise InputError(
                f"metrics.columns: there is no metric {name}{hint}; the metrics are "
                f"{', '.join(known)}, and {PAPER} stands for the first {len(METRICS)}"
            )
        if name in LANDSCAPE and not data:
            raise InputError(
                f"metrics.columns: {name} takes the network's loss and its training data, so it is "
                "had of runs that are trained here (source: training; the metrics command, with "
                "the manifest of such a run). Of checkpoints alone it cannot be had"
            )
        columns += METRIC_COLUMNS if name == PAPER else (name,)
    twice = {column for column in columns if columns.count(column) > 1}
    if twice:
        raise InputError(f"metrics.columns: {min(twice)} is there twice")
    return tuple(columns)


def _plugin_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of users' metrics, which are looked for only if a name is none of this project's."""
    if set(names) <= {*_COLUMNS, PAPER}:
        return ()
    for name, metric in plugins.installed().items():
        if name in _COLUMNS:
            raise InputError(
                f"{metric}: {name} is a metric of this project; rename the entry point"
            )
    return tuple(plugins.installed())


def plugin_columns(columns: Sequence[str]) -> list[str]:
    """Those of `columns` that are users' metrics."""
    return [column for column in columns if column not in _COLUMNS]

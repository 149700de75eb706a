"""Which metrics tell that a run enters a state: gradients of the filtered posterior.

Proposition 1 of Hu et al. 2023 ranks the metrics of a state k by how much they change its posterior
probability p(s_t = k | z_1:t), and takes the likelihood of z_t in its place. Their later version,
and this module, take the posterior itself, where it matters: at the checkpoints t at which runs
enter k. Whatever metric would have made the model sure that this is k, or doubt it, stands out.

**The gradient.** With a_k = p(s_t = k | z_1:t-1), which does not depend on z_t, and the density
b_k(z_t) = p(z_t | s_t = k, z_t-1), the filtered posterior is

    p_k = p(s_t = k | z_1:t) = a_k b_k(z_t) / sum over m of a_m b_m(z_t)

so that, with the score g_k = d log b_k(z_t) / dz_t,

    d log p_k / dz_t = g_k - sum over m of p_m g_m = sum over m != k of p_m (g_k - g_m)

The second form loses no digits where p_k is close to 1. Gaussian states have the score

    g_k = -Sigma_k^-1 (z_t - e_k),   e_k = mu_k,   or b_k + A_k z_t-1 of an autoregressive state

whatever the type of the covariance (full, diagonal, tied, spherical): types differ in Sigma_k only.
What came before z_t is held fixed. A first row has the same density in all autoregressive states:
its gradient is 0. Of a row with missing entries, the observed ones have the marginal covariance in
place of Sigma_k, and the others no gradient.

**Averages.** Of a transition, over its uses, that is the first checkpoints in the state it enters;
of a state, over all transitions into it; and of a state that no run enters by a transition, where
runs begin, over all of its checkpoints. Gradients keep their sign: a positive one says that a
larger value makes the state more probable. Metrics are ranked by its size. Where the model is sure
anyway, gradients vanish, and those uses where it is least sure count most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from training_maps.hmm.autoregressive import AutoregressiveHMM
from training_maps.hmm.base import HiddenMarkovModel
from training_maps.hmm.missing_values import checked_rows, gaps_filled
from training_maps.training_map.elements import Feature, FeatureChange
from training_maps.training_map.extraction import Edge, entered_rows, used_transitions
from training_maps.utils.notes import Note
from training_maps.utils.numbers import Floats, Ints

if TYPE_CHECKING:
    from training_maps.model_selection.select import SelectedModel
from training_maps.utils.threads import one_thread

POSTERIOR_GRADIENT = "posterior_gradient"

# Gradients of the log posterior, per standard deviation, below which the model was sure anyway.
SURE = 1e-6


def posterior_gradients(
    hmm: HiddenMarkovModel[Any, Any], X: Any, lengths: Any, rows: Ints, states: Ints
) -> Floats:
    """Gradients of log p(s_t = k | z_1:t) with respect to z_t.

    Args:
        hmm: a model with parameters.
        X: (n, d) rows of all sequences, concatenated; NaN marks a missing entry.
        lengths: lengths of the sequences.
        rows: (m,) which rows z_t.
        states: (m,) which state k of each.

    Returns:
        (m, d) gradients, per unit of the row's entries; NaN where an entry is missing.

    Raises:
        ValueError: as `log_filtered`.
    """
    X, lengths = checked_rows(X, lengths)
    posterior = np.exp(hmm.log_filtered(X, lengths)[rows])
    with one_thread():
        scores = _scores(hmm, X, lengths, np.asarray(rows))
    own = scores[np.arange(len(rows)), states]
    return np.einsum("mk,mkd->md", posterior, own[:, None, :] - scores)


def _scores(hmm: HiddenMarkovModel[Any, Any], X: Floats, lengths: Ints, rows: Ints) -> Floats:
    """Gradient (m, K, d) of each state's log density at some rows; NaN where one is missing."""
    expected = np.broadcast_to(hmm.means_, (len(rows), *hmm.means_.shape))
    first = np.zeros(len(rows), dtype=bool)
    if isinstance(hmm, AutoregressiveHMM):
        first = np.isin(rows, np.cumsum(lengths) - lengths)
        before = gaps_filled(X, lengths)[np.maximum(rows - 1, 0)]
        expected = hmm.intercepts_ + np.einsum("kij,mj->mki", hmm.coefficients_, before)
    residual = X[rows][:, None, :] - expected
    scores = np.full_like(residual, np.nan)
    missing = np.isnan(X[rows])
    for pattern in np.unique(missing, axis=0):
        these, seen = np.flatnonzero((missing == pattern).all(axis=1)), ~pattern
        covars = hmm.covars_[:, seen][:, :, seen]  # (K, seen, seen)
        part = residual[these][:, :, seen].transpose(1, 2, 0)  # (K, seen, rows)
        scores[np.ix_(these, np.arange(len(covars)), np.flatnonzero(seen))] = -np.linalg.solve(
            covars, part
        ).transpose(2, 0, 1)
    # All autoregressive states have the same density of a first row, so the same score.
    scores[first] = np.where(np.isnan(scores[first]), np.nan, 0.0)
    return scores


def features_by_posterior_gradient(
    model: SelectedModel, paths: pd.DataFrame, inverse: Mapping[int, np.ndarray], n_features: int
) -> tuple[dict[int, tuple[Feature, ...]], dict[Edge, tuple[FeatureChange, ...]], list[Note]]:
    """Top features of states and of transitions by averaged gradients of the posterior.

    Args:
        model: the selected model.
        paths: every run's path, sorted by seed and step, a row for each row of the observations.
        inverse: diagonal of the inverse covariance, (n_metrics,), of each visited state.
        n_features: how many features a state and a transition have.

    Returns:
        The features of each state and the changes along each transition, largest gradients first,
        and notes on transitions whose gradients say nothing.
    """
    x, lengths, _ = model.observations.sequences()
    metrics, means = tuple(model.observations.metrics), model.hmm.means_
    edges = used_transitions(paths)
    uses = entered_rows(paths, edges)
    features, changes, notes = {}, {}, []
    for state in inverse:
        rows = np.concatenate([*(uses[e] for e in edges if e[1] == state), np.empty(0, dtype=int)])
        if not rows.size:
            rows = np.flatnonzero(paths["state"].to_numpy() == state)
        average = _average(posterior_gradients(model.hmm, x, lengths, rows, _all(state, rows)))
        features[state] = tuple(
            Feature(
                metrics[i], float(inverse[state][i]), float(means[state][i]), _known(average[i])
            )
            for i in _ranked(average)[:n_features]
        )
    for source, target in edges:
        rows = uses[source, target]
        average = _average(posterior_gradients(model.hmm, x, lengths, rows, _all(target, rows)))
        movement = means[target] - means[source]
        changes[source, target] = tuple(
            FeatureChange(metrics[i], float(movement[i]), _known(average[i]))
            for i in _ranked(average)[:n_features]
        )
        if np.nan_to_num(np.abs(average)).max() < SURE:
            notes.append(
                Note(
                    "sure_entry",
                    f"Whenever a run goes from state {source} to {target}, the model is sure of "
                    "it: the gradients of the posterior are all but 0, and their ranking says "
                    "little.",
                )
            )
    return features, changes, notes


def _all(state: int, rows: Ints) -> Ints:
    return np.full(len(rows), state)


def _average(gradients: Floats) -> Floats:
    """Mean (d,) of the gradients (m, d) that are known; NaN where none is."""
    known = ~np.isnan(gradients)
    count = known.sum(axis=0)
    total = np.where(known, gradients, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _ranked(average: Floats) -> Sequence[int]:
    """Positions by decreasing size of the gradient; unknown ones last."""
    return np.argsort(-np.nan_to_num(np.abs(average), nan=-1.0), kind="stable").tolist()


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

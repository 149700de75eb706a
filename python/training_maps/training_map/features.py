"""Which metrics characterise a state: the diagonal of its inverse covariance.

Source: Hu et al. 2023, section 2.2, Proposition 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from training_maps.training_map.elements import Feature, FeatureChange
from training_maps.utils.notes import Note

if TYPE_CHECKING:
    from training_maps.model_selection.select import SelectedModel

INVERSE_COVARIANCE = "inverse_covariance"

# Condition number of a state's correlations beyond which the ranking of its features says little.
NEARLY_SINGULAR = 1e10


def inverse_diagonal(covariance: np.ndarray) -> tuple[np.ndarray, float]:
    """Diagonal of the inverse of a covariance, and the condition number of its correlations.

    The covariance is scaled to correlations first, which removes the spread of the variances from
    the problem, and inverted by Cholesky factors, which keeps the diagonal positive. Where it is
    singular to working precision, the smallest eigenvalues of the correlations are raised to that
    precision, so that the result is finite.

    Args:
        covariance: (n_metrics, n_metrics), positive semidefinite.

    Returns:
        The diagonal, (n_metrics,), positive and finite, and the condition number.
    """
    covariance = (covariance + covariance.T) / 2
    variances = np.maximum(np.diag(covariance), np.finfo(float).tiny ** 0.5)
    scale = np.sqrt(variances)
    correlations = covariance / scale / scale[:, None]
    np.fill_diagonal(correlations, 1.0)  # also where a variance was 0
    eigenvalues, vectors = np.linalg.eigh(correlations)
    floor = len(covariance) * np.finfo(float).eps * eigenvalues[-1]
    condition = float(eigenvalues[-1] / max(eigenvalues[0], floor))
    if eigenvalues[0] <= floor:
        diagonal = (vectors**2 / np.maximum(eigenvalues, floor)).sum(axis=1)
    else:
        factor = np.linalg.cholesky(correlations)
        diagonal = (np.linalg.solve(factor, np.eye(len(factor))) ** 2).sum(axis=0)
    return diagonal / variances, condition


def inverse_diagonals(
    covariances: np.ndarray, states: Sequence[int]
) -> tuple[dict[int, np.ndarray], list[Note]]:
    """`inverse_diagonal` of each of `states`, and notes on those that are nearly singular."""
    diagonals, notes = {}, []
    for state in states:
        diagonals[state], condition = inverse_diagonal(covariances[state])
        if condition > NEARLY_SINGULAR:
            notes.append(
                Note(
                    "nearly_singular",
                    f"The covariance of state {state} is nearly singular (condition number of its "
                    f"correlations {condition:.0e}): the ranking of its features is uncertain.",
                )
            )
    return diagonals, notes


def rank_features(metrics: Sequence[str], inverse_covariance: np.ndarray) -> list[str]:
    """Metrics by decreasing inverse covariance, (n_metrics,); ties in the order of `metrics`."""
    order = np.argsort(-inverse_covariance, kind="stable")
    return [metrics[i] for i in order]


def features_by_inverse_covariance(
    model: SelectedModel,
    inverse: Mapping[int, np.ndarray],
    transitions: Sequence[tuple[int, int]],
    n_features: int,
) -> tuple[dict[int, tuple[Feature, ...]], dict[tuple[int, int], tuple[FeatureChange, ...]]]:
    """Top features of states, and how they change along transitions.

    A transition's features are those of the state it enters, and their changes mu_target -
    mu_source (section 2.2).

    Args:
        model: the selected model.
        inverse: diagonal of the inverse covariance, (n_metrics,), of each visited state.
        transitions: pairs of visited states.
        n_features: how many features a state has.

    Returns:
        The features of each state, most important first, and the changes of each transition.
    """
    metrics, means = tuple(model.observations.metrics), model.hmm.means_
    column = {metric: i for i, metric in enumerate(metrics)}
    ranked = {state: rank_features(metrics, of)[:n_features] for state, of in inverse.items()}
    features = {
        state: tuple(
            Feature(m, float(inverse[state][column[m]]), float(means[state][column[m]]))
            for m in names
        )
        for state, names in ranked.items()
    }
    changes = {
        (source, target): tuple(
            FeatureChange(m, float((means[target] - means[source])[column[m]]))
            for m in ranked[target]
        )
        for source, target in transitions
    }
    return features, changes

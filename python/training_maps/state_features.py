"""Which metrics characterise a state: the diagonal of its inverse covariance.

Source: Hu et al. 2023, section 2.2, Proposition 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
) -> tuple[dict[int, np.ndarray], list[str]]:
    """`inverse_diagonal` of each of `states`, and notes on those that are nearly singular."""
    diagonals, notes = {}, []
    for state in states:
        diagonals[state], condition = inverse_diagonal(covariances[state])
        if condition > NEARLY_SINGULAR:
            notes.append(
                f"The covariance of state {state} is nearly singular (condition number of its "
                f"correlations {condition:.0e}): the ranking of its features is uncertain."
            )
    return diagonals, notes


def rank_features(metrics: Sequence[str], inverse_covariance: np.ndarray) -> list[str]:
    """Metrics by decreasing inverse covariance, (n_metrics,); ties in the order of `metrics`."""
    order = np.argsort(-inverse_covariance, kind="stable")
    return [metrics[i] for i in order]

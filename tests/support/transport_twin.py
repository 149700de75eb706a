"""Optimal transport as a linear program, the slow and plain way."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog


def lp_cost(p, q, distances):
    """Optimal transport as the textbook linear program over the K x K plan."""
    k = len(p)
    leaves = np.kron(np.eye(k), np.ones(k))
    arrives = np.kron(np.ones(k), np.eye(k))
    solution = linprog(
        np.asarray(distances, dtype=float).ravel(),
        A_eq=np.vstack([leaves, arrives]),
        b_eq=np.concatenate([p, q]),
        method="highs",
    )
    assert solution.success
    return solution.fun


def euclidean(points):
    return np.linalg.norm(points[:, None] - points[None, :], axis=2)

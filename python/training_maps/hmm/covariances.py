"""The Gaussians of a hidden Markov model's states: densities, M-step, prior and floor.

A state's covariance is full, diagonal ("diag"), spherical, or one full covariance of all states
("tied"). The parameters of K states and d features have the shape of their type, as in hmmlearn:

    full (K, d, d)    diag (K, d)    tied (d, d)    spherical (K,)

Below, `kind` is that type and `covars` an array of that shape.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from training_maps._rust_metrics import log_densities as _log_densities
from training_maps.utils.numbers import Floats

COVARIANCES = ("full", "diag", "tied", "spherical")


def check_covariances(covars: Floats, kind: str, states: int, d: int) -> None:
    """Refuse covariances that are none.

    Raises:
        ValueError: if the shape is not that of the type, or a covariance is not finite, symmetric
            and positive definite.
    """
    if kind not in COVARIANCES:
        raise ValueError(f"covariance_type {kind!r} is not one of {', '.join(COVARIANCES)}")
    shape = {
        "full": (states, d, d),
        "diag": (states, d),
        "tied": (d, d),
        "spherical": (states,),
    }[kind]
    if covars.shape != shape:
        raise ValueError(f"covars have shape {covars.shape}, expected {shape} for {kind}")
    fine = bool(np.isfinite(covars).all())
    if fine and kind in ("full", "tied"):
        fine = np.allclose(covars, np.swapaxes(covars, -1, -2))
        fine = fine and bool((np.linalg.eigvalsh(covars) > 0).all())
    elif fine:
        fine = bool((covars > 0).all())
    if not fine:
        raise ValueError("covars must be finite, symmetric and positive definite")


def of_kind(covariance: Floats, kind: str, states: int) -> Floats:
    """One covariance (d, d) for every state, in the shape of a type."""
    if kind == "full":
        return np.tile(covariance, (states, 1, 1))
    if kind == "diag":
        return np.tile(np.diag(covariance), (states, 1))
    if kind == "spherical":
        return np.full(states, np.diag(covariance).mean())
    return covariance


def full_covariances(covars: Floats, kind: str, states: int, d: int) -> Floats:
    """Covariances (K, d, d) of the states, whatever the type."""
    if kind in ("full", "tied"):
        return np.array(np.broadcast_to(covars, (states, d, d)))
    return np.eye(d) * _variances(covars, kind, d)[:, :, None]


def n_covariance_parameters(kind: str, states: int, d: int) -> int:
    """Number of free parameters of the covariances."""
    pairs = d * (d + 1) // 2
    return {"full": states * pairs, "diag": states * d, "tied": pairs, "spherical": states}[kind]


def log_density(x: Floats, means: Floats, covars: Floats, kind: str) -> Floats:
    """Log density of each row (n, d) under each state, (n, K)."""
    states, d = means.shape
    if kind == "full":
        maps, log_determinant = whitened(covars)
    elif kind == "tied":  # rows and means are whitened once, not for every state
        whitening, log_determinant = whitened(covars)
        x, means = x @ whitening[0].T, means @ whitening[0].T
        maps = np.tile(np.eye(d), (states, 1, 1))
    else:
        variances = _variances(covars, kind, d)
        maps = np.eye(d) / np.sqrt(variances)[:, :, None]
        log_determinant = np.log(variances).sum(axis=1)
    return log_density_of_maps(x, means, maps, log_determinant)


def log_density_of_maps(
    rows: Floats,
    centres: Floats,
    maps: Floats,
    log_determinant: Floats,
    coefficients: Floats | None = None,
) -> Floats:
    """Log densities of rows that are standard Gaussians once mapped, in Rust.

    Args:
        rows: (n, p) rows.
        centres: (K, p) what is subtracted from the rows.
        maps: (K, d, p) a linear map of each state. Zeros at the ends of their rows cost nothing.
        log_determinant: (K,) or (1,) log determinant of each state's covariance.
        coefficients: (K, p, q) a regression of each state on q entries that stand before the p of
            a row, so that rows are (n, q + p); it is subtracted first. Zeros cost nothing here too.

    Returns:
        (n, K) logarithm of N(maps[k] @ (row - centres[k]); 0, I), less log_determinant[k] / 2.

    Raises:
        ValueError: if shapes disagree, or a parameter is not finite.
    """
    states, d, _ = maps.shape
    offsets = np.full(states, -0.5 * d * np.log(2 * np.pi)) - 0.5 * log_determinant
    density: Floats = _log_densities(
        np.ascontiguousarray(rows),
        np.ascontiguousarray(centres),
        np.ascontiguousarray(maps),
        offsets,
        coefficients,
    )
    return density


def whitened(covars: Floats) -> tuple[Floats, Floats]:
    """Inverse Cholesky factors and log determinants of full (K) or tied (1) covariances."""
    return _whitened(covars.tobytes(), covars.shape[-1])


@lru_cache(maxsize=2)
def _whitened(covars: bytes, d: int) -> tuple[Floats, Floats]:
    """`whitened`, of these bytes; an iteration of EM asks for the same several times."""
    factor: Floats = np.linalg.cholesky(np.frombuffer(covars).reshape(-1, d, d))
    diagonal = np.diagonal(factor, axis1=1, axis2=2)
    whitening: Floats = np.tril(np.linalg.inv(factor))
    log_determinant = 2 * np.log(diagonal).sum(axis=1)
    for array in (whitening, log_determinant):
        array.flags.writeable = False  # as others are given them too
    return whitening, log_determinant


def maximising_covariances(
    rows: Floats, sums: Floats, squares: Floats, means: Floats, prior: float, kind: str
) -> Floats:
    """The M-step of the covariances, hmmlearn's: scatter about the means, and the prior.

    Args:
        rows: (K,) expected number of rows in each state, above 0.
        sums: (K, d) expected sum of a state's rows.
        squares: (K, d, d) expected sum of their outer products; (K, d) of their squares for
            diagonal and spherical covariances.
        means: (K, d) means, already updated.
        prior: added to every entry of a scatter.
        kind: covariance type.

    Returns:
        Covariances in their type's shape.
    """
    if kind in ("full", "tied"):
        crossed = sums[:, :, None] * means[:, None, :]
        scatter = squares - crossed - np.swapaxes(crossed, 1, 2)
        scatter += rows[:, None, None] * means[:, :, None] * means[:, None, :]
        if kind == "tied":
            return (prior + scatter.sum(axis=0)) / rows.sum()
        return (prior + scatter) / rows[:, None, None]
    scatter = squares - 2 * means * sums + rows[:, None] * np.square(means)
    variances = (prior + scatter) / rows[:, None]
    return variances.mean(axis=1) if kind == "spherical" else variances


def log_prior(covars: Floats, prior: float, kind: str, d: int) -> float:
    """The log prior of which `maximising_covariances` is the M-step, up to a constant."""
    if kind in ("full", "tied"):
        # trace(Psi Sigma^-1) with every entry of Psi equal: the sum of Sigma^-1's entries.
        whitening, _ = whitened(covars)
        return float(-0.5 * prior * np.square(whitening.sum(axis=2)).sum())
    return float(-0.5 * prior * (1 / _variances(covars, kind, d)).sum())


def floored(covars: Floats, floor: float, kind: str) -> Floats:
    """Covariances with every eigenvalue below the floor raised to it; symmetric."""
    if kind in ("diag", "spherical"):
        return np.maximum(covars, floor)
    covars = (covars + np.swapaxes(covars, -1, -2)) / 2
    values, vectors = np.linalg.eigh(covars)
    low = values.min(axis=-1) < floor
    if not low.any():
        return covars
    raised = (vectors * np.maximum(values, floor)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    raised = (raised + np.swapaxes(raised, -1, -2)) / 2
    return np.where(low[..., None, None], raised, covars)


def _variances(covars: Floats, kind: str, d: int) -> Floats:
    """(K, d) variances of diagonal or spherical covariances."""
    return np.repeat(covars[:, None], d, axis=1) if kind == "spherical" else covars

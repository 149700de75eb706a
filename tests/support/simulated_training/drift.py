"""Drift without states: smooth collinear curves of a run's progress, with many kinds of noise.

The curves are common to all runs of a set and drawn anew for each set. A run converges at a given
progress, so that convergence follows the rate of drift.
"""

from __future__ import annotations

import numpy as np

from tests.support.simulated_training.runs import (
    METRICS,
    N_CHECKPOINTS,
    N_LATENT,
    SimulatedRuns,
    Truth,
    convergence_table,
    independent_times,
    loadings,
    metric_tables,
    path_table,
    training_logs,
)
from training_maps.utils.numbers import Floats, Ints

_NOISE = 0.06  # of a metric, in the curves' standard deviations
_CONVERGES = 0.4  # the progress at which a run converges
_FASTEST = 3.0  # how many times faster the fastest run is, where rates differ widely


class _Curves:
    """`N_LATENT` curves of progress: sums of broad steps, saturations and humps."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.weights = rng.normal(size=(3, N_LATENT))
        self.pace = rng.uniform(1.0, 4.0, N_LATENT)
        self.centre = rng.uniform(0.2, 0.8, (2, N_LATENT))
        self.width = rng.uniform(0.15, 0.4, (2, N_LATENT))
        usual = self._sum(np.linspace(0, 1, 101)[:, None])
        self.mean, self.spread = usual.mean(axis=0), usual.std(axis=0)

    def __call__(self, progress: Floats) -> Floats:
        """The curves at progress (..., 1) or one for each curve (..., N_LATENT)."""
        return (self._sum(progress) - self.mean) / self.spread

    def _sum(self, progress: Floats) -> Floats:
        saturation = 1 - np.exp(-self.pace * progress)
        step = np.tanh((progress - self.centre[0]) / self.width[0])
        hump = np.exp(-0.5 * ((progress - self.centre[1]) / self.width[1]) ** 2)
        return self.weights[0] * saturation + self.weights[1] * step + self.weights[2] * hump


def drift_white(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """Noise that is drawn anew at each checkpoint."""
    rng = np.random.default_rng(seed)
    shape = (n_runs, n_checkpoints, len(METRICS))
    return _drift(rng, "drift_white", _progress(rng, *shape[:2]), _NOISE * rng.normal(size=shape))


def drift_correlated(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """Noise of which nine tenths are left at the next checkpoint."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_runs, n_checkpoints, len(METRICS)))
    kept = 0.9
    for at in range(1, n_checkpoints):
        noise[:, at] = kept * noise[:, at - 1] + np.sqrt(1 - kept**2) * noise[:, at]
    progress = _progress(rng, n_runs, n_checkpoints)
    return _drift(rng, "drift_correlated", progress, _NOISE * noise)


def drift_run_rates(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """Rates of runs that differ by up to a factor of three."""
    rng = np.random.default_rng(seed)
    rates = _FASTEST ** rng.uniform(-0.5, 0.5, n_runs)
    noise = _NOISE * rng.normal(size=(n_runs, n_checkpoints, len(METRICS)))
    return _drift(rng, "drift_run_rates", _progress(rng, n_runs, n_checkpoints, rates), noise)


def drift_metric_rates(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """A rate of its own for each curve of each run, beside the run's."""
    rng = np.random.default_rng(seed)
    noise = _NOISE * rng.normal(size=(n_runs, n_checkpoints, len(METRICS)))
    own = rng.lognormal(0, 0.25, (n_runs, 1, N_LATENT))
    progress = _progress(rng, n_runs, n_checkpoints)
    return _drift(rng, "drift_metric_rates", progress, noise, curve_rates=own)


def drift_heavy_tails(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """Noise by Student's t with 3 degrees of freedom: some checkpoints are far off, as a whole."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(n_runs, n_checkpoints, len(METRICS)))
    noise = normal / np.sqrt(rng.chisquare(3, (n_runs, n_checkpoints, 1)))  # of variance 1
    progress = _progress(rng, n_runs, n_checkpoints)
    return _drift(rng, "drift_heavy_tails", progress, _NOISE * noise)


def drift_changing_noise(
    n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS
) -> SimulatedRuns:
    """Noise that shrinks smoothly to a tenth with progress, or grows as much."""
    rng = np.random.default_rng(seed)
    progress = _progress(rng, n_runs, n_checkpoints)
    way = rng.choice([-1, 1])
    size = 10 ** (way * 0.5 * np.tanh(3 * (progress - 0.5)))
    noise = size[..., None] * rng.normal(size=(n_runs, n_checkpoints, len(METRICS)))
    return _drift(rng, "drift_changing_noise", progress, _NOISE * noise)


def drift_power_law(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """A pace that falls as one over the time: the last steps are a hundredth of the first.

    Noise falls too, as the root of the pace.
    """
    rng = np.random.default_rng(seed)
    begin = 0.01
    time = _progress(rng, n_runs, n_checkpoints)
    progress = np.log1p(time / begin) / np.log1p(1 / begin)
    size = np.sqrt(begin / (begin + time))
    noise = size[..., None] * rng.normal(size=(n_runs, n_checkpoints, len(METRICS)))
    # Convergence stands where other kinds have it, late in a progress that is fast at first.
    converges = float(np.log1p(_CONVERGES / begin) / np.log1p(1 / begin))
    return _drift(rng, "drift_power_law", progress, _NOISE * noise, converges=converges)


def drift_random_walk(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """Curves that each run leaves by a random walk, observed with noise."""
    rng = np.random.default_rng(seed)
    progress = _progress(rng, n_runs, n_checkpoints)
    steps = 0.03 * rng.normal(size=(n_runs, n_checkpoints, N_LATENT))
    noise = _NOISE * rng.normal(size=(n_runs, n_checkpoints, len(METRICS)))
    walk = np.cumsum(steps * np.sqrt(N_CHECKPOINTS / n_checkpoints), axis=1)
    return _drift(rng, "drift_random_walk", progress, noise, walk=walk)


def drift_wandering_pace(
    n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS
) -> SimulatedRuns:
    """A pace of each run's own that wanders: its logarithm keeps 0.95 from step to step."""
    rng = np.random.default_rng(seed)
    kept = 0.95 ** (N_CHECKPOINTS / n_checkpoints)
    pace = 0.5 * rng.normal(size=(n_runs, n_checkpoints))
    for at in range(1, n_checkpoints):
        pace[:, at] = kept * pace[:, at - 1] + np.sqrt(1 - kept**2) * pace[:, at]
    progress = np.cumsum(np.exp(pace), axis=1) / n_checkpoints / np.exp(0.5**2 / 2)
    noise = _NOISE * rng.normal(size=(n_runs, n_checkpoints, len(METRICS)))
    return _drift(rng, "drift_wandering_pace", progress, noise)


def noise_states(n_runs: int, seed: int, n_checkpoints: int = N_CHECKPOINTS) -> SimulatedRuns:
    """States that differ in noise alone: it falls to a fifth at a checkpoint of each run's own.

    The drift goes on as it did, so that this is no phase; the truth has the path all the same.
    """
    rng = np.random.default_rng(seed)
    progress = _progress(rng, n_runs, n_checkpoints)
    cuts = independent_times(rng, n_runs, 0.5 * n_checkpoints, n_checkpoints)
    states = (np.arange(n_checkpoints) >= cuts[:, None]).astype(np.int64)
    noise = rng.normal(size=(n_runs, n_checkpoints, len(METRICS)))
    noise *= np.where(states, 0.4, 2.0)[..., None] * _NOISE
    return _drift(rng, "noise_states", progress, noise, states=states)


def _progress(
    rng: np.random.Generator, n_runs: int, n_checkpoints: int, rates: Floats | None = None
) -> Floats:
    """Progress of runs at steady rates, (runs, checkpoints); 1 at the end for a rate of 1."""
    if rates is None:
        rates = rng.lognormal(0, 0.15, n_runs)
    return rates[:, None] * np.linspace(0, 1, n_checkpoints)


def _drift(
    rng: np.random.Generator,
    kind: str,
    progress: Floats,
    noise: Floats,
    *,
    converges: float = _CONVERGES,
    curve_rates: Floats | float = 1.0,
    walk: Floats | float = 0.0,
    states: Ints | None = None,
) -> SimulatedRuns:
    """Runs at given progress, (runs, checkpoints), with noise on their metrics."""
    n_runs, n_checkpoints = progress.shape
    latent = _Curves(rng)(progress[..., None] * curve_rates) + walk
    latent *= rng.lognormal(0, 0.05, (n_runs, 1, N_LATENT))  # runs end at places of their own
    values = latent @ loadings(rng).T + noise
    generalised = np.argmax(progress >= converges, axis=1)
    generalised = np.where(progress[:, -1] < converges, n_checkpoints - 6, generalised)
    memorised = independent_times(rng, n_runs, 0.2 * n_checkpoints, n_checkpoints)
    truth = Truth(
        kind,
        "drift",
        None if states is None else path_table(states),
        convergence_table(generalised),
        n_states=1 if states is None else int(states.max()) + 1,
    )
    logs = training_logs(rng, memorised, generalised, n_checkpoints)
    return SimulatedRuns(metric_tables(values), logs, truth)

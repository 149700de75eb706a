"""Training maps: latent state models of training dynamics.

The names below are what a notebook needs. They are imported when first used, so that
`import training_maps` stays quick and a stage pays only for what it uses.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training_maps.hmm import select_hmm
    from training_maps.metrics import checkpoint_metrics, run_metrics
    from training_maps.outliers import outlier_runs
    from training_maps.sequences import observations
    from training_maps.spread import equally_spread
    from training_maps.training_map import TrainingMap

__all__ = [
    "TrainingMap",
    "checkpoint_metrics",
    "equally_spread",
    "observations",
    "outlier_runs",
    "run_metrics",
    "select_hmm",
]

_HOME = {
    "TrainingMap": "training_map",
    "checkpoint_metrics": "metrics",
    "equally_spread": "spread",
    "observations": "sequences",
    "outlier_runs": "outliers",
    "run_metrics": "metrics",
    "select_hmm": "hmm",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'training_maps' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"training_maps.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

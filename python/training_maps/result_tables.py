"""The tables of an experiment's results: the columns of each, and what they hold, said here once.

A stage writes its table with these columns, and `training_maps.results` reads them. The scores of
models, which the fits write, are in `training_maps.model_selection.fitted`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: state_paths.csv
PATH_COLUMNS = {"seed": "int64", "step": "int64", "state": "int64"}
#: run_paths.csv
RUN_PATH_COLUMNS = {
    "seed": "int64",
    "visit": "int64",
    "state": "int64",
    "step": "int64",
    "epoch": "float64",
    "fraction": "float64",
    "n_checkpoints": "int64",
    "is_first": "bool",
}
#: convergence.csv
CONVERGENCE_COLUMNS = {
    "seed": "int64",
    "step": "int64",
    "epoch": "float64",
    "fraction": "float64",
    "converged": "bool",
}
#: outcomes.csv
OUTCOME_COLUMNS = {
    "seed": "int64",
    "outcome": "float64",
    "censored": "bool",
    "predicted": "float64",
}
#: coefficients.csv
COEFFICIENT_COLUMNS = {
    "state": "int64",
    "coefficient": "float64",
    "standard_error": "float64",
    "p_value": "float64",
    "n_runs_visiting": "int64",
    "is_detour": "bool",
    "interval_low": "float64",
    "interval_high": "float64",
    "n_resamples": "int64",
    "n_converging_without": "Int64",
    "mean_outcome_visiting": "float64",
    "mean_outcome_without": "float64",
    "explanation": "str",
}
#: delays.csv
DELAY_COLUMNS = {
    "state": "int64",
    "n_visiting": "int64",
    "n_without": "int64",
    "delay": "float64",
    "interval_low": "float64",
    "interval_high": "float64",
    "p_value": "float64",
    "is_delay": "bool",
}
# The ground distances between two states; there are no means without a model.
GROUND_DISTANCES = {"index": "float64", "discrete": "float64", "means": "float64"}
ONLY_WITH_A_MODEL = ("means",)
#: dissimilarity.csv
DISSIMILARITY_COLUMNS = {"seed_a": "int64", "seed_b": "int64"} | GROUND_DISTANCES
#: dissimilarity_per_run.csv
PER_RUN_COLUMNS = {"seed": "int64"} | GROUND_DISTANCES
#: outliers.csv
OUTLIER_COLUMNS = {"seed": "int64", "mean_dissimilarity": "float64", "is_outlier": "bool"}
#: phase_transitions.csv
PHASE_COLUMNS = {
    "seed": "int64",
    "phase": "str",
    "status": "str",
    "column": "str",
    "step": "Int64",
    "epoch": "float64",
    "onset_step": "Int64",
    "completion_step": "Int64",
    "state": "Int64",
    "transition": "str",
    "state_before": "Int64",
    "state_after": "Int64",
    "entered_step": "Int64",
}
#: layer_changes.parquet
LAYER_CHANGE_COLUMNS = {
    "from": "int64",
    "to": "int64",
    "tensor": "str",
    "kind": "str",
    "depth": "str",
    "metric": "str",
    "change": "float64",
    "deviation": "float64",
    "n_uses": "int64",
}
#: early_warning.csv
EARLY_WARNING_COLUMNS = {
    "fraction": "float64",
    "last_step": "int64",
    "target": "str",
    "runs": "str",
    "features": "str",
    "n_runs": "int64",
    "n_already": "int64",
    "r_squared": "float64",
    "rank_correlation": "float64",
    "accuracy": "float64",
    "balanced_accuracy": "float64",
    "baseline": "float64",
    "p_value": "float64",
    "p_value_adjusted": "float64",
    "reason": "str",
}
#: placed.csv, of `training-maps place`
PLACED_COLUMNS = {
    "run": "str",
    "step": "int64",
    "state": "int64",
    "probability": "float64",
    "percentile": "float64",
    "unusual": "float64",
    "warning": "bool",
    "kind": "str",
    "branch": "str",
    "predicted": "float64",
    "predicted_low": "float64",
    "predicted_high": "float64",
    "converged": "bool",
    "slow": "bool",
}


def typed(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """The table with these columns, in this order; all but texts, which may be null, converted."""
    kinds = {name: kind for name, kind in columns.items() if kind != "str"}
    return table[list(columns)].astype(kinds)

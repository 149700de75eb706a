"""Tables that people logged while they trained elsewhere: metrics, and what else they logged.

From CSV, JSON lines, Parquet and TensorBoard's event files to the tables that the stages read. No
network is needed for this, and neither torch nor the Rust extension.
"""

from training_maps.tables.metrics import LOG_NAMES, IncompleteSteps, read_metrics
from training_maps.tables.runs import RepeatedSteps, find_table_seeds, input_files, table_files
from training_maps.tables.training_log import read_logs

__all__ = [
    "LOG_NAMES",
    "IncompleteSteps",
    "RepeatedSteps",
    "find_table_seeds",
    "input_files",
    "read_logs",
    "read_metrics",
    "table_files",
]

from .checkpoints import Checkpoint as Checkpoint
from .checkpoints import Run as Run
from .checkpoints import find_run as find_run
from .tables.metrics import read_metrics as read_metrics
from .tables.training_log import read_logs as read_logs

from .metrics import LOG_NAMES as LOG_NAMES
from .metrics import IncompleteSteps as IncompleteSteps
from .metrics import read_metrics as read_metrics
from .runs import RepeatedSteps as RepeatedSteps
from .runs import find_table_seeds as find_table_seeds
from .runs import input_files as input_files
from .runs import table_files as table_files
from .training_log import read_logs as read_logs

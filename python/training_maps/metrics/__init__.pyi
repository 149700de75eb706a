from .compute import checkpoint_metrics as checkpoint_metrics
from .compute import layer_metrics as layer_metrics
from .compute import run_metrics as run_metrics
from .definitions import EXTRA_METRICS as EXTRA_METRICS
from .definitions import METRICS as METRICS
from .parameters import Overrides as Overrides
from .weightwatcher_table import weightwatcher_table as weightwatcher_table

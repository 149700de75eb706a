from .analysis.dispersion import equally_spread as equally_spread
from .analysis.outliers import outlier_runs as outlier_runs
from .hmm.observations import observations as observations
from .metrics.compute import checkpoint_metrics as checkpoint_metrics
from .metrics.compute import layer_metrics as layer_metrics
from .metrics.compute import run_metrics as run_metrics
from .model_selection.select import select_hmm as select_hmm
from .training_map.map import TrainingMap as TrainingMap

from .dispersion import equally_spread as equally_spread
from .dissimilarity import dissimilarity as dissimilarity
from .forks import find_forks as find_forks
from .layer_changes import changes_of_layers as changes_of_layers
from .layer_changes import layer_changes as layer_changes
from .outliers import outlier_runs as outlier_runs
from .phases.transitions import find_phase_transitions as find_phase_transitions
from .semantics.regression import regress as regress

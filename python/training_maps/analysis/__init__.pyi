from .dispersion import equally_spread as equally_spread
from .dissimilarity import dissimilarity as dissimilarity
from .forks import find_forks as find_forks
from .outliers import outlier_runs as outlier_runs
from .phases.transitions import find_phase_transitions as find_phase_transitions
from .semantics.regression import regress as regress

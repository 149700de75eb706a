from .fit import fit_hmm as fit_hmm
from .fitted import FittedHMM as FittedHMM
from .select import SelectedModel as SelectedModel
from .select import load_selected as load_selected
from .select import select_hmm as select_hmm

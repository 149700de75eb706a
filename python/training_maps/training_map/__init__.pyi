from .elements import State as State
from .elements import Transition as Transition
from .map import TrainingMap as TrainingMap

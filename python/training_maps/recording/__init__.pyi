from .lightning_callback import LightningRecorder as LightningRecorder
from .recorder import Recorder as Recorder
from .trainer_callback import TrainerRecorder as TrainerRecorder

from .autoregressive import AutoregressiveHMM as AutoregressiveHMM
from .gaussian import GaussianHMM as GaussianHMM
from .observations import Observations as Observations
from .observations import observations as observations

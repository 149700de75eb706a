"""Which tensors of a checkpoint count, and the metrics of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

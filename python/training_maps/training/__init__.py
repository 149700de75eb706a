"""Training of a network with many seeds. To name a task or a recipe takes no torch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

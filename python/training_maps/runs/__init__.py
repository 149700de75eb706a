"""A run on disk: its checkpoints, in whatever form, and the tables that were logged of it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""The settings of a run of the workflow: read, checked and completed before any job starts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

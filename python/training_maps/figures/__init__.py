"""Figures of an experiment: one function each, for notebooks, files and the report.

Figures are plain matplotlib figures that belong to no global state; a notebook shows them as they
are returned.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Training maps: latent state models of training dynamics.

The names in `__init__.pyi` are what a notebook needs. They are imported when first used, so that
`import training_maps` stays quick and a stage pays only for what it uses.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

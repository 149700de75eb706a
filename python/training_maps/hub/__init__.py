"""Checkpoints on the Hugging Face hub, measured one at a time as they are downloaded."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

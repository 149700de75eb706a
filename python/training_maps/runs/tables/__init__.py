"""Tables that people logged while they trained elsewhere: metrics, and what else they logged.

From CSV, JSON lines, Parquet and TensorBoard's event files to the tables that the stages read. No
network is needed for this, and neither torch nor the Rust extension.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

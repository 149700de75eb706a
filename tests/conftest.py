"""What several test modules use."""

from __future__ import annotations

import os

# One thread a process: results do not depend on it, and the tests share few cores. Set before numpy
# and torch are imported, and passed on to the commands that tests start.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

"""Faults of a training job, once: the tests copy this to where Python runs it at its start.

A file `fault` in the folder of the workflow says which: `hang` stops the command after its work,
and before SLURM hears of it, as long as a file `hanging` is there; `memory` takes all of it.
"""

import atexit
import os
import sys
import time

ARGUMENTS = [os.path.basename(argument) for argument in sys.orig_argv]  # noqa: PTH119


def _hang():
    with open("hanging", "w"):  # noqa: PTH123
        pass
    while os.path.exists("hanging"):  # noqa: PTH110
        time.sleep(0.05)


def _take_memory():
    taken = []
    while True:
        taken.append(b"1" * 2**25)
        time.sleep(0.02)


if ARGUMENTS[1:3] == ["training-maps", "train"] and os.path.exists("fault"):  # noqa: PTH110
    with open("fault") as file:  # noqa: PTH123
        kind = file.read()
    os.remove("fault")  # noqa: PTH107
    if kind == "hang":
        atexit.register(_hang)
    else:
        _take_memory()

"""Faults of jobs, once, and frequent looks at them: copied to where Python runs it at its start.

A file `fault` in the folder of the workflow says which. Of a training job: `hang` stops the command
after its work, and before SLURM hears of it, as long as a file `hanging` is there; `memory` takes
all of it; `train` stops it in the midst, when it has saved a dozen checkpoints. `metrics` stops
the third command of metrics. What is stopped in the midst waits for a signal.

The Snakemake that submits jobs looks at them every three seconds: its plugin waits ten seconds
longer after each look at which none has ended, up to three minutes, whatever the settings say.
"""

import atexit
import glob
import os
import signal
import sys
import threading
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


def _stop():
    os.remove("fault")  # noqa: PTH107
    with open("hanging", "w"):  # noqa: PTH123
        pass
    os.kill(os.getpid(), signal.SIGSTOP)


def _stop_in_the_midst():
    states = "results/tiny/runs/.unfinished-*/seed-0/checkpoints/*"
    while len(glob.glob(states)) < 12:  # noqa: PTH207
        time.sleep(0.005)
    _stop()


def _fault():
    if ARGUMENTS[1:2] != ["training-maps"] or not os.path.exists("fault"):  # noqa: PTH110
        return
    with open("fault") as file:  # noqa: PTH123
        kind = file.read()
    if ARGUMENTS[2] == "metrics" == kind:
        if len(glob.glob("results/tiny/runs/*/metrics.parquet")) == 2:  # noqa: PTH207
            _stop()
    elif ARGUMENTS[2] == "train" == kind:
        threading.Thread(target=_stop_in_the_midst, daemon=True).start()
    elif ARGUMENTS[2] == "train" and kind in ("hang", "memory"):
        os.remove("fault")  # noqa: PTH107
        if kind == "hang":
            atexit.register(_hang)
        else:
            _take_memory()


def _look_often():
    if "--slurm-status-command" in ARGUMENTS:
        from snakemake_executor_plugin_slurm import Executor

        Executor.next_seconds_between_status_checks = property(lambda _: 3, lambda *_: None)


_fault()
_look_often()

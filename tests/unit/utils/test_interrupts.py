"""Ctrl-C that does not wait: the process ends soon, whatever it is doing."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from training_maps.utils.interrupts import ends_soon_after_interrupt

STUBBORN = """
import time
from training_maps.utils.interrupts import ends_soon_after_interrupt

with ends_soon_after_interrupt(seconds=0.3):
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("told", flush=True)
        {then}
"""


@pytest.mark.parametrize(
    ("then", "status"), [("time.sleep(60)", -signal.SIGALRM), ("raise SystemExit(3)", 3)]
)
def test_a_process_that_does_not_end_by_itself_is_ended(then, status):
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN.replace("{then}", then)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=30)
    assert told == "told\n"
    assert process.returncode == status
    assert time.monotonic() - begin < 15


def test_what_was_set_before_is_set_again():
    before = signal.getsignal(signal.SIGINT)
    with ends_soon_after_interrupt():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(RuntimeError), ends_soon_after_interrupt():
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_are_left_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with ends_soon_after_interrupt():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]

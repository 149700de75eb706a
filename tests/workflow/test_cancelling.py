"""A selection that is cancelled keeps the numbers of states that it has finished."""

import os
import signal
import sys
import time


def test_finished_numbers_of_states_are_kept(project):
    # Enough restarts that each job takes a while; one job at a time.
    config = ["--config", "hmm={n_states: 1-8, restarts: 100}"]
    folder = project.results / "hmm"
    for path in [*folder.iterdir(), *(project.results / "logs/hmm").iterdir()]:
        path.unlink()
    process = project.start(sys.executable, "-m", "snakemake", "--cores", "1", *config)
    # With one core, a second job's log says that the first job has ended.
    logs, deadline = project.results / "logs/hmm", time.monotonic() + 240
    while len(list(logs.iterdir())) < 2 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)
    finished = {path.stem for path in folder.glob("states-*.npz")}
    assert 1 <= len(finished) < 8
    assert finished == {path.stem for path in folder.glob("states-*.csv")}
    assert not list(folder.glob(".*"))  # nothing half-written is left
    assert project.planned(*config)["hmm"] == 8 - len(finished)

"""What a cluster does to jobs loses nothing: killed, started twice, a clock set back, a run lost.

`python -m tests.faults` does the same at many more moments, drawn at random.
"""

import json
import os
import re
import signal
import sys
import time

import pandas as pd
import pytest

from tests.faults.comparison import differences, result_files


def wait_for(workflow, exists):
    """Wait until a file that `exists` finds is there, while the workflow runs."""
    while not exists():
        assert workflow.poll() is None, workflow.communicate()[0]
        time.sleep(0.02)


def unlock(project):
    """What the documentation says to type after a kill."""
    done = project.call("snakemake", "--unlock")
    assert done.returncode == 0, done.stdout


def set_times(results, change):
    for path in result_files(results).values():
        at = path.stat().st_mtime + change
        os.utime(path, (at, at))


def times_of(results):
    return {path: path.stat().st_mtime for path in result_files(results).values()}


def test_killed_and_called_again_it_ends_in_the_same_results(finished, project, tmp_path):
    for path in result_files(project.folder / "results").values():
        if path.parent.name != "checkpoints" and path.name not in (
            "checkpoints.json",
            "training_log.parquet",
        ):
            path.unlink()
    log = (tmp_path / "log").open("w")  # no pipe: orphans would keep it open
    command = (sys.executable, "-m", "snakemake", "--cores", "2")
    # The workflow alone is killed: its jobs go on while it is called again.
    workflow = project.start(*command, stdout=log)
    wait_for(workflow, lambda: list(project.results.glob("runs/*/metrics.parquet")))
    second = project.snakemake()
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.stdout
    workflow.kill()
    workflow.wait()
    unlock(project)
    # Everything is killed, as when a machine fails.
    workflow = project.start(*command, stdout=log)
    wait_for(workflow, lambda: list(project.results.glob("hmm/states-*.npz")))
    os.killpg(workflow.pid, signal.SIGKILL)
    workflow.wait()
    unlock(project)
    project.run("--rerun-incomplete")
    assert differences(project.folder / "results", finished[0].folder / "results") == []


def test_a_diverged_run_is_named_and_left_out_and_the_others_are_as_they_were(finished, project):
    project.edit(
        "python/training_maps/training/loop.py",
        "            self.networks.step(*next(batches))\n",
        "            self.networks.step(*next(batches))\n"
        "            if step == 150 and 1 in self._identity['seeds']:\n"
        "                self.networks.parameters['hidden.weight'][1, 0, 0] = float('inf')\n",
    )
    stopped = project.snakemake("--until", "metrics")
    assert stopped.returncode != 0
    assert "seed 1 has diverged: hidden.weight is not finite at step 160" in stopped.stdout
    said = r"seed 1, step 160: \S+step-000160.safetensors: tensor 'hidden.\w+' .*Set non_finite to"
    assert re.search(said, stopped.stdout)
    others = (0, 2, 3, 4, 5)
    for seed in others:
        run, expected = (where.results / f"runs/seed-{seed}" for where in (project, finished[0]))
        tables = [pd.read_parquet(folder / "metrics.parquet") for folder in (run, expected)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)
        manifests = [
            json.loads((folder / "checkpoints.json").read_text()) for folder in (run, expected)
        ]
        assert manifests[0] == manifests[1]
    dropped = ("--config", "metrics={non_finite: drop}")
    assert not any(rule.startswith("train") for rule in project.planned(*dropped))
    project.run(*dropped, "--", "results/tiny/summary.json")
    summary = json.loads((project.results / "summary.json").read_text())
    assert summary["n_runs"] == 5
    assert any("seed 1" in note["text"] for note in summary["notes"])
    assert set(pd.read_csv(project.results / "state_paths.csv")["seed"]) == set(others)


@pytest.mark.parametrize("ahead", [3600, -3600], ids=["ahead", "behind"])
def test_nodes_whose_clocks_are_an_hour_apart_make_nothing_again(ahead, project):
    """A node measured half of the runs and fitted a model, and the others did the rest."""
    files = [project.results / f"runs/seed-{seed}/metrics.parquet" for seed in (0, 2, 4)]
    for path in (*files, project.results / "hmm/states-2.npz"):
        at = path.stat().st_mtime + ahead
        os.utime(path, (at, at))
    assert not project.planned()


def test_after_a_clock_was_set_back_nothing_stale_is_taken_for_fresh(project):
    set_times(project.folder / "results", 3600)  # all was made while the clock was ahead
    before = times_of(project.folder / "results")
    told = project.run("--dry-run")
    assert "and was set back. The" in told
    assert "Nothing to be done" in told
    assert times_of(project.folder / "results") == before  # reading the workflow changes nothing
    (project.folder / "results/comparison.csv").unlink()
    assert "count as old from now on" in project.run("--", "results/comparison.csv")
    table = project.results / "runs/seed-3/metrics.parquet"
    changed = pd.read_parquet(table)
    set_times(project.folder / "results", 10 * 365 * 86_400 + 3600)
    (changed * 2).to_parquet(table)
    planned = project.planned()
    assert planned["observations"] == 1
    assert planned["hmm"] == 3
    assert planned["metrics"] == 0

"""On a real SLURM of two nodes, watched by sacct, the workflow ends in a local run's results."""

import os
import signal
import subprocess
import time

from tests.faults.comparison import differences
from tests.slurm.conftest import BLOCK, PATIENCE, check_block


def test_the_whole_experiment_on_two_nodes(accounted, project, local):
    accounted.run(project)
    assert differences(project.results, local.results) == []
    assert set(accounted.states(project)) == {"COMPLETED"}
    training = [job for job in accounted.jobs(project) if job["Comment"].startswith("rule_train")]
    # A GPU on each node, so that both blocks are trained at a time.
    assert sorted(job["NodeList"] for job in training) == ["node1", "node2"]
    first, second = sorted(training, key=lambda job: job["StartTime"])
    assert second["StartTime"] < first["EndTime"]


def test_a_controller_that_restarts_is_not_noticed(accounted, project, local_block):
    """As a job ends meanwhile, which the database comes to know all the same."""
    process, _ = accounted.hang(project)
    accounted.slurm.stop_controller()
    try:
        time.sleep(5)  # Snakemake looks every few seconds
        (project.folder / "hanging").unlink()
        time.sleep(5)
    finally:
        accounted.slurm.start_controller()
    accounted.finish(process)
    assert accounted.states(project) == ["COMPLETED"]
    check_block(project, local_block)


def test_a_job_that_is_cancelled_is_waited_for_in_vain(accounted, project, local_block):
    """By whom, says sacct, which Snakemake's plugin does not expect: Ctrl-C, and run again."""
    process, job = accounted.hang(project)
    subprocess.run(["scancel", job], check=True)
    query = ("sacct", "-X", "--noheader", "--parsable2", "--format=State", f"--jobs={job}")
    accounted.wait(lambda: accounted.slurm.call(*query).startswith("CANCELLED by"), process)
    time.sleep(10)  # Snakemake looks every three seconds
    assert process.poll() is None
    assert accounted.states(project) == ["CANCELLED"]
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    accounted.run(project, BLOCK)
    assert accounted.states(project) == ["CANCELLED", "COMPLETED"]
    check_block(project, local_block)


def test_a_job_whose_node_fails_is_tried_again_at_another(accounted, project, local_block):
    process, _ = accounted.hang(project)
    (first,) = accounted.jobs(project)
    node = first["NodeList"]
    fail = ["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test"]
    subprocess.run(fail, check=True)  # it is back as soon as its slurmd reports
    told = accounted.finish(process)
    (project.folder / "hanging").unlink()  # nobody ends a job on a node that is taken for dead
    assert f"excluded from subsequent submissions: {node}" in told
    # Once, and by Snakemake: SLURM would start the same job anew, if it were let.
    jobs = accounted.jobs(project)
    assert [job["JobState"] for job in jobs] == ["NODE_FAIL", "COMPLETED"]
    assert [job["Restarts"] for job in jobs] == ["0", "0"]
    assert jobs[1]["NodeList"] != node
    check_block(project, local_block)

"""On a real SLURM of one node, watched by squeue, the workflow ends in a local run's results."""

import os
import signal
import subprocess

from tests.faults.comparison import differences
from tests.slurm.conftest import BLOCK, check_block


def is_told(project, text):
    """Whether the log of the latest call of Snakemake has a text."""
    logs = (project.folder / ".snakemake/log").iterdir()
    return text in max(logs, key=lambda log: log.stat().st_mtime).read_text()


def unlock(project):
    """What the documentation says to type after a kill."""
    done = project.call("snakemake", "--workflow-profile", "profiles/slurm", "--unlock")
    assert done.returncode == 0, done.stdout


def test_the_whole_experiment(cluster, project, local):
    told = cluster.run(project)
    assert differences(project.results, local.results) == []
    assert "results/tiny/report.html" in told
    jobs = {job["JobId"]: job for job in cluster.jobs(project)}
    assert {job["JobState"] for job in jobs.values()} == {"COMPLETED"}
    # Two blocks of training; groups of metrics, models, halves, analysis and what people look at.
    assert len(jobs) == 7, [job["Comment"] for job in jobs.values()]
    training = [job for job in jobs.values() if job["Comment"].startswith("rule_train")]
    others = [job for job in jobs.values() if job not in training]
    assert [job["NumCPUs"] for job in training + others] == ["2"] * 2 + ["1"] * 5
    # The one GPU is for training, one job after the other.
    assert ["gpu" in job.get("TresPerJob", "") for job in training + others] == [True] * 2 + [
        False
    ] * 5
    first, second = sorted(training, key=lambda job: job["StartTime"])
    assert first["EndTime"] <= second["StartTime"]
    # What has succeeded leaves no log of SLURM's behind, and nothing is left to do.
    assert not list((project.folder / ".snakemake").rglob("slurm_logs/**/*.log"))
    assert "Nothing to be done" in cluster.run(project, "--dry-run")


def test_a_job_that_is_cancelled_is_tried_again(cluster, project, local_block):
    process, job = cluster.hang(project)
    subprocess.run(["scancel", job], check=True)
    cluster.finish(process)
    assert cluster.states(project) == ["CANCELLED", "COMPLETED"]
    check_block(project, local_block)


def test_a_job_past_its_time_limit_is_given_more(cluster, project, local_block):
    process, job = cluster.hang(project)
    # SLURM counts its limits in minutes: this one ends at once, as soon as SLURM looks.
    subprocess.run(["scontrol", "update", f"JobId={job}", "EndTime=now+1"], check=True)
    cluster.finish(process)
    assert cluster.states(project) == ["TIMEOUT", "COMPLETED"]
    assert cluster.jobs(project)[1]["TimeLimit"] == "08:00:00"  # twice that of the first attempt
    check_block(project, local_block)


def test_a_job_out_of_memory_is_given_more(cluster, project, local_block):
    (project.folder / "fault").write_text("memory")
    memory = ("--set-resources", "train_tiny_0:mem_mb=1800 * attempt")
    cluster.run(project, BLOCK, *memory)
    jobs = cluster.jobs(project)
    assert [job["MinMemoryNode"] for job in jobs] == ["1800M", "3600M"]
    assert [job["JobState"] for job in jobs][1] == "COMPLETED"
    (log,) = (project.folder / ".snakemake/slurm_logs").rglob("*.log")  # that of the failed attempt
    assert "exceeded memory limit" in log.read_text()
    check_block(project, local_block)


def test_a_controller_that_restarts(cluster, project, local_block):
    """Without accounting, Snakemake loses sight of its jobs then; it is killed and called again."""
    process, _ = cluster.hang(project)
    cluster.slurm.stop_controller()
    try:
        cluster.wait(lambda: is_told(project, "Falling back to 'sacct'"), process)
    finally:
        cluster.slurm.start_controller()
    (project.folder / "hanging").unlink()
    cluster.wait(lambda: cluster.states(project) == ["COMPLETED"], process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    unlock(project)
    cluster.run(project, BLOCK)
    assert set(cluster.states(project)) == {"COMPLETED"}
    check_block(project, local_block)


def prepared(project):
    """Let training save its state at each checkpoint; return the files of the runs' metrics."""
    project.edit("python/training_maps/training/resume.py", "SAVE_EVERY = 30.0", "SAVE_EVERY = 0.0")
    return [f"results/tiny/runs/seed-{seed}/metrics.parquet" for seed in range(3)]


def check_preempted(project, local, trained):
    """The runs are those of a machine that nobody disturbed, and training went on where it was."""
    for seed in range(3):
        name = f"runs/seed-{seed}"
        assert differences(project.results / name, local.results / name) == []
    assert "going on from step" in (project.results / "logs/train_0.log").read_text()
    assert trained == times_of_training(project)


def times_of_training(project):
    """When the runs' checkpoints and lists of them were written."""
    files = [*project.results.glob("runs/*/checkpoints*")]
    assert len(files) == 6
    return {file: file.stat().st_mtime_ns for file in files}


def test_preempted_jobs_start_again_where_they_may(cluster, project, local):
    metrics = prepared(project)
    project.edit("profiles/slurm/config.yaml", "slurm-no-requeue: true", "slurm-no-requeue: false")
    process = cluster.start(project, *metrics)
    cluster.wait_for_fault(project, "train", process)
    cluster.preempt(project)
    cluster.wait_for_fault(project, "metrics", process)
    trained = times_of_training(project)
    cluster.preempt(project)
    cluster.finish(process)
    jobs = cluster.jobs(project)
    assert [(job["JobState"], job["Restarts"]) for job in jobs] == [("COMPLETED", "1")] * 2
    check_preempted(project, local, trained)


def test_jobs_that_are_preempted_for_good_are_made_again_by_the_next_call(cluster, project, local):
    """Snakemake says what happened and waits on, as the documentation warns."""
    metrics = prepared(project)
    spare = ("--default-resources", "slurm_partition=spare", "slurm_account=none")
    trained = {}
    for preempted, stage in enumerate(("train", "metrics"), start=1):
        process = cluster.start(project, *metrics, *spare)
        cluster.wait_for_fault(project, stage, process)
        if stage == "metrics":
            trained = times_of_training(project)
        cluster.preempt(project)
        # A busy machine may fail an attempt besides, which is tried again: that is not counted.
        cluster.wait(lambda n=preempted: cluster.states(project).count("PREEMPTED") == n, process)
        cluster.wait(lambda: is_told(project, "A Job preemption"), process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        unlock(project)
    cluster.run(project, *metrics)
    states = cluster.states(project)
    assert states.count("PREEMPTED") == 2
    assert states[-1] == "COMPLETED"
    check_preempted(project, local, trained)

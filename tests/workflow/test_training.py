"""Training as the workflow starts it: metrics from memory, killed jobs, images of one's own."""

import os
import re
import signal
import sys
import time

import numpy as np
import pandas as pd

from tests.support.workflow_project import Project

IMAGES = """\
description: a setting whose networks have batch norm
seeds: 0-2
training:
  task: mnist
  task_settings: {dataset: digits.npz, model: lenet5, batch_norm: true}
  length: 2
  checkpoint_every: 1
observations: {min_checkpoints: 2}
"""


def write_images(path, value):
    np.savez(
        path,
        train_images=np.full((20, 28, 28), value, np.uint8), train_labels=np.arange(20) % 2,
        eval_images=np.full((4, 28, 28), value, np.uint8), eval_labels=np.arange(4) % 2,
    )  # fmt: skip


def test_metrics_from_memory_are_those_of_the_checkpoints(finished, project):
    setting = ("--config", "training={metrics_during_training: true}")
    assert project.planned(*setting)["metrics"] == 0
    project.run(*setting, "--until", "train_tiny_0")
    for seed in range(3):
        name = f"runs/seed-{seed}/metrics.parquet"
        pd.testing.assert_frame_equal(
            pd.read_parquet(project.results / name),
            pd.read_parquet(finished[0].results / name),
            check_exact=True,
        )


def test_a_killed_run_goes_on_where_training_was(finished, tmp_path):
    project = Project.new(tmp_path / "killed")
    project.edit("python/training_maps/training/resume.py", "SAVE_EVERY = 30.0", "SAVE_EVERY = 0.0")
    # Slower, so that it can be killed in the midst.
    project.edit(
        "python/training_maps/training/side_by_side.py",
        "        if not self._checked:\n",
        "        __import__('time').sleep(0.01)\n        if not self._checked:\n",
    )
    workflow = project.start(sys.executable, "-m", "snakemake", "--cores", "1")
    runs = project.results / "runs"
    while workflow.poll() is None and not list(runs.glob(".unfinished-*/seed-*/checkpoints/*40*")):
        time.sleep(0.02)
    assert workflow.poll() is None, workflow.communicate()[0]
    os.killpg(workflow.pid, signal.SIGKILL)  # the training job with it
    workflow.communicate()
    (state,) = runs.glob(".unfinished-*/state.pt")
    block = {".unfinished-0-2": 0, ".unfinished-3-5": 1}[state.parent.name]
    assert not list(runs.glob("seed-*/checkpoints.json"))
    project.run("--unlock")
    told = project.run("--until", f"train_tiny_{block}")
    assert "going on from step" in told
    assert not state.exists()
    for seed in range(3 * block, 3 * block + 3):
        name = f"runs/seed-{seed}/training_log.parquet"
        pd.testing.assert_frame_equal(
            pd.read_parquet(project.results / name),
            pd.read_parquet(finished[0].results / name),
            check_exact=True,
        )


def test_a_network_that_trains_alone_has_a_job_alone_and_own_images_count(tmp_path):
    project = Project.new(tmp_path / "images")
    (project.folder / "experiments" / "digits.yaml").write_text(IMAGES)
    write_images(project.folder / "digits.npz", 100)
    setting = ("--config", "experiments=[digits]")
    jobs = {f"train_digits_{seed}": 1 for seed in range(3)}
    assert {rule: n for rule, n in project.planned(*setting).items() if "train" in rule} == jobs
    project.run(*setting, "--until", "train_digits_1")
    del jobs["train_digits_1"]
    assert {rule: n for rule, n in project.planned(*setting).items() if "train" in rule} == jobs
    write_images(project.folder / "digits.npz", 200)
    assert project.planned(*setting)["train_digits_1"] == 1


def test_a_data_set_is_fetched_once_before_training(finished):
    planned = finished[0].planned("--config", "experiments=[mnist,cifar100]", "seeds=0-9")
    assert planned["fetch_dataset"] == 2
    assert planned["train_mnist_0"] == planned["train_cifar100_9"] == 1
    assert planned["metrics"] == 10  # CIFAR-100's are taken from memory


def test_jobs_on_several_gpus_share_the_cores(tmp_path):
    project = Project.new(tmp_path / "project")
    digits = "seeds: 0-7\ntraining: {task: mnist, seeds_per_job: 4}\n"
    (project.folder / "experiments/digits.yaml").write_text(digits)
    told = {
        gpus: project.run(
            "--dry-run", "--quiet", "host", "--printshellcmds", "--cores", "6",
            "--resources", f"gpu={gpus}", "--config", "experiments=[tiny, digits]",
        )
        for gpus in (1, 3)
    }  # fmt: skip
    for gpus, threads in ((1, {"6"}), (3, {"2"})):
        assert set(re.findall(r"--device auto --threads (\d+)", told[gpus])) == threads
        # A task that gains nothing from a GPU asks for none.
        assert set(re.findall(r"--device cpu --threads (\d+)", told[gpus])) == {"6"}


def test_a_dry_run_tells_what_is_chosen_for_a_gpu(tmp_path):
    project = Project.new(tmp_path / "project")
    device = ("--config", "training={device: cuda}")
    told = project.run("--dry-run", "--quiet", "host", "--printshellcmds", *device)
    line = "tiny trains on a GPU, as training.device says: 40 seeds a job, metrics during training"
    assert line in told
    assert "precision=tf32" in told
    assert "--device cuda" in told
    assert "trains on a GPU" not in project.run("--dry-run", "--quiet", "host")


def test_jobs_side_by_side_have_a_gpu_each(tmp_path, monkeypatch):
    """With stand-ins: nvidia-smi lists two, and torch, which finds none, trains on the CPU."""
    stand_in = tmp_path / "bin" / "nvidia-smi"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-a)'; echo 'GPU 1: B (UUID: GPU-b)'\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # for their locks
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    project = Project.new(tmp_path / "project")
    write_images(project.folder / "digits.npz", 100)
    digits = IMAGES.replace("seeds: 0-2", "seeds: 0-1").replace("length: 2", "length: 40")
    (project.folder / "experiments/digits.yaml").write_text(digits)
    project.edit(  # so slow that both are there at a time
        "python/training_maps/training/alone.py",
        "        self._network.train()\n",
        "        self._network.train()\n        __import__('time').sleep(0.2)\n",
    )
    told = project.run(
        "--cores", "2", "--resources", "gpu=2", "--config", "experiments=digits",
        "--until", "train_digits_0", "train_digits_1",
    )  # fmt: skip
    assert "digits trains on the GPU that is here" in told
    logs = [
        (project.results.parent / f"digits/logs/train_{block}.log").read_text() for block in (0, 1)
    ]
    taken = [re.search(r"on GPU (\S+), one of 2", log)[1] for log in logs]
    assert sorted(taken) == ["GPU-a", "GPU-b"], logs

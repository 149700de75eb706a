"""Two workflows at a time: in one folder, or in two that share results or data."""

import hashlib
import os
import signal
import sys
import time

import numpy as np
import pytest

from tests.faults.comparison import differences
from tests.support.dataset_files import idx
from tests.support.file_server import Server
from tests.support.workflow_project import Project

SNAKEMAKE = (sys.executable, "-m", "snakemake", "--cores", "1")
DIGITS = """
import functools as _functools
DATASETS["tiny"] = DataSet(
    "Tiny", ({files}), _functools.partial(read_mnist_part, n_train=40), 10, 40, 20
)
"""
OF_DIGITS = """\
seeds: 0-1
training:
  task: mnist
  task_settings: {dataset: tiny, hidden_size: 8}
  length: 20
  unit: step
  checkpoint_every: 2
  batch_size: 10
  device: cpu
hmm: {n_states: 1-2}
"""


def wait_for(exists, workflow):
    deadline = time.monotonic() + 240
    while not exists():
        assert workflow.poll() is None, workflow.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_results_that_another_workflow_writes_are_refused(finished, project, tmp_path):
    """Where the first workflow was started and elsewhere, and the first ends as if alone."""
    results = project.folder / "results"
    for name in ("hmm/model_selection.csv", "hmm/stability.json", "training_map.json"):
        (project.results / name).unlink()
    other = Project.new(tmp_path / "other")
    first = project.start(*SNAKEMAKE)
    lock = project.results / ".workflow.lock"
    wait_for(lambda: lock.is_file() and lock.read_text(), first)
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        before = sorted(results.rglob("*"))
        for folder, arguments, target, told in (
            (project, (), "results/tiny/training_map.json", "Directory cannot be locked"),
            (
                other,
                ("--config", f"results={results}"),
                f"{results}/tiny/training_map.json",
                f"process {first.pid} on ",
            ),
        ):
            refused = folder.snakemake(*arguments, "--", target)
            assert refused.returncode != 0, refused.stdout
            assert told in refused.stdout
            assert "Traceback" not in refused.stdout
        assert f"in {project.folder}. Wait until it ends" in refused.stdout
        assert sorted(results.rglob("*")) == before
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    told, _ = first.communicate()
    assert first.returncode == 0, told
    assert differences(results, finished[0].folder / "results") == []


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def images():
    """Two files of sixty images in ten classes, told apart by a bright row."""
    labels = np.arange(60, dtype=np.uint8) % 10
    pixels = np.zeros((60, 28, 28), np.uint8)
    pixels[np.arange(60), labels] = 200
    return {"images.gz": idx(pixels), "labels.gz": idx(labels)}


def test_two_folders_fetch_and_use_the_same_data(tmp_path, server, monkeypatch, images):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = []
    for name, content in images.items():
        server.files[f"/{name}"] = content
        md5 = hashlib.md5(content).hexdigest()
        files.append(f'File("tiny/{name}", {len(content)}, "{md5}", '
                     f'("{server.url(f"/{name}")}",)),')  # fmt: skip
    projects = []
    for name in ("one", "two"):
        project = Project.new(tmp_path / name)
        datasets = project.folder / "python/training_maps/training/datasets/__init__.py"
        datasets.write_text(datasets.read_text() + DIGITS.format(files=" ".join(files)))
        (project.folder / "experiments/digits.yaml").write_text(OF_DIGITS)
        config = f"experiments: [digits]\ndata_dir: {tmp_path / 'data'}\n"
        (project.folder / "config.yaml").write_text(config)
        projects.append(project)
    targets = [f"results/digits/runs/seed-{seed}/metrics.parquet" for seed in (0, 1)]
    running = [project.start(*SNAKEMAKE, *targets) for project in projects]
    for workflow in running:
        told, _ = workflow.communicate()
        assert workflow.returncode == 0, told
    assert sorted(path.name for path in (tmp_path / "data/tiny").iterdir()) == list(images)
    one, two = (project.folder / "results/digits/runs" for project in projects)
    assert differences(one, two) == []

"""Runs whose checkpoints are on the Hugging Face hub, from a stand-in of it to the report."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from tests.support.small_models import save, small_model
from tests.support.stand_in_hub import stand_in_hub
from tests.support.workflow_project import FEW_FIGURES, Project
from training_maps.utils.files import table_metadata

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
THOUSANDS = [*range(0, 201, 20), 300]
EXPERIMENT = """\
source: hub
seeds: 0-4
hub: {{preset: multiberts, steps: "0-200000:20000,300000", endpoint: "{endpoint}"}}
training: {{unit: step}}
hmm: {{n_states: 1-3, restarts: 2, covariance: diag}}
reproducibility: {{halves: 0}}
"""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Small BERTs whose weights wander from where they begin: a folder by seed and step."""
    import torch

    folder = tmp_path_factory.mktemp("hub")
    start = load_file(save(small_model("bert"), folder / "start") / "model.safetensors")
    found = {}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        weights = start
        for k in THOUSANDS:
            place = found[seed, k] = folder / f"{seed}-{k}"
            place.mkdir()
            if seed == 4:  # as the real ones are
                tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
                torch.save(tensors, place / "pytorch_model.bin")
            else:
                save_file(weights, place / "model.safetensors")
            weights = {
                name: value * np.float32(1.02) + rng.normal(0, 0.01, value.shape).astype("f4")
                for name, value in weights.items()
            }
    return found


def test_from_the_hub_to_the_report(checkpoints, monkeypatch, tmp_path):
    with stand_in_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        for (seed, k), folder in checkpoints.items():
            hub.add(f"google/multiberts-seed_{seed}-step_{k}k", "main", folder)
        project = Project.new(tmp_path / "project")
        (project.folder / "experiments/small_berts.yaml").write_text(
            EXPERIMENT.format(endpoint=hub.endpoint) + FEW_FIGURES
        )
        project.run("--config", "experiments=[small_berts]")
        assert len(hub.downloads()) == len(checkpoints)
        results = project.folder / "results/small_berts"
        for seed in range(5):
            table = pd.read_parquet(results / f"runs/seed-{seed}/metrics.parquet")
            assert table["step"].tolist() == [1000 * k for k in THOUSANDS]
            metadata = table_metadata(results / f"runs/seed-{seed}/metrics.parquet")
            commit = hub.commit(f"google/multiberts-seed_{seed}-step_20k", "main")
            assert metadata["commits"]["20000"] == commit
            assert sorted(f.name for f in (results / f"runs/seed-{seed}").iterdir()) == [
                "layers.parquet", "metrics.parquet",
            ]  # fmt: skip
        states = json.loads((results / "training_map.json").read_text())["states"]
        assert 1 <= len(states) <= 3
        assert (results / "report.html").is_file()

        nothing = project.planned("--config", "experiments=[small_berts]")
        assert not nothing
        # Which tensors count concerns what is measured, which is downloaded again.
        patterns = ["experiments=[small_berts]", 'parameters={left_out: ["*.pooler.*"]}']
        assert project.planned("--config", *patterns)["hub"] == 5
        table = results / "runs/seed-0/metrics.parquet"
        before = pd.read_parquet(table)
        project.run("--config", *patterns, "--", str(table.relative_to(project.folder)))
        assert (pd.read_parquet(table)["mean_w"] != before["mean_w"]).all()


def test_what_the_section_lacks_is_said_before_anything_runs(tmp_path):
    project = Project.new(tmp_path / "project")
    (project.folder / "experiments/wrong.yaml").write_text(
        "source: hub\nseeds: 0-5\nhub: {preset: multiberts}\n"
    )
    told = project.refusal("experiments=[wrong]")
    assert "experiment wrong: hub.preset: multiberts has no seed 5; its seeds are 0-4" in told

"""What users get wrong is told in one message, and what is finished stays."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file


def test_a_wrong_config_stops_before_any_job(finished):
    done = finished[0].snakemake("--config", "hmm={restart: 3}")
    assert done.returncode != 0
    assert "unknown key hmm.restart (did you mean restarts?)" in done.stdout
    assert "Traceback" not in done.stdout
    assert "rule " not in done.stdout


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("semantics={threshold: 1.5}", "semantics.threshold: expected number"),
        ("seeds=none", "experiment tiny: seeds"),
    ],
)
def test_what_the_command_line_says_wrong_is_refused(finished, config, message):
    assert message in finished[0].refusal(config)


def corrupt(project, seed, step, change):
    """Rewrite one checkpoint, manifest and all, as if training had written it so."""
    import hashlib

    run = project.results / f"runs/seed-{seed}"
    path = run / f"checkpoints/step-{step:06d}.safetensors"
    change(path)
    manifest = json.loads((run / "checkpoints.json").read_text())
    for checkpoint in manifest["checkpoints"]:
        if checkpoint["step"] == step:
            checkpoint["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (run / "checkpoints.json").write_text(json.dumps(manifest))


def poison(path):
    tensors = load_file(path)
    tensors["output.weight"][0, 0] = np.nan
    save_file(tensors, path)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def test_a_nan_weight_stops_with_its_tensor_step_and_seed(project):
    corrupt(project, 2, 100, poison)
    done = project.snakemake()
    assert done.returncode != 0
    for word in ("output.weight", "step 100", "seed 2"):
        assert word in done.stdout, word
    assert "Traceback (most recent call last)" not in done.stdout
    assert not (project.results / "runs/seed-2/metrics.parquet").exists()


@pytest.mark.parametrize("policy", ["drop", "cut"])
def test_a_nan_weight_can_be_left_out(project, policy):
    corrupt(project, 2, 200, poison)
    report = "results/tiny/report.html"
    project.run("--config", f"metrics={{non_finite: {policy}}}", "hmm={n_states: 2}", "--", report)
    assert "seed 2" in (project.folder / report).read_text()
    summary = json.loads((project.results / "summary.json").read_text())
    assert summary["n_runs"] == (5 if policy == "drop" else 6)


def test_a_truncated_checkpoint_is_named(project):
    truncate(project.results / "runs/seed-1/checkpoints/step-000050.safetensors")
    (project.results / "runs/seed-1/metrics.parquet").unlink()
    done = project.snakemake()
    assert done.returncode != 0
    assert "step-000050.safetensors" in done.stdout
    assert "Traceback (most recent call last)" not in done.stdout


def test_too_few_checkpoints_are_said(project):
    done = project.snakemake("--config", "observations={min_checkpoints: 40}")
    assert done.returncode != 0
    assert "31" in done.stdout
    assert "40" in done.stdout
    assert "Traceback (most recent call last)" not in done.stdout


def test_fewer_than_five_runs_and_no_converging_run_still_give_a_map(project):
    config = ["seeds=0-2", "training={learning_rate: 0.001, length: 20}", "results=few",
              "reproducibility={halves: 1}"]  # fmt: skip
    project.run("--config", *config)
    results = project.folder / "few/tiny"
    summary = json.loads((results / "summary.json").read_text())
    assert (summary["n_runs"], summary["n_converged"]) == (3, 0)
    assert summary["r_squared"] is None
    assert (results / "coefficients.csv").read_text().count("\n") == 1
    assert any("validation" in note["text"] for note in summary["notes"])
    assert json.loads((results / "regression.json").read_text())["reason"]

"""A small run on disk, whose checkpoints may diverge."""

import numpy as np
from safetensors.numpy import load_file

from training_maps.runs.checkpoints import (
    Checkpoint,
    Run,
    step_file,
    write_checkpoint,
    write_manifest,
)

STEPS = (0, 5, 10, 100, 1000)


def network(step, dtype=np.float32):
    """A perceptron's tensors, and some that do not count."""
    rng = np.random.default_rng(step)
    return {
        "hidden.weight": rng.normal(size=(30, 20)).astype(dtype),
        "hidden.bias": rng.normal(size=30).astype(dtype),
        "output.weight": rng.normal(size=(1, 30)).astype(dtype),
        "output.bias": rng.normal(size=1).astype(dtype),
        "norm.weight": np.full(20, 7, dtype),
        "norm.bias": np.full(20, 7, dtype),
        "steps": np.array([step]),
    }


def write_run(folder, networks):
    """Write networks, by step, as the run of seed 3; return the manifest's path."""
    checkpoints = []
    for step, tensors in networks.items():
        path = folder / "checkpoints" / step_file(step, max(networks))
        digest = write_checkpoint(path, tensors, seed=3, step=step)
        checkpoints.append(Checkpoint(step, step / 5, path, digest))
    manifest = folder / "checkpoints.json"
    write_manifest(Run(3, tuple(checkpoints), "task"), manifest)
    return manifest


def checkpoint_file(manifest, step):
    return manifest.parent / "checkpoints" / step_file(step, max(STEPS))


def diverge(manifest, *steps, tensor="output.weight"):
    """Put a NaN into a tensor of some steps, and write the manifest anew."""
    networks = {step: load_file(checkpoint_file(manifest, step)) for step in STEPS}
    for step in steps:
        networks[step][tensor].flat[-1] = np.nan
    write_run(manifest.parent, networks)

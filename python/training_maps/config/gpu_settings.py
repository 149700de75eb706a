"""What training's settings are on a GPU, where nobody says otherwise; and a line that tells it.

They follow `device: cuda` alone and no GPU that is found. A plan must be the same on the machine
that makes it, on the one that trains, and on the one that reads the results later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training_maps.config.schema import merge
from training_maps.training.tasks import make_task

# Forty small networks keep a GPU as busy as one does; checkpoints of forty would keep the disk busy
# instead; and its matrix units take products of float32 in TensorFloat-32, three times as fast.
SEEDS_PER_JOB = 40
METRICS_DURING_TRAINING = True
PRECISION = "tf32"


def for_device(own: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of an experiment, completed for a GPU if it is to be trained on one.

    Args:
        own: what the experiment's file says.
        overrides: what config.yaml or the command says of all experiments.

    Returns:
        Both together. With `device: cuda`, precision and metrics during training are chosen where
        neither says them, and seeds a job also where the file's are those of another device: the
        device is then said in `overrides`, and they are not.
    """
    given = merge(own, overrides)
    said, above = given.get("training") or {}, overrides.get("training") or {}
    if said.get("device") != "cuda" or given.get("source", "training") != "training":
        return given
    chosen: dict[str, Any] = {"precision": PRECISION}
    if said.get("keep_checkpoints") is not True:  # who asks for checkpoints gets them
        chosen["metrics_during_training"] = METRICS_DURING_TRAINING
    training = {**chosen, **said}
    if "seeds_per_job" not in (above if "device" in above else said):
        training["seeds_per_job"] = SEEDS_PER_JOB
    return {**given, "training": training}


def told(
    name: str, experiment: Mapping[str, Any], visible: Callable[[], Sequence[str]]
) -> str | None:
    """A line on what is decided of an experiment's training on a GPU, and why.

    Args:
        name: of the experiment.
        experiment: its whole settings.
        visible: gives the GPUs of this machine; it is asked only where they matter.

    Returns:
        The line; None if nothing is trained, or on a CPU.
    """
    if experiment["source"] != "training":
        return None
    training = experiment["training"]
    task = make_task(training["task"], training["task_settings"])
    seeds = training["seeds_per_job"] if task.side_by_side else 1
    during = training["metrics_during_training"]
    settings = ", ".join(
        [
            f"{seeds} seeds a job" if seeds > 1 else "a job for each seed",
            "metrics during training" if during else "checkpoints on disk",
            str(training["precision"]),
        ]
    )
    if training["device"] == "cuda":
        return f"{name} trains on a GPU, as training.device says: {settings}"
    if training["device"] == "auto" and task.profits_from_gpu and visible():
        return (
            f"{name} trains on the GPU that is here, with settings for any device: {settings}; "
            "training.device=cuda chooses those for a GPU (docs/gpu.md)"
        )
    return None

"""Settings for a GPU: chosen where nobody says otherwise, and told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.workflow_project import plan
from training_maps.config.gpu_settings import for_device, told
from training_maps.config.schema import load_schema

CUDA = {"device": "cuda"}
CHOSEN = {"precision": "tf32", "metrics_during_training": True, "seeds_per_job": 40}


@pytest.mark.parametrize(
    ("own", "above", "expected"),
    [
        ({}, {}, {}),
        ({"seeds_per_job": 8}, {"device": "auto"}, {"seeds_per_job": 8, "device": "auto"}),
        ({}, CUDA, CHOSEN | CUDA),
        (CUDA, {}, CHOSEN | CUDA),
        # The file's number of seeds is for any device, unless the file names the GPU.
        ({"seeds_per_job": 8}, CUDA, CHOSEN | CUDA),
        ({"seeds_per_job": 8} | CUDA, {}, CHOSEN | CUDA | {"seeds_per_job": 8}),
        ({"seeds_per_job": 8}, CUDA | {"seeds_per_job": 4}, CHOSEN | CUDA | {"seeds_per_job": 4}),
        (CUDA, {"seeds_per_job": 4}, CHOSEN | CUDA | {"seeds_per_job": 4}),
        # Numbers and what is kept are never changed where someone has said them.
        ({"precision": "float32"}, CUDA, CHOSEN | CUDA | {"precision": "float32"}),
        (
            {"metrics_during_training": False},
            CUDA,
            CHOSEN | CUDA | {"metrics_during_training": False},
        ),
        (
            {"keep_checkpoints": True},
            CUDA,
            {"precision": "tf32", "seeds_per_job": 40, "keep_checkpoints": True} | CUDA,
        ),
    ],
)
def test_what_is_chosen(
    own: dict[str, Any], above: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = for_device({"training": own}, {"training": above})
    assert found["training"] == expected
    assert for_device({"source": "hub"}, {"training": CUDA})["training"] == CUDA


def none() -> list[str]:
    return []


def two() -> list[str]:
    return ["0", "1"]


def test_an_experiment_on_a_gpu() -> None:
    schema = load_schema()
    here = plan(schema, experiments=["modular_addition"])
    there = plan(schema, experiments=["modular_addition"], training=CUDA)
    before, after = (x.experiments["modular_addition"] for x in (here, there))
    trained, on_gpu = before["training"], after["training"]
    changed = {key for key, value in on_gpu.items() if value != trained[key]}
    assert changed == {"device", *CHOSEN}
    assert trained["seeds_per_job"] == 8
    assert {key: on_gpu[key] for key in CHOSEN} == CHOSEN
    assert told("m", before, none) is None
    assert told("m", after, none) == (
        "m trains on a GPU, as training.device says: 40 seeds a job, metrics during training, tf32"
    )
    line = told("m", before, two)
    assert line is not None
    assert "8 seeds a job, checkpoints on disk, float32; training.device=cuda" in line


def test_nothing_is_told_of_a_task_that_gains_nothing_or_is_not_trained() -> None:
    settings = plan(load_schema(), experiments=["sparse_parities"]).experiments["sparse_parities"]
    assert told("s", settings, two) is None
    on_cpu = {**settings, "training": {**settings["training"], "device": "cpu"}}
    assert told("s", on_cpu, two) is None
    assert told("s", {"source": "hub"}, two) is None

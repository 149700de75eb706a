"""Train a block of seeds; write their checkpoints (or their metrics), logs and manifests.

For every seed, `RUNS/seed-SEED/` gets `checkpoints/step-STEP.safetensors`, `training_log.parquet`
and, last, the manifest `checkpoints.json`; with `--metrics`, `metrics.parquet` and no checkpoints.
A training of the same seeds that was killed is resumed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml

from training_maps.config.schema import check, typed
from training_maps.metrics.parameters import Overrides
from training_maps.metrics.parameters import add_arguments as add_parameter_arguments
from training_maps.settings.fields import fields_schema
from training_maps.settings.sections import MetricsSettings, NonFinite
from training_maps.training.gpus import one_gpu
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task, settings_schema
from training_maps.utils.errors import InputError
from training_maps.utils.seeds import parse_seeds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's options."""
    parser.add_argument("--task", required=True, help="what is trained: a module of tasks/")
    parser.add_argument(
        "--set", dest="settings", nargs="*", default=[], metavar="NAME=VALUE",
        help="settings of the task, such as hidden_size=128",
    )  # fmt: skip
    recipe = ", ".join(f"{name}={value}" for name, value in vars(Recipe()).items())
    parser.add_argument(
        "--recipe", nargs="*", default=[], metavar="NAME=VALUE",
        help=f"how it is trained, such as batch_size=256; the defaults are {recipe}",
    )  # fmt: skip
    parser.add_argument("--seeds", required=True, help="such as 0-39 or 0-9,12")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: torch's)")
    parser.add_argument(
        "--data-dir", type=Path, default=None, help="folder of downloaded data sets"
    )
    parser.add_argument(
        "--metrics", action="store_true", help="compute metrics and write no checkpoints"
    )
    parser.add_argument(
        "--non-finite", choices=get_args(NonFinite), default=MetricsSettings.non_finite,
        help="with --metrics: what to do about NaN or infinity (see training-maps metrics)",
    )  # fmt: skip
    parser.add_argument(
        "--columns", nargs="*", default=[], metavar="METRIC",
        help="with --metrics: the metrics to compute (see training-maps metrics)",
    )  # fmt: skip
    parser.add_argument(
        "--layers", action="store_true",
        help="with --metrics: keep those of each weight matrix too, in layers.parquet",
    )  # fmt: skip
    add_parameter_arguments(parser)
    parser.add_argument("--runs", type=Path, required=True, help="folder of all runs")


def run(arguments: argparse.Namespace) -> None:
    """Train, as the options say."""
    import torch

    from training_maps.training.datasets import use_data_folder
    from training_maps.training.loop import Recording, train

    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    use_data_folder(arguments.data_dir)
    recipe = _settings("--recipe", arguments.recipe, fields_schema(Recipe))
    settings = _settings("--set", arguments.settings, settings_schema(arguments.task))
    recording = Recording(
        arguments.runs,
        "metrics" if arguments.metrics else "checkpoints",
        arguments.non_finite,
        tuple(arguments.columns),
        Overrides.from_arguments(arguments),
        arguments.layers,
    )
    with one_gpu(arguments.device):
        train(
            make_task(arguments.task, settings),
            arguments.task,
            Recipe(**recipe),
            parse_seeds(arguments.seeds),
            recording,
            device=arguments.device,
        )


def _settings(option: str, texts: list[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Read NAME=VALUE, each value as YAML reads it, so that 3 is a number; check them."""
    settings = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise InputError(f"{option} {text}: expected NAME=VALUE, such as batch_size=32")
        settings[name] = yaml.safe_load(value)
    settings = typed(settings, schema)
    check(settings, schema, option)
    return settings

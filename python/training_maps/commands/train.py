"""Train a block of seeds side by side; write their checkpoints, logs and manifests.

For every seed, `RUNS/seed-SEED/` gets `checkpoints/step-STEP.safetensors`, `training_log.parquet`
and, last, the manifest `checkpoints.json`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from training_maps.errors import InputError
from training_maps.seeds import parse_seeds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the stage's options."""
    parser.add_argument("--task", required=True, help="what is trained: a module of tasks/")
    parser.add_argument(
        "--set", dest="settings", nargs="*", default=[], metavar="NAME=VALUE",
        help="settings of the task, such as hidden_size=128",
    )  # fmt: skip
    parser.add_argument("--seeds", required=True, help="such as 0-39 or 0-9,12")
    parser.add_argument("--optimizer", default="sgd", choices=("sgd", "adamw"))
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--length", type=int, default=1000, help="length of training, in UNITs")
    parser.add_argument(
        "--checkpoint-every", type=int, default=10, help="UNITs between checkpoints"
    )
    parser.add_argument("--unit", default="epoch", choices=("epoch", "step"))
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: torch's)")
    parser.add_argument("--runs", type=Path, required=True, help="folder of all runs")


def run(arguments: argparse.Namespace) -> None:
    """Train, as the options say."""
    import torch

    from training_maps.tasks import make_task
    from training_maps.training import Recipe, train

    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    recipe = Recipe(
        optimizer=arguments.optimizer,
        learning_rate=arguments.learning_rate,
        weight_decay=arguments.weight_decay,
        batch_size=arguments.batch_size,
        length=arguments.length,
        checkpoint_every=arguments.checkpoint_every,
        unit=arguments.unit,
    )
    task = make_task(arguments.task, dict(_setting(text) for text in arguments.settings))
    seeds = parse_seeds(arguments.seeds)
    train(task, arguments.task, recipe, seeds, arguments.runs, device=arguments.device)


def _setting(text: str) -> tuple[str, Any]:
    """Split NAME=VALUE; the value is read as YAML reads it, so that 3 is a number."""
    name, separator, value = text.partition("=")
    if not separator:
        raise InputError(f"--set {text}: expected NAME=VALUE, such as hidden_size=128")
    return name, yaml.safe_load(value)

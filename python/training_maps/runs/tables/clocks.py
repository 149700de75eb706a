"""Columns that time or count the training: they say nothing of a network, and are no metrics.

The names are those of TensorBoard's exports, Weights & Biases, transformers' Trainer, Lightning,
Stable-Baselines3, RLlib, fairseq, Megatron-LM, MMEngine and detectron2, and the likes of them.
"""

from __future__ import annotations

import re

# Names of the columns of steps, in this spelling.
STEP_NAMES = ("step", "_step", "global_step", "iteration")
# Counters, whole names in lower case, without what stands before a slash or a dot.
_COUNTERS = {
    "step", "_step", "global_step", "iteration", "iterations", "iter", "epoch", "epochs",
    "index", "n_updates", "num_updates", "total_timesteps", "timesteps_total", "timesteps",
    "num_env_steps_sampled", "num_env_steps_trained", "episodes_total", "training_iteration",
    "num_input_tokens_seen", "num_tokens", "tokens_seen", "samples_seen", "consumed_samples",
    "consumed_tokens", "total_tokens", "batch_idx", "batch_size", "bsz", "run_id", "experiment_id",
}  # fmt: skip
# Words that only clocks and speeds have in their names.
_CLOCKS = {
    "time", "timestamp", "timestamps", "walltime", "wall", "runtime", "elapsed", "eta",
    "duration", "seconds", "secs", "fps", "wps", "ups", "mfu", "flops", "flos", "tflops",
    "throughput", "datetime", "date",
}  # fmt: skip
_SPEED = re.compile(r"per_?(second|sec|s|minute|min|hour)$|(/|_)s$|^it/s$|_per_(gpu|device)_per_")
_MACHINE = re.compile(r"^_?system[./]|^gpu[._/]|^gb_free$|^max_memory|^memory$|^_wandb")
# Row numbers that pandas wrote along.
_ROW_NUMBERS = re.compile(r"|Unnamed: \d+")


def is_time_column(name: str) -> bool:
    """Whether a column of this name counts or times rows, and so is no quantity of a network's."""
    if _ROW_NUMBERS.fullmatch(name):
        return True
    lower = re.sub(r"[\s-]+", "_", name.strip().lower())
    last = re.split(r"[./]", lower)[-1]
    if lower in _COUNTERS or last in _COUNTERS or _MACHINE.search(lower):
        return True
    if _SPEED.search(lower):
        return True
    return bool(_CLOCKS & set(re.findall("[a-z]+", lower)))

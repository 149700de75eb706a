"""A callback for the Trainer of transformers that records a run, and places it on a map."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from training_maps.recording.quantities import ActivationNorm, UpdateSize, renamed
from training_maps.recording.recorder import Recorder
from training_maps.utils.errors import InputError

try:
    from transformers import TrainerCallback as _TrainerCallback
except ImportError as error:
    raise ImportError(
        "TrainerRecorder needs transformers: pip install 'training-maps[transformers]'"
    ) from error

TrainerCallback: Any = _TrainerCallback
# What the Trainer calls otherwise than the training log.
_COLUMNS = {"train_loss": "loss", "gradient_norm": "grad_norm"}


class TrainerRecorder(TrainerCallback):
    """Records the model every so many optimiser steps, with what is logged at that step.

    A checkpoint is recorded before the next step begins, so that what an evaluation finds at it is
    kept with it. What is logged at other steps is not.

        callback = TrainerRecorder("runs/seed-7", every_n_steps=100, map="results/mine")
        trainer = Trainer(..., callbacks=[callback])
        callback.log_to(trainer)    # state, percentile and warning in the trainer's own logs

    Attributes:
        recorder: made when training starts.
    """

    recorder: Recorder | None = None

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every_n_steps: int,
        *,
        columns: Mapping[str, str] | None = None,
        updates: bool = False,
        activations: bool = False,
        **settings: Any,
    ) -> None:
        """Set it up.

        Args:
            folder: the run's folder.
            every_n_steps: optimiser steps from one checkpoint to the next.
            columns: what the training log calls otherwise: {"eval_accuracy": "eval_acc"}; the
                Trainer's loss and grad_norm are known.
            updates: whether to record `update_size` too, for which a copy of the parameters is
                taken at the steps that are recorded.
            activations: whether to record `activation_norm` too.
            settings: further arguments of `Recorder`: map, seed, overrides, on_warning, ...
        """
        if every_n_steps < 1:
            raise InputError(f"every_n_steps: expected at least 1, not {every_n_steps}")
        self.folder, self.every = folder, every_n_steps
        self.columns = {**_COLUMNS, **(columns or {})}
        self._settings = settings
        self._updates = UpdateSize() if updates else None
        self._activations: ActivationNorm | None = None
        self._look_at_activations = activations
        self._due: tuple[int, float | None] | None = None
        self._logged: dict[str, float] = {}
        self._trainer: Any = None

    def log_to(self, trainer: Any) -> None:
        """Log state, percentile and warning by this trainer, where there is a map."""
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Begin, or go on; a run's first checkpoint is before its first step."""
        self.recorder = Recorder(self.folder, **self._settings)
        if self._look_at_activations:
            self._activations = ActivationNorm(known["model"])
        if state.global_step == 0:
            self._due, self._logged = (0, 0.0), {}

    def on_step_begin(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Record the checkpoint that is due, with all that was logged at it."""
        self._record(known["model"])
        if self._activations is not None and (state.global_step + 1) % self.every == 0:
            self._activations.start()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Keep the parameters before a step that will be recorded."""
        if self._updates is not None and (state.global_step + 1) % self.every == 0:
            self._updates.before(known["model"].parameters())

    def on_step_end(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Note that a checkpoint is due."""
        if state.global_step % self.every == 0:
            self._due = (int(state.global_step), state.epoch)
            found = {
                "update_size": self._updates.after(known["model"].parameters())
                if self._updates
                else None,
                "activation_norm": self._activations.stop() if self._activations else None,
            }
            self._logged = {name: value for name, value in found.items() if value is not None}

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **known: Any) -> None:
        """Take what is logged at the step that is due."""
        if self._due is not None and self._due[0] == state.global_step:
            told = {
                name: value
                for name, value in (logs or {}).items()
                if name != "epoch" and not name.startswith("training_map/")
            }
            self._logged |= renamed(told, self.columns)

    def on_train_end(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Record the last checkpoint, and write the tables."""
        self._record(known["model"])
        if self.recorder is not None:
            self.recorder.close()

    def _record(self, model: Any) -> None:
        if self._due is None or self.recorder is None:
            return
        (step, epoch), self._due = self._due, None
        self.recorder.record(model, step, epoch=epoch, **self._logged)
        values = self.recorder.values()
        if values and self._trainer is not None:
            self._trainer.log(values)

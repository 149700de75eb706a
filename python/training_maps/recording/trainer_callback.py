"""A callback for the Trainer of transformers that records a run, and places it on a map."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from training_maps.recording.callback_parts import StepRecording
from training_maps.recording.quantities import renamed

try:
    from transformers import TrainerCallback as _TrainerCallback
except ImportError as error:
    raise ImportError(
        "TrainerRecorder needs transformers: pip install 'training-maps[transformers]'"
    ) from error

TrainerCallback: Any = _TrainerCallback
# What the Trainer calls otherwise than the training log.
_COLUMNS = {"train_loss": "loss", "gradient_norm": "grad_norm"}


class TrainerRecorder(StepRecording, TrainerCallback):
    """Records the model every so many optimiser steps, with what is logged at that step.

    A checkpoint is recorded before the next step begins, so that what an evaluation finds at it is
    kept with it. What is logged at other steps is not.

        callback = TrainerRecorder("runs/seed-7", every_n_steps=100, map="results/mine")
        trainer = Trainer(..., callbacks=[callback])
        callback.log_to(trainer)    # state, percentile and warning in the trainer's own logs

    Attributes:
        recorder: made when training starts.
    """

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
        self.set_up(
            folder, every_n_steps, {**_COLUMNS, **(columns or {})}, updates=updates,
            activations=activations, settings=settings,
        )  # fmt: skip
        self._due: tuple[int, float | None] | None = None
        self._logged: dict[str, float] = {}
        self._trainer: Any = None

    def log_to(self, trainer: Any) -> None:
        """Log state, percentile and warning by this trainer, where there is a map."""
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Begin, or go on; a run's first checkpoint is before its first step."""
        self.begin(known["model"])
        step = int(state.global_step)
        if step == 0:
            self._due, self._logged = (0, 0.0), {}
        elif self.is_recorded(step):
            self._due, self._logged = (step, state.epoch), {}
            for logs in state.log_history:
                if logs.get("step") == step:
                    self._take(logs)
            self._logged |= self.logged_before(step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Record the checkpoint that is due, with all that was logged at it."""
        self._record(known["model"])
        self.before_forward(state.global_step + 1)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Keep the parameters before a step that will be recorded."""
        self.before_update(state.global_step + 1, known["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Note that a checkpoint is due."""
        if self.is_recorded(state.global_step):
            self._due = (int(state.global_step), state.epoch)
            self._logged = self.norms_of_step(known["model"])
        if control.should_save:
            self.flush()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Wait for what is recorded before the state is saved."""
        if control.should_save:
            self.flush()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **known: Any) -> None:
        """Take what is logged at the step that is due."""
        if self._due is not None and self._due[0] == state.global_step:
            self._take(logs or {})

    def on_train_end(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Record the last checkpoint, and write the tables."""
        self._record(known["model"])
        self.close()

    def _take(self, logs: Mapping[str, object]) -> None:
        """Keep what is logged of a step, but not the summary of all, which comes at the last."""
        if "train_runtime" in logs:
            return
        told = {
            name: value
            for name, value in logs.items()
            if name not in ("epoch", "step") and not name.startswith("training_map/")
        }
        self._logged |= renamed(told, self.columns)

    def _record(self, model: Any) -> None:
        if self._due is None or self.recorder is None:
            return
        (step, epoch), self._due = self._due, None
        self.recorder.record(model, step, epoch=epoch, **self._logged)
        values = self.recorder.values()
        if values and self._trainer is not None:
            self._trainer.log(values)

"""A Lightning callback that records a run, and places it on a map."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from training_maps.recording.quantities import (
    ActivationNorm,
    UpdateSize,
    gradient_norm,
    learning_rate,
    renamed,
)
from training_maps.recording.recorder import Recorder
from training_maps.utils.errors import InputError

# Lightning is two packages with one content; a Trainer and its callbacks must be of the same.
_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def _callback() -> type:
    """The class of callbacks of whichever Lightning is in use, or installed.

    Raises:
        ImportError: if none is.
    """
    for name in sorted(_PACKAGES, key=lambda name: name not in sys.modules):
        try:
            found: type = importlib.import_module(name).Callback
        except ImportError:
            continue
        return found
    raise ImportError("LightningRecorder needs Lightning: pip install 'training-maps[lightning]'")


Callback: Any = _callback()


class LightningRecorder(Callback):
    """Records the model every so many optimiser steps, with what is logged at that step.

    A checkpoint is recorded before the next step begins, so that what a validation logs at it is
    kept with it. What is logged at other steps is not.

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
        log: bool = True,
        updates: bool = False,
        activations: bool = False,
        **settings: Any,
    ) -> None:
        """Set it up.

        Args:
            folder: the run's folder.
            every_n_steps: optimiser steps from one checkpoint to the next.
            columns: what the training log calls otherwise: {"eval_accuracy": "val/acc"}.
            log: whether to log state, percentile and warning to the trainer's loggers, with a map.
            updates: whether to record `update_size` too, for which a copy of the parameters is
                taken at the steps that are recorded.
            activations: whether to record `activation_norm` too.
            settings: further arguments of `Recorder`: map, seed, overrides, on_warning, ...
        """
        if every_n_steps < 1:
            raise InputError(f"every_n_steps: expected at least 1, not {every_n_steps}")
        self.folder, self.every, self.log = folder, every_n_steps, log
        self.columns = dict(columns or {})
        self._settings = settings
        self._updates = UpdateSize() if updates else None
        self._activations: ActivationNorm | None = None
        self._look_at_activations = activations
        self._due: int | None = None
        self._logged: dict[str, float] = {}
        self._of_validation: set[str] = set()
        self._before: set[str] = set()
        self._extra: dict[str, float] = {}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin, or go on; a run's first checkpoint is before its first step."""
        self.recorder = Recorder(self.folder, **self._settings)
        if trainer.global_step == 0:
            self._due, self._logged = 0, {}
        self._of_validation = set(trainer.callback_metrics)  # of the check before training
        if self._look_at_activations:
            self._activations = ActivationNorm(pl_module)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Record the checkpoint that is due, with all that was logged at it."""
        self._record(trainer, pl_module)
        if self._activations is not None and (trainer.global_step + 1) % self.every == 0:
            self._activations.start()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Take the gradient's norm and the learning rate of a step that will be recorded."""
        if (trainer.global_step + 1) % self.every == 0:
            self._extra = {
                "gradient_norm": gradient_norm(pl_module.parameters()),
                "learning_rate": learning_rate(optimizer),
            }
            if self._updates is not None:
                self._updates.before(pl_module.parameters())

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Take what training logged at a step that is to be recorded."""
        step = int(trainer.global_step)
        if step % self.every == 0 and step != self._last():
            self._due = step
            of_training = {
                name: value
                for name, value in trainer.callback_metrics.items()
                if name not in self._of_validation
            }
            self._take_extra(pl_module)
            self._logged = {**self._extra, **renamed(of_training, self.columns)}

    def _take_extra(self, pl_module: Any) -> None:
        """Add what is known after the step."""
        found = {
            "update_size": self._updates.after(pl_module.parameters()) if self._updates else None,
            "activation_norm": self._activations.stop() if self._activations else None,
        }
        self._extra |= {name: value for name, value in found.items() if value is not None}

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Remember what was logged before."""
        self._before = set(trainer.callback_metrics)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Take what a validation logged at the step that is due."""
        if trainer.sanity_checking:
            return
        self._of_validation |= set(trainer.callback_metrics) - self._before
        if self._due == int(trainer.global_step):
            found = {
                name: value
                for name, value in trainer.callback_metrics.items()
                if name in self._of_validation
            }
            self._logged |= renamed(found, self.columns)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the last checkpoint, and write the tables."""
        self._record(trainer, pl_module)
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Write the tables of what there is."""
        self._close()

    def _last(self) -> int | None:
        """The step that is due, or was recorded last in this process."""
        return self._due if self._due is not None else self._recorded

    _recorded: int | None = None

    def _record(self, trainer: Any, pl_module: Any) -> None:
        if self._due is None or self.recorder is None:
            return
        step, self._due = self._due, None
        self._recorded = step
        self.recorder.record(pl_module, step, epoch=float(trainer.current_epoch), **self._logged)
        values = self.recorder.values() if self.log else {}
        if values:
            for logger in trainer.loggers:
                logger.log_metrics(values, step=step)

    def _close(self) -> None:
        if self.recorder is not None:
            self.recorder.close()

"""A Lightning callback that records a run, and places it on a map."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from training_maps.recording.callback_parts import StepRecording
from training_maps.recording.quantities import gradient_norm, learning_rate, renamed

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


class LightningRecorder(StepRecording, Callback):
    """Records the model every so many optimiser steps, with what is logged at that step.

    A checkpoint is recorded before the next step begins, so that what a validation logs at it is
    kept with it. What is logged at other steps is not.

    Attributes:
        recorder: made when training starts.
    """

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
        self.set_up(
            folder, every_n_steps, columns or {}, updates=updates, activations=activations,
            settings=settings,
        )  # fmt: skip
        self.log = log
        self._due: int | None = None
        self._logged: dict[str, float] = {}
        self._of_validation: set[str] = set()
        self._before: set[str] = set()
        self._extra: dict[str, float] = {}
        self._saved: dict[str, Any] = {}

    @property
    def state_key(self) -> str:
        """By what a trainer's checkpoint tells this one's state from another recorder's."""
        return f"{type(self).__qualname__}({os.fspath(self.folder)!r}, {self.every})"

    def state_dict(self) -> dict[str, Any]:
        """What is logged at the step that is due, for a trainer's checkpoint.

        All before it is on the disk then.
        """
        self.flush()
        return {"step": self._due, "logged": dict(self._logged)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what a trainer's checkpoint has."""
        self._saved = state_dict

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin, or go on; a run's first checkpoint is before its first step."""
        self.begin(pl_module)
        step = int(trainer.global_step)
        if step == 0:
            self._due, self._logged = 0, {}
        elif self.is_recorded(step):
            saved = self._saved if self._saved.get("step") == step else {}
            self._due = step
            self._logged = {**saved.get("logged", {}), **self.logged_before(step)}
        self._of_validation = set(trainer.callback_metrics)  # of the check before training

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Record the checkpoint that is due, with all that was logged at it."""
        self._record(trainer, pl_module)
        self.before_forward(trainer.global_step + 1)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Take the gradient's norm and the learning rate of a step that will be recorded."""
        if self.is_recorded(trainer.global_step + 1):
            self._extra = {
                "gradient_norm": gradient_norm(pl_module.parameters()),
                "learning_rate": learning_rate(optimizer),
            }
        self.before_update(trainer.global_step + 1, pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """Take what training logged at a step that is to be recorded."""
        step = int(trainer.global_step)
        if self.is_recorded(step) and step != self._last():
            self._due = step
            of_training = {
                name: value
                for name, value in trainer.callback_metrics.items()
                if name not in self._of_validation
            }
            self._extra |= self.norms_of_step(pl_module)
            self._logged = {**self._extra, **renamed(of_training, self.columns)}

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
        self.close()

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Finish a run with nothing left to train: it was killed after its last state was saved."""
        if self.recorder is None and self._saved:  # Lightning calls no hook of training then
            self.on_train_start(trainer, pl_module)
            self.on_train_end(trainer, pl_module)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Write the tables of what there is."""
        self.close()

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

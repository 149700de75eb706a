"""What callbacks of Lightning and of transformers' Trainer share: set-up, and a step's norms."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from training_maps.recording.quantities import ActivationNorm, UpdateSize
from training_maps.recording.recorder import Recorder
from training_maps.utils.errors import InputError


class StepRecording:
    """Records a model every so many optimiser steps; a library's callback says when a step is.

    Attributes:
        recorder: made when training starts.
        every: optimiser steps from one checkpoint to the next.
        columns: what the training log calls otherwise than the library.
    """

    recorder: Recorder | None = None

    def set_up(
        self,
        folder: str | os.PathLike[str],
        every_n_steps: int,
        columns: Mapping[str, str],
        *,
        updates: bool,
        activations: bool,
        settings: Mapping[str, Any],
    ) -> None:
        """Take what a callback is told; `settings` are further arguments of `Recorder`.

        Raises:
            InputError: if `every_n_steps` is less than 1.
        """
        if every_n_steps < 1:
            raise InputError(f"every_n_steps: expected at least 1, not {every_n_steps}")
        self.folder, self.every = folder, every_n_steps
        self.columns = dict(columns)
        self._settings = dict(settings)
        self._updates = UpdateSize() if updates else None
        self._look_at_activations = activations
        self._activations: ActivationNorm | None = None

    def begin(self, model: Any) -> None:
        """Begin the run's record, or go on with it."""
        self.recorder = Recorder(self.folder, **self._settings)
        if self._look_at_activations:
            self._activations = ActivationNorm(model)

    def flush(self) -> None:
        """Wait for what is computed in the background: a state that is saved now counts on it."""
        if self.recorder is not None:
            self.recorder.flush()

    def logged_before(self, step: int) -> dict[str, float]:
        """What an earlier process logged at `step`, if it recorded it.

        A run that is resumed from a recorded step records it again: the process before may have
        been killed between saving its state and recording it. Always, as ranks must do the same.
        """
        line = self.recorder.line(step) if self.recorder is not None else None
        return {} if line is None else dict(line.logged)

    def is_recorded(self, step: int) -> bool:
        """Whether the checkpoint after so many steps is recorded."""
        return step % self.every == 0

    def before_forward(self, step: int) -> None:
        """Look at the activations of the pass that leads to `step`, if it is recorded."""
        if self._activations is not None and self.is_recorded(step):
            self._activations.start()

    def before_update(self, step: int, model: Any) -> None:
        """Keep the parameters before `step`, if it is recorded."""
        if self._updates is not None and self.is_recorded(step):
            self._updates.before(model.parameters())

    def norms_of_step(self, model: Any) -> dict[str, float]:
        """The sizes of the step that was made: those that are asked for and known."""
        found = {
            "update_size": self._updates.after(model.parameters()) if self._updates else None,
            "activation_norm": self._activations.stop() if self._activations else None,
        }
        return {name: value for name, value in found.items() if value is not None}

    def close(self) -> None:
        """Write the tables of what there is."""
        if self.recorder is not None:
            self.recorder.close()

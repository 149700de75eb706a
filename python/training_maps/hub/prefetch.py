"""The checkpoints of a run on the hub that are on disk now: few, and one on its way."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from training_maps.hub.download import Downloaded, fetch_checkpoint, library
from training_maps.hub.plan import HubRun


class Downloads:
    """A folder with the checkpoints that are being measured, and the next one arriving.

    A context: at its begin, what an earlier job left is removed but for the first checkpoint, of
    which every byte that arrived is used; at a good end everything is removed.
    """

    def __init__(self, run: HubRun, folder: Path, steps: Sequence[int]) -> None:
        """Download checkpoints of `run` into `folder`; `steps` in the order they are asked for."""
        self.folder = folder
        self._run = run
        self._steps = list(steps)
        self._here: dict[int, Downloaded] = {}
        self._arriving: _Arriving | None = None

    def __enter__(self) -> Downloads:
        """Begin with the first checkpoint."""
        library()  # imported here, so that two threads do not import at a time
        self._remove_all_but(self._steps[:1])
        self._begin(self._steps[:1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        """Clean up after a good end; otherwise what is there is left for the next job."""
        if kind is None:
            if self._arriving is not None:
                self._arriving.join()
            shutil.rmtree(self.folder, ignore_errors=True)
            parent = self.folder.parent
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()

    def get(self, step: int) -> Downloaded:
        """The checkpoint of `step`, on disk; the one after it is on its way from then on.

        Raises:
            InputError: as `fetch_checkpoint`.
        """
        if step in self._here:
            return self._here[step]
        arriving = self._arriving
        if arriving is not None and arriving.step == step:
            self._arriving = None
            self._here[step] = arriving.wait()
        else:
            self._here[step] = fetch_checkpoint(self._run, step, self._folder_of(step))
        if self._arriving is None and step in self._steps:
            place = self._steps.index(step) + 1
            self._begin(self._steps[place : place + 1])
        return self._here[step]

    def keep(self, steps: Iterable[int]) -> None:
        """Remove all checkpoints but those of `steps`, and the one that is on its way."""
        kept = set(steps)
        self._here = {step: there for step, there in self._here.items() if step in kept}
        arriving = [] if self._arriving is None else [self._arriving.step]
        self._remove_all_but([*kept, *arriving])

    def _begin(self, steps: Sequence[int]) -> None:
        for step in steps:
            self._arriving = _Arriving(self._run, step, self._folder_of(step))
            self._arriving.start()

    def _remove_all_but(self, steps: Iterable[int]) -> None:
        kept = {self._folder_of(step) for step in steps}
        for there in self.folder.glob("step-*"):
            if there not in kept:
                shutil.rmtree(there)

    def _folder_of(self, step: int) -> Path:
        return self.folder / f"step-{step}"


class _Arriving(threading.Thread):
    """One checkpoint on its way; a daemon, so that an interrupted job need not wait for it."""

    def __init__(self, run: HubRun, step: int, folder: Path) -> None:
        super().__init__(daemon=True)
        self.step = step
        self._arguments = run, step, folder
        self._result: Downloaded | BaseException | None = None

    def run(self) -> None:
        try:
            self._result = fetch_checkpoint(*self._arguments)
        except BaseException as error:
            self._result = error

    def wait(self) -> Downloaded:
        self.join()
        if isinstance(self._result, BaseException):
            raise self._result
        assert self._result is not None
        return self._result

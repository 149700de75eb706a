"""What a power cut would leave of files, at the worst.

A disk holds what was synced, and of the rest what it pleases. `watched` runs something and notes
each sync and each rename below a folder; `Disk.after_cut` says what the disk must hold after the
first so many of them: of each file what was last synced of it. Its name is the one that it had when
its folder was last synced, or, as a disk may be quicker than it has to be, its newest.

A file that is written in its place, and added to, has its name from when its folder is synced, and
no content but what was synced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock


@dataclass(frozen=True)
class FileSynced:
    """A file's content reached the disk."""

    inode: int
    content: bytes
    path: Path


@dataclass(frozen=True)
class FolderSynced:
    """The names in a folder reached the disk."""

    folder: Path


@dataclass(frozen=True)
class Renamed:
    """A file got a name, or a folder another one; `content` is the file's at that time."""

    source: Path
    target: Path
    inode: int
    content: bytes | None


Event = FileSynced | FolderSynced | Renamed


@dataclass
class Disk:
    """What happened to the files below a folder, in order."""

    folder: Path
    events: list[Event] = field(default_factory=list)

    def after_cut(self, n_events: int, *, quick: bool) -> dict[Path, bytes]:
        """The files that were renamed to their place, and what is left of each.

        Args:
            n_events: the power went after so many syncs and renames.
            quick: whether the disk wrote names at once, ahead of contents; else it wrote nothing
                that it was not told to.
        """
        contents: dict[int, bytes] = {}
        names: dict[Path, int] = {}
        waiting: list[Renamed] = []
        in_place = self._in_place()
        for event in self.events[:n_events]:
            if isinstance(event, FileSynced):
                new = event.inode in in_place and event.inode not in contents
                contents[event.inode] = event.content
                if new:
                    waiting.append(Renamed(event.path, event.path, event.inode, event.content))
            elif isinstance(event, Renamed):
                waiting.append(event)
            due = (
                one
                for one in list(waiting)
                if quick or (isinstance(event, FolderSynced) and one.target.parent == event.folder)
            )
            for one in due:
                _rename(names, one)
                waiting.remove(one)
        return {path: contents.get(inode, b"") for path, inode in names.items()}

    def written(self) -> dict[Path, set[bytes]]:
        """All that was ever whole under a name: what the file held when it got it."""
        found: dict[Path, set[bytes]] = {}
        in_place = self._in_place()
        for event in self.events:
            if isinstance(event, FileSynced) and event.inode in in_place:
                found.setdefault(event.path, set()).add(event.content)
            if not isinstance(event, Renamed):
                continue
            if event.content is not None:
                found.setdefault(event.target, set()).add(event.content)
            else:
                for path in [path for path in found if path.is_relative_to(event.source)]:
                    moved = event.target / path.relative_to(event.source)
                    found.setdefault(moved, set()).update(found[path])
        return found

    def _in_place(self) -> set[int]:
        """The files that were never given another name: those that are added to."""
        renamed = {event.inode for event in self.events if isinstance(event, Renamed)}
        return {event.inode for event in self.events if isinstance(event, FileSynced)} - renamed


def _rename(names: dict[Path, int], event: Renamed) -> None:
    if event.content is not None:
        names[event.target] = event.inode
        return
    for path in [path for path in names if path.is_relative_to(event.source)]:
        names[event.target / path.relative_to(event.source)] = names.pop(path)


@contextmanager
def watched(folder: Path) -> Iterator[Disk]:
    """Note what this process does to files below a folder while the block runs."""
    disk = Disk(folder)
    fsync = os.fsync

    def noting_fsync(handle: int) -> None:
        fsync(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.is_dir():
            disk.events.append(FolderSynced(path))
        else:
            disk.events.append(FileSynced(os.fstat(handle).st_ino, path.read_bytes(), path))

    def noting(move: Callable[..., None]) -> Callable[..., None]:
        def moved(source: Any, target: Any, **options: Any) -> None:
            named = Path(source)
            inode = named.stat().st_ino
            content = None if named.is_dir() else named.read_bytes()
            move(source, target, **options)
            disk.events.append(Renamed(named, Path(target), inode, content))

        return moved

    with (
        mock.patch.object(os, "fsync", noting_fsync),
        mock.patch.object(os, "replace", noting(os.replace)),
        mock.patch.object(os, "rename", noting(os.rename)),
    ):
        yield disk

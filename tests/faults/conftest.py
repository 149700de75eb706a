"""Disks that are small, and what a test says where it may not have one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A file system in memory, of a size that can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def allow_no_more_files(self) -> None:
        """Let it hold as many files as there are, and the folder itself."""
        there = 1 + sum(1 for _ in self.folder.rglob("*"))
        options = f"remount,nr_inodes={there}"
        subprocess.run(["mount", "-o", options, str(self.folder)], check=True)

    def resize(self, kilobytes: int) -> None:
        """Make it larger or smaller; what is on it stays."""
        options = f"remount,size={kilobytes}k"
        subprocess.run(["mount", "-o", options, str(self.folder)], check=True)

    def fill(self) -> Path:
        """Leave no room on it; return the file that takes it all."""
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(b"x" * 4096)
                except OSError:
                    return filler


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """An empty disk of 64 kB; skips where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield SmallDisk(folder)
    # Also where a file on it is still open, a log for one.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)

"""The folder of data files, and how what is missing there is fetched and checked."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training_maps.utils.errors import InputError
from training_maps.utils.files import explained, file_digest, replace_when_whole
from training_maps.utils.progress import Progress

VARIABLE = "TRAINING_MAPS_DATA"
_ATTEMPTS = 3  # for one file, each at the next of its addresses
_PAUSE = 1.0  # seconds before the second attempt; twice as long before the third
_TIMEOUTS = (10, 60)  # seconds to connect, and between two pieces of a file
_CHUNK = 1 << 18  # bytes written at a time

logger = logging.getLogger("training_maps")


@dataclass(frozen=True)
class File:
    """A published file.

    Attributes:
        name: its path below the data folder, with "/".
        size: in bytes.
        md5: its published MD5 checksum.
        urls: where it can be fetched, the best address first.
    """

    name: str
    size: int
    md5: str
    urls: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where it is, or has to be put, in the data folder of this moment."""
        return data_folder() / self.name


def data_folder() -> Path:
    """Where data files are: what TRAINING_MAPS_DATA says, else the user's cache folder."""
    folder = os.environ.get(VARIABLE)
    if folder:
        return Path(folder).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("training-maps")).absolute()


def use_data_folder(folder: str | os.PathLike[str] | None) -> None:
    """Take data files from `folder` from now on in this process; None changes nothing."""
    if folder is not None:
        os.environ[VARIABLE] = os.fspath(folder)


def fetch_files(title: str, files: Sequence[File]) -> list[Path]:
    """Fetch those of `files` that are not in the data folder, and compare all with their checksums.

    Args:
        title: what the files are, for messages.
        files: the files.

    Returns:
        Their paths, in the order of `files`.

    Raises:
        InputError: if a file there is not the published one, which is then left as it is; or if
            files are missing and cannot be fetched.
    """
    _check_found([file for file in files if file.path.exists()])
    for file in files:
        if not file.path.exists():
            try:
                _download(file)
            except (OSError, ValueError) as error:  # requests' exceptions are OSErrors
                of_disk = explained(error) if isinstance(error, OSError) else None
                raise InputError(of_disk or _how_to_fetch(title, files, file, error)) from error
    return [file.path for file in files]


def _check_found(files: Sequence[File]) -> None:
    """Refuse files that are not the published ones, all in one message."""
    wrong = []
    for file in files:
        md5 = file_digest(file.path, "md5")
        if md5 != file.md5:
            wrong.append(
                f"{file.path}: is not the published file: it has {file.path.stat().st_size} bytes "
                f"and MD5 {md5}, expected {file.size} bytes and MD5 {file.md5}"
            )
    if wrong:
        advice = "Move or delete what is wrong, and it is fetched again; nothing was changed."
        raise InputError("\n".join([*wrong, advice]))


def _download(file: File) -> None:
    """Fetch a file, from its addresses in turn; it appears under its name when it is verified."""
    import pooch

    pooch.get_logger().setLevel("WARNING")  # we say the same, also in the log file
    for attempt, url in enumerate(itertools.islice(itertools.cycle(file.urls), _ATTEMPTS), start=1):
        logger.info("fetching %s (%.1f MB) to %s", url, file.size / 1e6, file.path)
        downloader = pooch.HTTPDownloader(
            progressbar=DownloadProgress(file), chunk_size=_CHUNK, timeout=_TIMEOUTS
        )
        try:
            with replace_when_whole(file.path) as aside:
                # Not `pooch.retrieve`, which puts a file of its own in the place of `aside`: other
                # processes would take that for abandoned and remove it.
                downloader(url, str(aside), None)
                if file_digest(aside, "md5") != file.md5:
                    raise ValueError(f"{url}: does not have the published checksum")
            return
        except (OSError, ValueError) as error:
            if attempt == _ATTEMPTS or _is_local(error):
                raise
            logger.warning("%s: %s; trying again", url, _reason(error))
            time.sleep(_PAUSE * attempt)


class DownloadProgress:
    """Reports a download through `Progress`, in the form that pooch expects of a progress bar."""

    def __init__(self, file: File) -> None:
        """Report on the download of `file`."""
        self._file = file
        self.total = 0

    @property
    def total(self) -> int:
        """What the server says of the length; pooch sets it when an attempt begins."""
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        self._total = total
        self._done = 0
        # Servers may keep the length to themselves; we know it.
        megabytes = self._file.size / 1e6
        self._progress = Progress(megabytes, "megabyte", f"fetching {Path(self._file.name).name}")

    def update(self, n_bytes: int) -> None:
        """Count `n_bytes` more; pooch counts whole chunks, also where the last one is shorter."""
        self._done += n_bytes
        if self._done < self._file.size:
            self._progress.update(round(self._done / 1e6, 1))

    def reset(self) -> None:
        """Count from 0 again."""
        self._done = 0

    def close(self) -> None:
        """Say that the download is over."""
        self._progress.update(self._progress.total)


def _is_local(error: Exception) -> bool:
    """Whether the fault is this machine's (a full disk, a folder not to be written)."""
    return isinstance(error, OSError) and error.errno is not None


def _reason(error: Exception) -> str:
    """Why a download failed, in a few words."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    if isinstance(error, ValueError):
        return "what came does not have the published checksum and was not kept"
    if isinstance(error, OSError) and _is_local(error):
        return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
    cause: BaseException = error
    while cause.__context__ is not None:  # down to what the operating system said
        cause = cause.__context__
    return f"the connection failed ({getattr(cause, 'strerror', None) or cause})"


def _how_to_fetch(title: str, files: Sequence[File], failed: File, error: Exception) -> str:
    """What to do by hand about the files that are missing."""
    missing = [file for file in files if not file.path.exists()]
    lines = [
        f"  {file.path}\n    {file.size} bytes, MD5 {file.md5}, from {' or '.join(file.urls)}"
        for file in missing
    ]
    return "\n".join(
        [
            f"{title}: {failed.path.name} could not be fetched: {_reason(error)}.",
            "Without a network, fetch these files on another machine and put them here:",
            *lines,
            "Then run the command again. --data-dir, data_dir in config.yaml or the environment "
            f"variable {VARIABLE} names another folder than {data_folder()}.",
        ]
    )

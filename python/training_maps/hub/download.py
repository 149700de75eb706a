"""Downloads of checkpoints from the Hugging Face hub, and messages for what goes wrong.

A checkpoint's files are the first of these that its repository has: `model.safetensors`, or its
shards with their index; `pytorch_model.bin`, or its shards with their index.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from training_maps.hub.plan import HubRun
from training_maps.runs.formats import IN_FOLDER, INDEX, read_index
from training_maps.utils.errors import InputError, UnreadableCheckpoint
from training_maps.utils.files import explained, file_digest
from training_maps.utils.progress import duration

logger = logging.getLogger("training_maps")

PAUSES = (2.0, 10.0, 60.0)  # seconds from one try to the next
_LOGIN = "log in with 'hf auth login', or set HF_TOKEN to an access token"
_Result = TypeVar("_Result")


class _Broken(OSError):
    """A file that did not arrive as it is on the hub."""


@dataclass(frozen=True)
class Downloaded:
    """A checkpoint on disk: the file to read (an index where there are shards), and its origin."""

    path: Path
    repository: str
    revision: str
    commit: str

    @property
    def name(self) -> str:
        """Where it is from, for messages."""
        return f"{self.repository}, revision {self.revision}"


@dataclass(frozen=True)
class _RemoteFile:
    """A file of a repository: its size in bytes and SHA-256, where the hub tells them."""

    size: int | None
    sha256: str | None


def fetch_checkpoint(run: HubRun, step: int, folder: Path) -> Downloaded:
    """Download the checkpoint of `step` into `folder`.

    What an interrupted download left there is used. Files larger than the hub keeps in its
    repositories themselves come with a SHA-256, which they must have.

    Raises:
        UnreadableCheckpoint: naming repository, revision, seed and step, if the hub has none, or it
            is not public.
        InputError: likewise, if it cannot be downloaded for another reason, and what to do.
            Errors of the network and the server count only after several tries.
    """
    api = library()
    repository, revision = run.locate(step)
    where = f"seed {run.seed}, step {step}: {repository}, revision {revision}"
    endpoint = (run.endpoint or api.constants.ENDPOINT).rstrip("/")

    def tried(action: Callable[[], _Result]) -> _Result:
        return _with_retries(action, where, f"{endpoint}/{repository}")

    information = tried(
        lambda: api.HfApi(endpoint=endpoint).model_info(
            repository, revision=revision, files_metadata=True
        )
    )
    remote = {file.rfilename: _remote(file) for file in information.siblings or ()}
    commit = str(information.sha)

    def fetch(name: str) -> Path:
        return tried(lambda: _fetch(api, endpoint, repository, commit, name, remote[name], folder))

    chosen = choose_files(remote, run.files, where)
    _check_space(sum(remote[name].size or 0 for name in chosen), folder, where)
    first = min(chosen, key=lambda name: (not name.endswith(INDEX), name))
    path = fetch(first)
    if first.endswith(INDEX):
        shards = _shards(path, where)
        missing = sorted(set(shards) - set(remote))
        if missing:
            raise InputError(f"{where}: {first} lists {missing[0]}, which the repository lacks")
        _check_space(sum(remote[name].size or 0 for name in shards), folder, where)
        for name in shards:
            fetch(name)
    return Downloaded(path, repository, revision, commit)


def choose_files(remote: Mapping[str, Any], patterns: tuple[str, ...], where: str) -> list[str]:
    """Which of a repository's files are the checkpoint: one file, or the index of its shards.

    Args:
        remote: the repository's files by name.
        patterns: those to take, as in `fnmatch`; none for the first of `IN_FOLDER`.
        where: the checkpoint, for the error message.

    Raises:
        InputError: if there is none, or the patterns match several files and no index.
    """
    if not patterns:
        chosen = [name for name in IN_FOLDER if name in remote][:1]
        expected = f"none of {', '.join(IN_FOLDER)}; say in hub.files which file is the checkpoint"
    else:
        chosen = [name for name in remote if any(fnmatchcase(name, p) for p in patterns)]
        chosen = [name for name in chosen if name.endswith(INDEX)] or chosen
        expected = f"no file that matches {', '.join(patterns)} (hub.files)"
    if not chosen:
        there = ", ".join(sorted(remote)) or "nothing"
        raise UnreadableCheckpoint(f"{where}: has {expected}. It has {there}")
    if len(chosen) > 1:
        raise InputError(
            f"{where}: {len(chosen)} files match {', '.join(patterns)} (hub.files): "
            f"{', '.join(sorted(chosen))}; expected one, or one index of shards ({INDEX})"
        )
    path = PurePosixPath(chosen[0])
    if path.is_absolute() or ".." in path.parts or "\\" in chosen[0]:
        raise InputError(f"{where}: {chosen[0]} leads out of the folder for downloads")
    return chosen


def _shards(index: Path, where: str) -> list[str]:
    """The files that an index names, relative to the repository, where the index is at its top."""
    try:
        shards = set(read_index(index).values())
    except UnreadableCheckpoint as error:
        raise InputError(f"{where}: {error}") from error
    if any(shard.parent != index.parent for shard in shards):
        raise InputError(f"{where}: {index.name} names files in other folders")
    return sorted(shard.name for shard in shards)


def _fetch(
    api: Any,
    endpoint: str,
    repository: str,
    commit: str,
    name: str,
    remote: _RemoteFile,
    folder: Path,
) -> Path:
    """Download one file; raises `_Broken` if it is not what the hub says it is."""
    path = Path(
        api.hf_hub_download(repository, name, revision=commit, local_dir=folder, endpoint=endpoint)
    )
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        fault = f"has {size} bytes instead of {remote.size}"
    elif remote.sha256 and file_digest(path) != remote.sha256:
        fault = "has another SHA-256 than on the hub"
    else:
        return path
    path.unlink()
    raise _Broken(f"{name} did not arrive whole: it {fault}")


def _remote(file: Any) -> _RemoteFile:
    lfs = file.lfs or {}
    return _RemoteFile(file.size, lfs.get("sha256"))


def _check_space(size: int, folder: Path, where: str) -> None:
    """Refuse a download that the disk has no room for."""
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    free = shutil.disk_usage(folder).free + there
    if size > free:
        raise InputError(
            f"{where}: needs {size / 1e9:.1f} GB, and the disk of {folder} has {free / 1e9:.1f} GB "
            "left; free some, or choose another folder for downloads (--scratch)"
        )


def _with_retries(action: Callable[[], _Result], where: str, page: str) -> _Result:
    """What `action` returns, after as many tries as there are `PAUSES`, and one more.

    Raises:
        InputError: what went wrong, with `where` before it.
    """
    for tries, pause in enumerate((*PAUSES, None), start=1):
        try:
            return action()
        except Exception as error:
            fault = _explain(error, page)
            if fault is None and not _may_pass(error):
                raise
            if fault is None and pause is not None:
                logger.warning(
                    "%s: %s; trying again in %s", where, _message(error), duration(pause)
                )
                time.sleep(pause)
                continue
            message = fault or (
                f"{_message(error)}, after {tries} tries; run the command again to resume from here"
            )
            kind = UnreadableCheckpoint if fault and _is_missing(error) else InputError
            raise kind(f"{where}: {message}") from error
    raise AssertionError("the last try returns or raises")


def _explain(error: Exception, page: str) -> str | None:
    """What is wrong for good and what to do about it; None if another try may help."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"the repository is gated; accept its terms on {page}, then {_LOGIN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"there is no such revision; {page} lists those that there are"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"there is no such repository, or it is private; check its name, or {_LOGIN}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, and nothing is downloaded; unset it"
    if isinstance(error, errors.HFValidationError):
        return f"is no repository of the hub ({_message(error)})"
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return f"access is refused; {_LOGIN} that may read it"
        if 400 <= status < 500 and status not in (408, 429):
            return _message(error)
    return explained(error) if isinstance(error, OSError) else None


def _is_missing(error: Exception) -> bool:
    """Whether the hub has no such checkpoint, while it may have others of the run."""
    from huggingface_hub import errors

    missing = (
        errors.RevisionNotFoundError,
        errors.RepositoryNotFoundError,
        errors.EntryNotFoundError,
    )
    return isinstance(error, missing) and not isinstance(error, errors.GatedRepoError)


def _may_pass(error: Exception) -> bool:
    """Whether the error is one of the network or of the server."""
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or library.startswith(("http", "requests", "urllib3"))


def _message(error: Exception) -> str:
    """The first line of an error, without the token that it might hold."""
    from huggingface_hub import errors, get_token

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # it asks whether there is a connection, and the cause says more
    text = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(" .")
    token = get_token()
    return text.replace(token, "(token)") if token else text


def library() -> Any:
    """huggingface_hub, with no cache of its own on disk and no bars in the log.

    Raises:
        InputError: if it is not installed.
    """
    # The cache of chunks that were downloaded before; checkpoints of a run share hardly any.
    os.environ.setdefault("HF_XET_CHUNK_CACHE_SIZE_BYTES", "0")
    try:
        import huggingface_hub.constants
        from huggingface_hub.utils import disable_progress_bars
        from huggingface_hub.utils import logging as hub_logging
    except ImportError as error:
        raise InputError(
            "source: hub needs huggingface_hub; install it with pip install 'training-maps[hub]'"
        ) from error
    disable_progress_bars()
    hub_logging.set_verbosity_error()  # it warns of every try, and so do we
    return huggingface_hub

"""Reading and writing results: tables, JSON, and the rule that nothing half-written is a result.

Every writer here writes beside its target under another name and renames when the file is whole,
so that a killed job leaves either the old file, the new file or none. What it leaves under the
other name (`.metrics-unfinished.parquet`) no stage reads, and the next write of the same file
removes it.

What is written is on the disk before it gets its name, and the name before the writer goes on:
else a power cut could leave an empty file under a finished result's name, or lose a checkpoint that
a saved training state counts on.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

_METADATA_KEY = b"training_maps"
#: Values of a table, at most: 8 GB of numbers.
MOST_CELLS = 10**9
# From so many rows on, a table is read by several threads.
_MANY_ROWS = 100_000
_PART = 1 << 20  # bytes of a file that are read at a time

_AGAIN = "then run the command again"
_GO_ON = f"{_AGAIN}: what is finished is kept, and work is resumed from there"
_SHARE = (
    "the disk or network share does not answer as it should. Check that it is there and mounted, "
    f"{_GO_ON}"
)
_ALLOW = "Let this user read and write there, or name another folder (`results` in config.yaml)"
# What the operating system's errors mean for who meets them, and what to do.
_MEANINGS = {
    errno.ENOSPC: f"the disk is full. Make room on it, {_GO_ON}",
    errno.EDQUOT: f"your quota on this disk is used up. Make room in it, {_GO_ON}",
    errno.EFBIG: "the file is larger than this process may write. Raise the limit (`ulimit -f`), "
    f"{_GO_ON}",
    errno.EROFS: f"the file system is read-only. {_ALLOW}",
    errno.EACCES: f"access is not allowed to this user. {_ALLOW}",
    errno.EPERM: f"this is not allowed to this user. {_ALLOW}",
    errno.EIO: _SHARE,
    errno.ESTALE: _SHARE,
    errno.ENXIO: _SHARE,
    errno.ENODEV: _SHARE,
    errno.ENOTCONN: _SHARE,
    errno.ENOENT: "there is no such file or folder, or it vanished while it was in use. If it is "
    f"on a network share, check that this is mounted, {_GO_ON}",
    errno.ENOTDIR: "a part of this path is a file where a folder was expected. Move it away, "
    f"{_GO_ON}",
    errno.EISDIR: f"there is a folder where a file was expected. Move it away, {_AGAIN}",
    errno.ENOTEMPTY: f"a folder that is to be replaced is in use. End what uses it, {_AGAIN}",
    errno.EBUSY: f"it is in use. End what uses it, {_AGAIN}",
    errno.ENAMETOOLONG: "the name is longer than the file system allows. Use a shorter one",
    errno.EMFILE: f"too many files are open at a time. Raise the limit (`ulimit -n`), {_AGAIN}",
}

_NO_HOME = (
    "no home folder is known of this user, or of one that a path names after '~'. Set HOME, or "
    "write paths out; `data_dir` says where data sets go"
)
_NO_MORE_FILES = (
    "the disk has room, and can hold no more files (`df -i`). Remove some that are not needed, "
    f"{_GO_ON}"
)

# What opening or syncing a folder says where a file system does not do that, or does not allow it.
_NOT_OF_FOLDERS = (
    errno.EINVAL,
    errno.ENOTSUP,
    errno.EBADF,
    errno.EISDIR,
    errno.EACCES,
    errno.EPERM,
)


def explained(error: Exception) -> str | None:
    """What an error of the disk means and what to do, with the file's name; None for other errors.

    Whatever is finished stays as it is after such an error. That there is no home is one too.
    """
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return _NO_HOME
    if not isinstance(error, OSError):
        return None
    meaning = _MEANINGS.get(error.errno or 0)
    if meaning is None:
        return None
    if error.errno == errno.ENOSPC and error.filename and _holds_no_more_files(error.filename):
        meaning = _NO_MORE_FILES
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{meaning} ({error.strerror})"


def _holds_no_more_files(path: str | os.PathLike[str]) -> bool:
    """Whether the disk of a file that could not be written has used up its table of files."""
    with suppress(OSError):
        disk = os.statvfs(next(one for one in Path(path).absolute().parents if one.exists()))
        return disk.f_files > 0 and disk.f_favail == 0
    return False


@functools.cache
def package_version() -> str:
    """Version of the installed package, or "unknown" when run from a bare source tree."""
    from importlib.metadata import PackageNotFoundError, version  # many milliseconds

    try:
        return version("training-maps")
    except PackageNotFoundError:
        return "unknown"


def made_by(**settings: Any) -> dict[str, Any]:
    """What made a file: the package's version and the settings given, for its metadata."""
    return {"training_maps": package_version(), **settings}


@contextmanager
def replace_when_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` on success.

    On an exception the temporary file is removed and `path` is left as it was. The folder is made
    if missing. Several processes may write the same file at a time: the last one's is kept. After
    a power cut there is the old file, the new file or none, and the new one if this has returned.

    Raises:
        OSError: if the disk does not take it; its `filename` is `path`.
    """
    target = Path(path)
    make_folder(target.parent)
    with _named(target):
        aside, handle = _begin(target)
        try:
            yield aside
            # Some writers put a file of their own in its place, which only its owner may read.
            aside.chmod(stat.S_IMODE(os.fstat(handle).st_mode))
            sync(aside)
            aside.replace(target)
            sync_folder(target.parent)
        except BaseException:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing; a power cut does not lose them."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in reversed(missing):
        sync_folder(one.parent)


def sync(path: Path) -> None:
    """Wait until the disk holds what was written to a file.

    Raises:
        OSError: if the disk does not take it. A full network share may say so here first.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Wait until the disk holds the names of a folder's files, where its file system can."""
    try:
        sync(folder)
    except OSError as error:
        if error.errno not in _NOT_OF_FOLDERS:
            raise


@contextmanager
def _named(target: Path) -> Iterator[None]:
    """Let errors of the disk name `target`, not the temporary file, and not no file at all."""
    try:
        yield
    except OSError as error:
        name = error.filename if isinstance(error.filename, str) else target
        if error.errno is not None and Path(name).parent == target.parent:
            error.filename, error.filename2 = str(target), None
        raise


def _begin(target: Path) -> tuple[Path, int]:
    """A new empty file to write `target` to, and a handle that says that its writer lives."""
    usual = target.with_name(f".{target.stem}-unfinished{target.suffix}")
    while True:
        aside = usual
        if usual.exists() and not _remove_abandoned(usual):
            aside = usual.with_stem(f"{usual.stem}-{secrets.token_hex(4)}")
        try:
            handle = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            continue
        with suppress(OSError):  # a file system without locks: nothing is ever taken for abandoned
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else another writer took it for abandoned just now
            return aside, handle
        os.close(handle)


def _remove_abandoned(path: Path) -> bool:
    """Remove the file that a killed writer left; returns False if its writer may be alive."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        # Its writer may have finished in the meantime: then another file is called so, or none.
        if os.path.samestat(os.fstat(handle), path.stat()):
            path.unlink()
        return True
    except FileNotFoundError:
        return True
    finally:
        os.close(handle)


def file_digest(
    path: str | os.PathLike[str],
    algorithm: str = "sha256",
    stopped: Callable[[], bool] = lambda: False,
) -> str:
    """The checksum of a file, as hexadecimal digits.

    Against damage, not against malice: MD5 is there too where security policies forbid it.

    Args:
        path: the file.
        algorithm: "sha256" or "md5".
        stopped: whether to give up, asked now and then; the digest is then of no use.

    Raises:
        InputError: if the file cannot be read.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    try:
        with Path(path).open("rb") as file:
            while (part := file.read(_PART)) and not stopped():
                digest.update(part)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def write_json(data: Any, path: str | os.PathLike[str]) -> None:
    """Write `data` as indented JSON. NaN and infinity are refused: a result never holds them."""
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    with replace_when_whole(path) as aside:
        aside.write_text(text, encoding="utf-8")


def damage(path: str | os.PathLike[str], error: object) -> str:
    """What is wrong with a file that cannot be read as what it should be, and what to do.

    A file system that was not in order after a power cut leaves files that are empty, or all zeros.
    """
    with suppress(OSError), Path(path).open("rb") as file:
        if not any(file.read(_PART)):
            return "is empty, as a power cut may leave it; remove it and run again"
    return str(error)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file; a missing or broken file is an `InputError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        what = damage(path, f"is not valid JSON ({error})")
        raise InputError(f"{path}: {what}") from error


def write_table(
    table: pd.DataFrame | dict[str, NDArray[Any]],
    path: str | os.PathLike[str],
    made_by: Mapping[str, Any] | None = None,
) -> None:
    """Write `table` as CSV or Parquet, by the suffix of `path`.

    `made_by` goes into a Parquet file's metadata (`table_metadata` reads it); CSV has no place
    for it. Floats keep all their digits in both. A Parquet file's table may be its columns, for a
    job to which importing pandas would be most of its time.
    """
    with replace_when_whole(path) as aside:
        if Path(path).suffix == ".csv" and not isinstance(table, dict):
            table.to_csv(aside, index=False)
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        if isinstance(table, dict):
            arrow = pa.Table.from_arrays(list(map(_arrow_column, table.values())), list(table))
        else:
            arrow = pa.Table.from_pandas(table, preserve_index=False)
        metadata = {_METADATA_KEY: json.dumps(dict(made_by or {})).encode()}
        arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **metadata})
        pq.write_table(arrow, aside)


def _arrow_column(values: NDArray[Any]) -> pa.Array:
    """Numbers or texts (n,) as Arrow's column, NaN as a null; `pa.array` imports pandas."""
    import numpy as np
    import pyarrow as pa

    if values.dtype.kind == "U":
        texts = [text.encode() for text in values.tolist()]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        return pa.StringArray.from_buffers(
            len(texts), pa.py_buffer(ends), pa.py_buffer(b"".join(texts))
        )
    kind = {"int64": pa.int64(), "float64": pa.float64()}[values.dtype.name]
    there = np.packbits(values == values, bitorder="little")  # NaN is no equal of itself
    buffers = [pa.py_buffer(there), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def read_table(path: str | os.PathLike[str], columns: Iterable[str] = ()) -> pd.DataFrame:
    """Read a CSV or Parquet table, by suffix, and check that it has `columns`.

    Raises:
        InputError: if the file is missing, broken or lacks a column; the message names it.
    """
    import pandas as pd

    try:
        if Path(path).suffix == ".csv":
            table = pd.read_csv(path)
        else:
            import pyarrow.parquet as pq

            # pandas.read_parquet looks for a data set of many files first, and calls threads for
            # a run's few rows: four times the work, of ten thousand runs half a minute a stage.
            with pq.ParquetFile(path) as file:
                check_footer(file.metadata)
                many = file.metadata.num_rows > _MANY_ROWS
                table = file.read(use_threads=many).to_pandas(use_threads=many)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be read as a table ({reason})") from error
    except ValueError as error:  # pandas' and pyarrow's parse errors are ValueErrors
        what = damage(path, f"cannot be read as a table ({error})")
        raise InputError(f"{path}: {what}") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        there = ", ".join(map(str, table))
        what = damage(path, f"has no column {', '.join(missing)}; it has {there}")
        raise InputError(f"{path}: {what}")
    return table


def check_footer(footer: pq.FileMetaData) -> None:
    """Refuse a Parquet footer that contradicts itself or claims what no table of ours has.

    A few bytes can claim rows that fill any memory, as equal values take no room; a reader would
    believe them.

    Raises:
        ValueError: saying what the footer claims.
    """
    groups = sum(footer.row_group(number).num_rows for number in range(footer.num_row_groups))
    if groups != footer.num_rows:
        raise ValueError(
            f"its footer has {footer.num_rows} rows, and its parts {groups}; it is damaged"
        )
    if footer.num_rows * footer.num_columns > MOST_CELLS:
        raise ValueError(
            f"it has {footer.num_rows} rows of {footer.num_columns} columns, more than the "
            f"{MOST_CELLS} values that are read; leave out columns, or keep fewer rows"
        )


def table_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The `made_by` of a Parquet table written by `write_table`; empty if there is none."""
    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata or {}
    return json.loads(metadata.get(_METADATA_KEY, b"{}"))

"""Reading and writing results: tables, JSON, and the rule that nothing half-written is a result.

Every writer here writes beside its target under another name and renames when the file is whole,
so that a killed job leaves either the old file, the new file or none.
"""

from __future__ import annotations

import functools
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_maps.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_METADATA_KEY = b"training_maps"


@functools.cache
def package_version() -> str:
    """Version of the installed package, or "unknown" when run from a bare source tree."""
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
    if missing.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp's files are private (0600); results are made with the user's usual permissions.
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix
    )
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(0o666 & ~_umask())
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_json(data: Any, path: str | os.PathLike[str]) -> None:
    """Write `data` as indented JSON. NaN and infinity are refused: a result never holds them."""
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    with replace_when_whole(path) as aside:
        aside.write_text(text, encoding="utf-8")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file; a missing or broken file is an `InputError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: is not valid JSON ({error})") from error


def write_table(
    table: pd.DataFrame,
    path: str | os.PathLike[str],
    made_by: Mapping[str, Any] | None = None,
) -> None:
    """Write `table` as CSV or Parquet, by the suffix of `path`.

    `made_by` goes into a Parquet file's metadata (`table_metadata` reads it); CSV has no place
    for it. Floats keep all their digits in both.
    """
    with replace_when_whole(path) as aside:
        if Path(path).suffix == ".csv":
            table.to_csv(aside, index=False)
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        arrow = pa.Table.from_pandas(table, preserve_index=False)
        metadata = {_METADATA_KEY: json.dumps(dict(made_by or {})).encode()}
        arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **metadata})
        pq.write_table(arrow, aside)


def read_table(path: str | os.PathLike[str], columns: Iterable[str] = ()) -> pd.DataFrame:
    """Read a CSV or Parquet table, by suffix, and check that it has `columns`.

    Raises:
        InputError: if the file is missing, broken or lacks a column; the message names it.
    """
    import pandas as pd

    read = pd.read_csv if Path(path).suffix == ".csv" else pd.read_parquet
    try:
        table = read(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be read as a table ({reason})") from error
    except ValueError as error:  # pandas' and pyarrow's parse errors are ValueErrors
        raise InputError(f"{path}: cannot be read as a table ({error})") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(
            f"{path}: has no column {', '.join(missing)}; it has {', '.join(map(str, table))}"
        )
    return table


def table_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The `made_by` of a Parquet table written by `write_table`; empty if there is none."""
    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata or {}
    return json.loads(metadata.get(_METADATA_KEY, b"{}"))


def _umask() -> int:
    """The process's umask, which POSIX only tells to those who set it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask

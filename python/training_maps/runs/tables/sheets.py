"""A file of logged values as it is: its columns as numbers, and where each row stands in the file.

CSV (.csv, .tsv), JSON lines (.jsonl, .ndjson, .json), each of them gzipped or not, and Parquet
(.parquet, .pq). A cell is empty, a number or a text. Empty are `NA`, `N/A`, `null` and `None` too;
`NaN` and `Infinity`, in any spelling that Python reads, are numbers: something was logged there.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from training_maps.runs.tables.json_documents import rows_of
from training_maps.utils.errors import InputError
from training_maps.utils.files import check_footer

if TYPE_CHECKING:
    import pyarrow as pa

_EMPTY = ("", "NA", "N/A", "null", "None")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf(inity)?|nan)", re.I)
_COMMENT = "#{"
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON = ".json"
_JSON_LINES = (".jsonl", ".ndjson", _JSON)
_PARQUET = (".parquet", ".pq")
_LONGEST_SHOWN = 40


@dataclass(frozen=True)
class Column:
    """The cells of one column of n rows.

    Attributes:
        values: (n,) numbers; NaN where a cell is empty or a text.
        present: (n,) whether a cell is not empty.
        texts: row and content of the first cell that is a text, if there is one.
        n_texts: how many cells are texts.
        labels: row and content of every cell that is a text, in full.
    """

    values: NDArray[np.float64]
    present: NDArray[np.bool_]
    texts: tuple[int, str] | None = None
    n_texts: int = 0
    labels: tuple[tuple[int, str], ...] = ()

    @cached_property
    def has_numbers(self) -> bool:
        """Whether any cell is a number."""
        return int(self.present.sum()) > self.n_texts


@dataclass(frozen=True)
class Sheet:
    """The rows of one file, or of one folder of event files.

    Attributes:
        path: the file.
        n_rows: how many rows it has, n.
        columns: each column's cells, by name, in the file's order.
        locate: where a row, counted from 0, is in the file, as a message says it ("line 7").
        step: the column of steps, where the format itself says which it is.
    """

    path: Path
    n_rows: int
    columns: Mapping[str, Column]
    locate: Callable[[int], str]
    step: str | None = None

    def where(self, row: int) -> str:
        """File and line of a row, for messages."""
        return f"{self.path}, {self.locate(row)}"


class RowsOfValues:
    """Columns in the making, from rows that each say a few columns' values by name."""

    def __init__(self) -> None:
        """Begin without rows."""
        self.n_rows = 0
        self._cells: dict[str, tuple[list[int], list[float]]] = {}
        self._texts: dict[str, list[tuple[int, str]]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row: numbers, texts, None for an empty cell; anything else counts as a text."""
        for name, value in row.items():
            rows, values = self._cells.setdefault(name, ([], []))
            number = _number(value)
            if number is None:
                continue
            rows.append(self.n_rows)
            if isinstance(number, str):
                values.append(np.nan)
                self._texts.setdefault(name, []).append((self.n_rows, number))
            else:
                values.append(number)
        self.n_rows += 1

    def columns(self) -> dict[str, Column]:
        """The columns of all rows added."""
        result = {}
        for name, (rows, numbers) in self._cells.items():
            values = np.full(self.n_rows, np.nan)
            present = np.zeros(self.n_rows, dtype=bool)
            values[rows] = numbers
            present[rows] = True
            texts = self._texts.get(name, [])
            first = (texts[0][0], _shortened(texts[0][1])) if texts else None
            result[name] = Column(values, present, first, len(texts), tuple(texts))
        return result


def read_sheet(path: Path) -> Sheet:
    """Read one file; its format is that of its name's ending.

    Raises:
        InputError: if the file cannot be read, is broken (naming the line), has no rows, or names a
            column twice.
    """
    zipped = path.suffix == ".gz"
    ending = (path.with_suffix("") if zipped else path).suffix.lower()
    try:
        if ending in _SEPARATORS:
            sheet = _read_csv(path, _SEPARATORS[ending])
        elif ending in _JSON_LINES:
            sheet = (_read_document(path) if ending == _JSON else None) or _read_json_lines(path)
        elif ending in _PARQUET and not zipped:
            sheet = _read_parquet(path)
        else:
            raise InputError(
                f"{path}: is no table that is known by its name; expected one that ends in "
                f"{', '.join((*_SEPARATORS, *_JSON_LINES))} (each of them .gz too), "
                f"{', '.join(_PARQUET)}, or TensorBoard's event files (*tfevents*)"
            )
    except (OSError, EOFError, zlib.error, csv.Error) as error:  # of a damaged file
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read ({reason})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text in UTF-8 ({error})") from error
    if sheet.n_rows == 0:
        raise InputError(f"{path}: has no rows")
    return sheet


def _read_csv(path: Path, separator: str) -> Sheet:
    import pyarrow as pa
    import pyarrow.csv

    skipped = _lines_of_comment(path)
    # Cells stay as they are written where a column holds a text: a 1 among words is no truth value.
    convert = pa.csv.ConvertOptions(
        null_values=_EMPTY, strings_can_be_null=True, true_values=[], false_values=[]
    )
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    compression = "gzip" if path.suffix == ".gz" else None
    try:
        with pa.input_stream(str(path), compression=compression) as stream:
            read = pa.csv.ReadOptions(skip_rows=skipped)
            table = pa.csv.read_csv(stream, read, parse, convert)
    except pa.ArrowException as error:
        raise InputError(_explain_csv(path, separator, str(error))) from error
    _check_names(path, table.column_names)
    _check_quotes(path, separator)
    return Sheet(path, table.num_rows, _columns(table), lambda row: _csv_line(path, separator, row))


def _lines_of_comment(path: Path) -> int:
    """How many lines a CSV file begins with that are a comment in JSON, as SB3's monitor does."""
    with _open(path) as file:
        return int(file.readline().startswith(_COMMENT))


def _records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV file, its header first: the line that each ends on, and its fields."""
    skipped = _lines_of_comment(path)
    with _open(path) as file:
        reader = csv.reader(islice(file, skipped, None), delimiter=separator)
        for fields in reader:
            if fields:
                yield reader.line_num + skipped, fields


def _check_quotes(path: Path, separator: str) -> None:
    """Refuse a CSV file that ends within quotes: its last rows would be a text in one cell.

    Raises:
        UnicodeDecodeError: if it is not UTF-8, which Arrow lets pass as bytes.
    """
    with _open(path) as file:
        # To the end of the file, so that what is not UTF-8 is found wherever it is.
        if not sum('"' in line for line in file):
            return
    with _open(path) as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        begin = 1
        try:
            for _ in reader:
                begin = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise InputError(
                    f"{path}, line {begin}: a quote is opened here and never closed; the file may "
                    "be cut off"
                ) from error


def _csv_line(path: Path, separator: str, row: int) -> str:
    line, _ = next(islice(_records(path, separator), row + 1, None))
    return f"line {line}"


def _explain_csv(path: Path, separator: str, reason: str) -> str:
    """What is wrong with a CSV file that cannot be parsed, and in which line."""
    records = _records(path, separator)
    _, header = next(records, (1, []))
    for line, fields in records:
        if len(fields) != len(header):
            return (
                f"{path}, line {line}: has {len(fields)} fields where the header has "
                f"{len(header)}; a file that was cut off or joined of several ends up so"
            )
    return f"{path}: cannot be read as a table ({reason})"


def _read_document(path: Path) -> Sheet | None:
    """A file that is one JSON document; None if it is JSON lines."""
    with _open(path) as file:
        text = file.read()
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = rows_of(document, path)
    if found is None:
        return None
    entries, what, step = found
    rows = RowsOfValues()
    for entry in entries:
        rows.add(entry)
    return Sheet(path, rows.n_rows, rows.columns(), lambda row: f"{what} {row + 1}", step)


def _read_json_lines(path: Path) -> Sheet:
    rows = RowsOfValues()
    lines: list[int] = []
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{path}, line {number}: is not JSON ({error}); expected an object in each line"
                ) from error
            if not isinstance(row, dict):
                raise InputError(
                    f"{path}, line {number}: expected an object, such as "
                    f'{{"step": 0, "loss": 2.3}}, got {_shortened(line.strip())}'
                )
            rows.add(row)
            lines.append(number)
    return Sheet(path, rows.n_rows, rows.columns(), lambda row: f"line {lines[row]}")


def _read_parquet(path: Path) -> Sheet:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        file = pa.parquet.ParquetFile(path)
        check_footer(file.metadata)
        table = file.read()
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error
    _check_names(path, table.column_names)
    return Sheet(path, table.num_rows, _columns(table), lambda row: f"row {row + 1}")


def _check_names(path: Path, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{path}: has two columns called {name!r}; rename one")
        seen.add(name)


def _columns(table: pa.Table) -> dict[str, Column]:
    return {name: _column(table[name]) for name in table.column_names}


def _column(cells: pa.ChunkedArray) -> Column:
    """The cells of a column of an Arrow table."""
    import pyarrow as pa

    kind = cells.type
    if pa.types.is_dictionary(kind):
        cells, kind = cells.cast(kind.value_type), kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        present = np.asarray(cells.is_valid())
        values = np.asarray(cells.cast(pa.float64(), safe=False).fill_null(np.nan), dtype=float)
        return Column(values, present)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        rows = RowsOfValues()
        for cell in cells.to_pylist():
            rows.add({"": cell})
        return rows.columns()[""]
    present = np.asarray(cells.is_valid())  # truth values, dates, lists: texts, all of them
    if not present.any():
        return Column(np.full(len(cells), np.nan), present)
    first = int(present.argmax())
    texts = (first, _shortened(str(cells[first].as_py())))
    return Column(np.full(len(cells), np.nan), present, texts, int(present.sum()))


def _number(cell: Any) -> float | str | None:
    """A cell as a number, as the text that it is, or None if it is empty."""
    if cell is None:
        return None
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        try:
            return float(cell)
        except OverflowError:
            return float("inf") if cell > 0 else float("-inf")
    text = cell.strip() if isinstance(cell, str) else json.dumps(cell, default=str)
    if isinstance(cell, str) and text in _EMPTY:
        return None
    is_number = isinstance(cell, str) and _NUMBER.fullmatch(text)
    return float(text) if is_number else text


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."


def _open(path: Path) -> TextIO:
    """A text file, gzipped or not; line ends stay as they are, as csv asks for."""
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")

"""Long tables, with a row a value: seed, step, metric, value; and how they are told.

tidyverse's `pivot_longer`, pandas' `melt`, MLflow's exports and many loggers of one's own write
tables so. As one row holds one value of one quantity, they are the wide table with most of its
cells empty, and so are read as that.
"""

from __future__ import annotations

import logging

import numpy as np

from training_maps.runs.tables.clocks import is_time_column
from training_maps.runs.tables.sheets import Column, Sheet
from training_maps.utils.errors import InputError

logger = logging.getLogger("training_maps")

# What the columns of names and of values are called, in lower case.
_NAMES = (
    "metric", "metric_name", "metrics", "name", "key", "variable", "tag", "quantity", "measure",
    "series", "scalar",
)  # fmt: skip
_VALUES = ("value", "values", "metric_value", "val", "scalar_value", "y")


def wide_form(sheet: Sheet) -> Sheet:
    """`sheet` with a column for each quantity, if it is a long table; as it is if it is none.

    Raises:
        InputError: if a row has a value and names no quantity, or a quantity is called like another
            column.
    """
    names, values = _only(sheet, _NAMES), _only(sheet, _VALUES)
    if names is None or values is None or not sheet.columns[values].has_numbers:
        return sheet
    labels = sheet.columns[names]
    if not labels.labels or labels.n_texts < labels.present.sum():
        return sheet
    column = sheet.columns[values]
    unnamed = np.flatnonzero(column.present & ~labels.present)
    if len(unnamed):
        raise InputError(f"{sheet.where(int(unnamed[0]))}: has a value, and no name in '{names}'")
    others = {name: c for name, c in sheet.columns.items() if name not in (names, values)}
    rows: dict[str, list[int]] = {}
    for row, label in labels.labels:
        rows.setdefault(label, []).append(row)
    taken = sorted(others.keys() & rows.keys())
    if taken:
        raise InputError(
            f"{sheet.path}: column '{names}' names '{taken[0]}', as another column is called; "
            "rename one"
        )
    wide = {label: _cells(column, rows_of_one) for label, rows_of_one in rows.items()}
    logger.info(
        "%s: is a long table: '%s' names the quantity, '%s' is its value; read as %d columns",
        sheet.path, names, values, len(wide),
    )  # fmt: skip
    return Sheet(sheet.path, sheet.n_rows, {**others, **wide}, sheet.locate, sheet.step)


def differing_text(sheet: Sheet, one: int, other: int) -> str | None:
    """What to say of two rows that a column of texts tells apart; None if none does."""
    for name, column in sheet.columns.items():
        texts = dict(column.labels) if column.labels else {}
        if one in texts and other in texts and texts[one] != texts[other]:
            return (
                f"The rows differ in column '{name}' ('{texts[one]}' and '{texts[other]}'): if it "
                "names what the values are of, this is a long table; call that column metric and "
                "the other value, or make it wide first: pandas.pivot_table(table, "
                f"index=['seed', 'step'], columns='{name}')"
            )
    return None


def _only(sheet: Sheet, names: tuple[str, ...]) -> str | None:
    """The one column that is called one of `names`; None if there are several, or none."""
    found = [name for name in sheet.columns if name.strip().lower() in names]
    return found[0] if len(found) == 1 and not is_time_column(found[0]) else None


def _cells(column: Column, rows: list[int]) -> Column:
    """The cells of `column` in some rows alone; the others are empty."""
    here = np.zeros(len(column.present), dtype=bool)
    here[rows] = True
    texts = [(row, text) for row, text in column.labels if here[row]]
    return Column(
        np.where(here, column.values, np.nan),
        column.present & here,
        (texts[0][0], texts[0][1]) if texts else None,
        len(texts),
        tuple(texts),
    )

"""Stable-Baselines3's monitor.csv: a row an episode, its return `r`, its length `l`, and a clock.

The first line is a comment with JSON. Steps of the environment are the sums of the episodes'
lengths: that of a row is the step at which its episode ended, in this one environment.
"""

from __future__ import annotations

import numpy as np

from training_maps.runs.tables.sheets import Column, Sheet

# What the columns of a monitor are.
_RETURN, _LENGTH, _CLOCK = "r", "l", "t"


def with_steps(sheet: Sheet) -> Sheet:
    """A monitor with the column `step`; any other sheet as it is.

    Its clock is called `time`, as clocks are known by their names.
    """
    columns = sheet.columns
    if not {_RETURN, _LENGTH, _CLOCK} <= columns.keys() or "step" in columns:
        return sheet
    length = columns[_LENGTH]
    if not length.present.all() or length.n_texts:
        return sheet
    steps = Column(np.cumsum(length.values), np.ones(len(length.values), dtype=bool))
    named = {"time" if name == _CLOCK else name: column for name, column in columns.items()}
    return Sheet(sheet.path, sheet.n_rows, {"step": steps, **named}, sheet.locate, sheet.step)

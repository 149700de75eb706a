"""Columns of the training log that join the metrics, by step."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.support.drawn_tables import METRICS, run_table, run_tables
from training_maps.hmm.log_columns import with_log_columns
from training_maps.hmm.observations import observations
from training_maps.utils.errors import InputError


def run_log(seed: int, steps) -> pd.DataFrame:
    draw = np.random.default_rng(100 + seed)
    columns = {"epoch": np.asarray(steps) / 32, "eval_loss": draw.normal(size=len(steps))}
    columns["gradient_norm"] = draw.normal(size=len(steps))
    return pd.DataFrame({"step": steps, **columns}).sample(frac=1, random_state=seed)


def test_columns_of_the_log_join_by_step_and_by_nothing_else():
    tables = run_tables(3)
    tables[2].attrs["non_finite"] = {"step": 640, "tensor": "w"}
    tables[3] = run_table(3).iloc[:0]  # diverged from its start
    tables[3].attrs["non_finite"] = {"step": 0, "tensor": "w"}
    # A finer grid of steps, one that starts later, and one that lacks two checkpoints.
    grids = [range(0, 650, 8), range(64, 640, 32), [*range(0, 320, 32), *range(384, 640, 32)]]
    grids.append(grids[0])
    logs = {seed: run_log(seed, list(steps)) for seed, steps in enumerate(grids)}
    joined = with_log_columns(tables, logs, ["gradient_norm", "eval_loss"])
    for seed, table in joined.items():
        assert list(table.columns) == ["step", *METRICS, "gradient_norm", "eval_loss"]
        pd.testing.assert_frame_equal(table[["step", *METRICS]], tables[seed])
        known = dict(zip(logs[seed]["step"], logs[seed]["gradient_norm"], strict=True))
        expected = [known.get(step, np.nan) for step in table["step"]]
        np.testing.assert_array_equal(table["gradient_norm"], expected)
    assert [int(table["eval_loss"].isna().sum()) for table in joined.values()] == [0, 2, 2, 0]
    assert joined[2].attrs == tables[2].attrs
    assert observations(joined, non_finite="drop", validation_share=0.0).seeds == [0, 1]
    del joined[3]
    made = observations(joined, non_finite="cut", validation_share=0.0)
    assert made.metrics == (*METRICS, "gradient_norm", "eval_loss")
    scored = stats.zscore(joined[1]["eval_loss"].to_numpy(), nan_policy="omit")
    np.testing.assert_allclose(made.table.query("seed == 1")["eval_loss"], scored, rtol=1e-9)


def test_a_log_that_counts_otherwise_joins_by_the_nearest_step_and_says_so(caplog):
    """Lightning logs step 31 of the checkpoint that it saves at 32; the loss alone, here."""
    tables = run_tables(2)
    logs = {}
    for seed, table in tables.items():
        late = pd.DataFrame({"step": table["step"] - 1, "eval_loss": range(len(table))})
        logs[seed] = pd.concat([late.query("step >= 0"), run_log(seed, [0, 64])[["step"]]])
        logs[seed] = logs[seed].drop_duplicates("step", ignore_index=True)
    with caplog.at_level("WARNING"):
        joined = with_log_columns(tables, logs, ["eval_loss"])
    for table in joined.values():
        np.testing.assert_array_equal(table["eval_loss"], [np.nan, *range(1, len(table))])
    (told,) = [record.getMessage() for record in caplog.records]
    assert (
        "eval_loss was logged at no checkpoint's step; each takes the nearest one, 1 step" in told
    )


@pytest.mark.parametrize(
    ("spoil", "columns", "message"),
    [
        (lambda log: log, ["grad"], r"seed 0: the training log has no column grad .*gradient_norm"),
        (lambda log: log, ["epoch"], r"seed 0: epoch \(log_columns\) is already a column"),
        (lambda log: log.assign(trace=1), ["trace"], r"seed 1: trace .* is already a column"),
        (lambda log: pd.concat([log, log]), ["eval_loss"], r"seed 1: .* has step \d+ twice"),
        (
            lambda log: log.assign(step=log["step"] + 16),
            ["eval_loss"],
            r"seed 1: none of the train",
        ),
    ],
)
def test_columns_of_the_log_that_cannot_join(spoil, columns, message):
    tables = run_tables(2)
    logs = {seed: run_log(seed, list(range(0, 640, 32))) for seed in tables}
    if columns == ["trace"]:
        logs[0]["trace"] = 1
        del tables[0]["trace"]
    logs[1] = spoil(logs[1])
    with pytest.raises(InputError, match=message):
        with_log_columns(tables, logs, columns)

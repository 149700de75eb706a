"""Runs on a map: what is said of a checkpoint, from nothing later; which cannot be placed."""

import numpy as np
import pandas as pd
import pytest

from tests.support.placed_runs import (
    METRICS,
    STEPS,
    log_of,
    metrics_of,
    small_reference,
    tables,
    times,
)
from training_maps.placing.place import NewRun, place_run
from training_maps.result_tables import PLACED_COLUMNS
from training_maps.utils.errors import InputError


@pytest.fixture(scope="module")
def reference():
    return small_reference()


def new(converging=150.0, seed=7, **changes):
    return metrics_of(converging, np.random.default_rng([9, seed])).assign(**changes)


def kinds(placed):
    return [note.kind for note in placed.notes]


def test_a_run_like_the_map_s(reference):
    placed = place_run(reference, NewRun("new", new(), log_of(150)))
    assert list(placed.table.columns) == [c for c in PLACED_COLUMNS if c != "run"]
    assert placed.table["step"].tolist() == STEPS.tolist()
    assert placed.states.shape == (len(STEPS), 3)
    np.testing.assert_allclose(placed.states.sum(axis=1), 1)
    assert (placed.states.argmax(axis=1) == placed.table["state"]).all()
    assert placed.table["state"].iloc[0] == 0
    assert placed.table["state"].iloc[-1] == 2
    assert placed.first_warning is None
    assert (placed.table["unusual"] <= 1).all()
    assert placed.table["percentile"].between(1, 100).all()
    assert placed.notes == ()
    assert placed.table["branch"].iloc[0] == ""
    assert placed.table["branch"].iloc[-1].startswith("0->")


def test_of_runs_like_the_map_s_few_are_warned(reference):
    warned = [
        place_run(reference, NewRun("new", metrics_of(time, np.random.default_rng([3, i]))))
        for i, time in enumerate(times(60, seed=5))
    ]
    assert sum(one.first_warning is not None for one in warned) <= 8


def test_what_leaves_the_map_is_warned_of_from_then_on(reference):
    table = new()
    table.loc[12:, "var_w"] += 0.6
    placed = place_run(reference, NewRun("new", table))
    assert placed.first_warning == 12
    assert placed.table["warning"].iloc[12:].mean() > 0.5
    assert not placed.table["warning"].iloc[:12].any()
    assert placed.table["kind"].iloc[12] in ("position", "dynamics")
    assert placed.deviating[12] == "var_w"
    assert (placed.table["kind"] == "").sum() == (~placed.table["warning"]).sum()


def test_the_time_is_predicted_and_then_known(reference):
    placed = place_run(reference, NewRun("new", new(180), log_of(180))).table
    crossed = int(STEPS[(log_of(180)["eval_accuracy"] > 0.9).argmax()])
    early = placed[(placed["step"] > 40) & (placed["step"] < 100)]
    assert early["predicted"].between(140, 220).all()
    assert (early["predicted_low"] <= crossed).mean() > 0.8
    assert (early["predicted_high"] >= crossed).mean() >= 0.8
    after = placed[placed["step"] >= crossed]
    assert after["converged"].all()
    assert (after["predicted"] == crossed).all()
    assert not placed["converged"][placed["step"] < crossed].any()
    assert not after["slow"].any()


def test_a_slow_run_is_told_before_it_converges(reference):
    placed = place_run(reference, NewRun("new", new(215), log_of(215)))
    assert STEPS[placed.slow_since] < 150
    fast = place_run(reference, NewRun("new", new(100), log_of(100)))
    assert fast.slow_since is None


def test_nothing_later_changes_what_was_said(reference):
    table, log = new(), log_of(150)
    table.loc[[4, 9], "l1"] = np.nan
    table = table.drop(index=[6, 7])
    whole = place_run(reference, NewRun("new", table, log))
    for n in range(2, len(table)):
        step = int(table["step"].iloc[n - 1])
        seen = NewRun("new", table.iloc[:n], log[log["step"] <= step])
        part = place_run(reference, seen)
        pd.testing.assert_frame_equal(part.table, whole.table.iloc[:n], check_exact=True)
        np.testing.assert_array_equal(part.states, whole.states[:n])
        assert part.deviating == whole.deviating[:n]
        changed = table.copy()
        changed.loc[changed["step"] > step, list(METRICS)] = 77.0
        later = place_run(reference, NewRun("new", changed, log)).table
        pd.testing.assert_frame_equal(later.iloc[:n], whole.table.iloc[:n], check_exact=True)


class TestOtherSteps:
    def test_fewer_checkpoints_are_compared_at_their_steps(self, reference):
        placed = place_run(reference, NewRun("new", new().iloc[::3]))
        assert placed.table["step"].tolist() == STEPS[::3].tolist()
        assert kinds(placed) == ["skipped_steps"]
        assert placed.first_warning is None
        whole = place_run(reference, NewRun("new", new())).table.iloc[::3]
        assert np.mean(whole["state"].to_numpy() == placed.table["state"].to_numpy()) > 0.8

    def test_checkpoints_between_are_left_out(self, reference):
        table = new()
        between = table.assign(step=table["step"] + 5)
        both = pd.concat([table, between]).sort_values("step", ignore_index=True)
        placed = place_run(reference, NewRun("new", both))
        assert kinds(placed) == ["beyond_the_map", "other_steps"]
        pd.testing.assert_frame_equal(
            placed.table, place_run(reference, NewRun("new", table)).table
        )

    def test_beyond_the_map_nothing_is_said(self, reference):
        table = pd.concat([new(), new().tail(1).assign(step=500)], ignore_index=True)
        placed = place_run(reference, NewRun("new", table))
        assert placed.table["step"].max() == STEPS[-1]
        assert "after step 290" in placed.notes[0].text

    def test_a_run_that_begins_later(self, reference):
        placed = place_run(reference, NewRun("new", new().iloc[5:]))
        assert placed.table["step"].iloc[0] == STEPS[5]
        assert placed.first_warning is None

    def test_nothing_in_common(self, reference):
        with pytest.raises(InputError, match=r"0 checkpoints at steps of the map's .*0, 10, 20"):
            place_run(reference, NewRun("new", new(step=STEPS + 3)))


class TestBadInput:
    def test_other_metrics(self, reference):
        with pytest.raises(InputError, match=r"new: has no var_w, .*it has l1, l2\)"):
            place_run(reference, NewRun("new", new().drop(columns="var_w")))

    def test_a_metric_in_the_log(self, reference):
        log = pd.DataFrame({"step": STEPS, "var_w": new()["var_w"]})
        placed = place_run(reference, NewRun("new", new().drop(columns="var_w"), log))
        pd.testing.assert_frame_equal(placed.table, place_run(reference, NewRun("", new())).table)

    def test_one_checkpoint(self, reference):
        with pytest.raises(InputError, match="new: has 1 checkpoint; at least two"):
            place_run(reference, NewRun("new", new().iloc[:1]))

    def test_nan_in_the_middle(self, reference):
        table = new()
        table.loc[8, "l2"] = np.nan
        placed = place_run(reference, NewRun("new", table))
        assert kinds(placed) == ["missing_values"]
        assert len(placed.table) == len(STEPS)
        assert placed.first_warning is None

    def test_a_row_of_nothing_is_no_checkpoint(self, reference):
        table = new()
        table.loc[8, list(METRICS)] = np.nan
        placed = place_run(reference, NewRun("new", table))
        assert STEPS[8] not in placed.table["step"].tolist()

    def test_infinity(self, reference):
        table = new()
        table.loc[8, "l2"] = np.inf
        with pytest.raises(InputError, match="a metric is infinite at step 80"):
            place_run(reference, NewRun("new", table))

    def test_a_run_that_has_diverged(self, reference):
        placed = place_run(reference, NewRun("new", new().iloc[:8], None, 80))
        assert kinds(placed) == ["diverged"]

    def test_steps_that_do_not_ascend(self, reference):
        with pytest.raises(InputError, match="do not ascend"):
            place_run(reference, NewRun("new", new().iloc[::-1]))

    def test_another_network(self, reference):
        placed = place_run(reference, NewRun("new", new(l1=500.0, l2=80.0)))
        assert placed.first_warning == 0

    def test_a_run_of_the_map(self, reference):
        placed = place_run(reference, NewRun("new", tables(24)[5]))
        assert kinds(placed) == ["of_the_map"]
        assert "seed 5" in placed.notes[0].text


def test_without_an_outcome_the_rest_is_said(reference):
    import dataclasses

    placed = place_run(dataclasses.replace(reference, forecast=None), NewRun("new", new()))
    assert placed.table["predicted"].isna().all()
    assert not placed.table["slow"].any()
    expected = place_run(reference, NewRun("new", new())).table
    assert placed.table["percentile"].tolist() == expected["percentile"].tolist()

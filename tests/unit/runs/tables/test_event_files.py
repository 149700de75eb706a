"""TensorBoard's event files, as PyTorch writes them."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pandas as pd
import pytest

from training_maps.runs.tables import input_files, read_logs, read_metrics
from training_maps.utils.errors import InputError

pytest.importorskip("tensorboard")
SummaryWriter = pytest.importorskip("torch.utils.tensorboard").SummaryWriter


def value(seed, name, step):
    return float(np.float32(np.sin(seed + len(name) + step)))


def write_run(folder, seed, steps, names=("train/loss", "norm"), suffix="", **options):
    with SummaryWriter(folder, filename_suffix=suffix, **options) as writer:
        for step in steps:
            for name in names:
                writer.add_scalar(name, value(seed, name, step), step)
    return folder


def metrics(path, seeds=(0,), **options):
    return dict(read_metrics(str(path), list(seeds), **options))


def expected(seed, steps, names=("train/loss", "norm")):
    columns = {name: [value(seed, name, step) for step in steps] for name in names}
    return pd.DataFrame({"step": list(steps), **columns})


@pytest.mark.parametrize("new_style", [False, True])
def test_scalars_of_a_folder_for_each_run(new_style, tmp_path):
    steps = [0, 5, 10, 2**33]
    for seed in (0, 3):
        folder = tmp_path / f"seed{seed}"
        with SummaryWriter(folder) as writer:
            writer.add_histogram("weights", np.arange(5.0), 0)
            writer.add_text("note", "hello", 0)
            for step in steps:
                for name in ("train/loss", "norm"):
                    writer.add_scalar(name, value(seed, name, step), step, new_style=new_style)
            writer.add_scalars("apart", {"one": 1.0}, 0)  # in subfolders, runs of their own
    found = metrics(tmp_path / "seed{seed}", [0, 3])
    for seed in (0, 3):
        pd.testing.assert_frame_equal(found[seed], expected(seed, steps), check_exact=True)
    files = input_files(str(tmp_path / "seed{seed}"), [0, 3])
    assert [file.parent.name for file in files] == ["seed0", "seed3"]
    by_file = metrics(tmp_path / "seed{seed}" / "*tfevents*", [3])[3]
    pd.testing.assert_frame_equal(by_file, found[3])


def test_scalars_at_other_steps_are_a_row_each(tmp_path):
    folder = tmp_path / "0"
    with SummaryWriter(folder) as writer:
        for step in range(4):
            writer.add_scalar("a", step, step)
        writer.add_scalar("b", 7.0, 2)
    found = metrics(tmp_path / "{seed}")[0]
    assert found["a"].tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(found["b"], [np.nan, np.nan, 7, np.nan])


def test_a_resumed_run_has_two_files(tmp_path):
    write_run(tmp_path / "0", 0, range(6))
    write_run(tmp_path / "0", 100, range(4, 9), suffix=".resumed")
    assert len(input_files(str(tmp_path / "{seed}"), [0])) == 2
    with pytest.raises(InputError, match=r"event 10 and events.out.*resumed, event 2: seed 0 has"):
        metrics(tmp_path / "{seed}")
    found = metrics(tmp_path / "{seed}", repeated_steps="last")[0]
    both = pd.concat([expected(0, range(4)), expected(100, range(4, 9))], ignore_index=True)
    pd.testing.assert_frame_equal(found, both, check_exact=True)


@pytest.mark.parametrize("resumed", [range(100, 180, 20), range(105, 200, 10)])
def test_what_a_start_record_makes_void_is_left_out_as_tensorboard_does(resumed, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_run(tmp_path / "0", 0, range(0, 200, 10))
    write_run(tmp_path / "0", 7, resumed, suffix=".1", purge_step=100)
    found = metrics(tmp_path / "{seed}")[0]
    kept = [expected(0, range(0, 100, 10)), expected(7, resumed)]
    pd.testing.assert_frame_equal(found, pd.concat(kept, ignore_index=True), check_exact=True)
    theirs = EventAccumulator(str(tmp_path / "0"))
    theirs.Reload()
    assert [(e.step, e.value) for e in theirs.Scalars("norm")] == list(
        zip(found["step"], found["norm"], strict=True)
    )


def test_without_a_start_record_time_that_goes_back_is_asked_about(tmp_path):
    write_run(tmp_path / "0", 0, range(0, 200, 10))
    write_run(tmp_path / "0", 7, range(105, 200, 10), suffix=".1")
    with pytest.raises(InputError, match="go back from 190 to 105, as those of a run do that was"):
        metrics(tmp_path / "{seed}")
    found = metrics(tmp_path / "{seed}", repeated_steps="resumed")[0]
    kept = [expected(0, range(0, 110, 10)), expected(7, range(105, 200, 10))]
    pd.testing.assert_frame_equal(
        found, pd.concat(kept).query("~(step == 110 and index == 11)").reset_index(drop=True)
    )


def test_a_training_log_of_event_files(tmp_path):
    with SummaryWriter(tmp_path / "0") as writer:
        for step in range(3):
            writer.add_scalar("val/acc", step / 4, step)
            writer.add_scalar("epoch", step * 2, step)
    ((_, log),) = read_logs(
        str(tmp_path / "{seed}"), [0], columns={"eval_accuracy": "val/acc"}
    )  # fmt: skip
    assert log.to_dict("list") == {
        "step": [0, 1, 2], "epoch": [0, 2, 4], "eval_accuracy": [0, 0.25, 0.5],
    }  # fmt: skip


def test_a_file_that_a_killed_job_left_is_read_up_to_there(tmp_path, caplog):
    write_run(tmp_path / "0", 0, range(20))
    (file,) = input_files(str(tmp_path / "{seed}"), [0])
    whole = file.read_bytes()
    for cut in (3, 9, 20):
        file.write_bytes(whole[:-cut])
        with caplog.at_level(logging.WARNING):
            found = metrics(tmp_path / "{seed}")[0]
        assert found["norm"].isna().tolist() == [False] * 19 + [True]
        assert f"of {len(whole) - cut}, as a killed job leaves it" in caplog.text
        caplog.clear()


def test_a_damaged_file_is_refused(tmp_path):
    write_run(tmp_path / "0", 0, range(20))
    (file,) = input_files(str(tmp_path / "{seed}"), [0])
    whole = bytearray(file.read_bytes())
    for at in (len(whole) // 2, len(whole) // 2 + 40):
        damaged = whole.copy()
        damaged[at] ^= 255
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=rf"is damaged at byte \d+ of {len(whole)}"):
            metrics(tmp_path / "{seed}")
    file.write_bytes(b"no event file at all, but text")
    with pytest.raises(InputError, match="is damaged at byte 0 of 30"):
        metrics(tmp_path / "{seed}")


def test_what_holds_no_scalars_is_said(tmp_path):
    (tmp_path / "0").mkdir()
    with pytest.raises(InputError, match="is a folder without TensorBoard event files"):
        metrics(tmp_path / "{seed}")
    with SummaryWriter(tmp_path / "1") as writer:
        writer.add_text("note", "hello", 0)
    with pytest.raises(InputError, match="hold no scalars"):
        metrics(tmp_path / "{seed}", [1])
    with SummaryWriter(tmp_path / "2") as writer:
        writer.add_scalar("step", 0, 0)
    with pytest.raises(InputError, match="has a scalar called 'step'"):
        metrics(tmp_path / "{seed}", [2])
    with SummaryWriter(tmp_path / "3") as writer:
        writer.add_scalar("a", float("nan"), 4)
    with pytest.raises(InputError, match=r"events.out\S+, event 2: column 'a' is nan at step 4"):
        metrics(tmp_path / "{seed}", [3])


def test_without_the_package_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    write_run(tmp_path / "0", 0, [0])
    monkeypatch.setitem(
        sys.modules, "tensorboard.backend.event_processing.event_file_loader", None
    )  # fmt: skip
    with pytest.raises(InputError, match=r"pip install 'training-maps\[tensorboard\]'"):
        metrics(tmp_path / "{seed}")

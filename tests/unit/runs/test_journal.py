"""A journal: whole lines stay whatever happens, and a resumed run takes later ones back."""

import errno
import math

import pytest

from training_maps.runs.journal import FILE, Journal, Line, read_journal, tables_of
from training_maps.utils.errors import InputError


def line(step, value=1.0, **logged):
    return Line(step, step / 10, {"l1": value}, logged)


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path)
    yield opened
    opened.close()


def test_what_is_appended_is_read_at_once(journal, tmp_path):
    lines = [line(0), line(10, 2.5, loss=0.5), Line(20, None, {}, {"loss": 0.1}, "w.weight")]
    for one in lines:
        journal.append(one)
    assert read_journal(tmp_path) == lines
    assert journal.lines == lines


def test_a_run_resumed_from_an_earlier_step_takes_later_lines_back(journal, tmp_path):
    for step in (0, 10, 20, 30):
        journal.append(line(step))
    journal.append(line(20, 9.0))
    assert [(one.step, one.metrics["l1"]) for one in read_journal(tmp_path)] == [
        (0, 1.0), (10, 1.0), (20, 9.0),
    ]  # fmt: skip


@pytest.mark.parametrize("end", [b'{"step": 2', b'{"step": 20}\n', b"\x00\x00\x00\n", b"\n"])
def test_what_a_killed_process_left_is_removed(tmp_path, end):
    first = Journal(tmp_path)
    first.append(line(0))
    first.append(line(10))
    first.close()
    with (tmp_path / FILE).open("ab") as file:
        file.write(end)
    assert [one.step for one in read_journal(tmp_path)] == [0, 10]
    again = Journal(tmp_path)
    again.append(line(20))
    again.close()
    assert [one.step for one in read_journal(tmp_path)] == [0, 10, 20]
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 3


def test_one_process_at_a_time(journal, tmp_path):
    with pytest.raises(InputError, match="another process records this run"):
        Journal(tmp_path)
    journal.close()
    Journal(tmp_path).close()


def test_where_files_cannot_be_locked_nobody_is_refused(journal, tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    Journal(tmp_path).close()


def test_numbers_that_are_not_finite_are_none(journal, tmp_path):
    journal.append(Line(0, math.inf, {"l1": math.nan}, {"loss": math.inf}))
    (read,) = read_journal(tmp_path)
    assert read.epoch is None
    assert math.isnan(read.metrics["l1"])
    assert math.isnan(read.logged["loss"])


def test_tables_have_what_other_stages_read():
    lines = [line(0, loss=1.0), line(10, 2.0), line(20, 3.0, accuracy=0.5)]
    metrics, log, where = tables_of(lines)
    assert metrics["step"].tolist() == [0, 10, 20]
    assert metrics["l1"].tolist() == [1, 2, 3]
    assert list(log) == ["step", "epoch", "loss", "accuracy"]
    assert log["loss"].isna().tolist() == [False, True, True]
    assert where is None


def test_metrics_end_where_a_value_is_not_finite_and_the_log_goes_on():
    lines = [line(0), Line(10, None, {}, {"loss": 2.0}, "w"), line(20, loss=3.0)]
    metrics, log, where = tables_of(lines)
    assert metrics["step"].tolist() == [0]
    assert log["step"].tolist() == [0, 10, 20]
    assert where == {"step": 10, "tensor": "w"}


def test_there_is_none(tmp_path):
    with pytest.raises(InputError, match=r"recorded\.jsonl: cannot be read"):
        read_journal(tmp_path)

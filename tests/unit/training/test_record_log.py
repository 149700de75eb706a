"""The record of a run on disk: added to, and taken up where a saved state says."""

import numpy as np
import pytest

from tests.support.power_cuts import FileSynced, FolderSynced, watched
from training_maps.training.record_log import Record, RecordLog


@pytest.fixture
def path(tmp_path):
    return tmp_path / "seed-3" / "records.jsonl"


def record_of(n):
    return Record(
        3,
        log=[{"step": k, "train_loss": 0.1 + k / 3} for k in range(n)],
        metrics=[{"step": k, "l2": 1e-17 + k} for k in range(min(n, 4))],
        digests=[f"digest {k}" for k in range(n)],
        non_finite={"step": 4, "tensor": "w"} if n > 4 else None,
        further=2 if n > 5 else None,
    )


def test_lines_are_added_and_none_is_written_again(path):
    log = RecordLog(path)
    first = log.add(record_of(3))
    before = path.read_bytes()
    assert first["size"] == len(before)
    second = log.add(record_of(7))
    assert path.read_bytes().startswith(before)
    assert len(path.read_bytes()) == second["size"] < 3 * len(before)
    assert log.add(record_of(7)) == second  # nothing is new
    for saved, n in ((first, 3), (second, 7)):
        assert RecordLog(path).read(saved) == record_of(n)


def test_layers_are_read_to_the_last_bit(path):
    rng = np.random.default_rng(0)
    layers = [rng.normal(size=(3, 14)) for _ in range(2)]
    layers[1][0, 13] = np.nan
    saved = RecordLog(path).add(Record(3, layers=list(layers)))
    found = RecordLog(path).read(saved)
    np.testing.assert_array_equal(found.layers, layers)


def test_what_came_after_the_saved_state_is_cut_off(path):
    log = RecordLog(path)
    saved = log.add(record_of(3))
    log.add(record_of(6))
    again = RecordLog(path)
    assert again.read(saved) == record_of(3)
    later = again.add(record_of(4))
    assert len(path.read_bytes()) == later["size"]
    assert RecordLog(path).read(later) == record_of(4)


def test_a_new_training_begins_the_file_anew(path):
    RecordLog(path).add(record_of(6))
    saved = RecordLog(path).add(record_of(2))
    assert RecordLog(path).read(saved) == record_of(2)
    assert len(path.read_bytes()) == saved["size"]


def test_a_file_that_is_gone_or_too_short_is_no_record(path):
    assert RecordLog(path).read(RecordLog(path).add(Record(3))) == Record(3)  # nothing yet
    saved = RecordLog(path).add(record_of(5))
    path.write_bytes(path.read_bytes()[:-9])
    assert RecordLog(path).read(saved) is None
    path.unlink()
    assert RecordLog(path).read(saved) is None


def test_zeros_that_a_power_cut_left_are_no_record(path):
    saved = RecordLog(path).add(record_of(5))
    path.write_bytes(bytes(saved["size"]))
    assert RecordLog(path).read(saved) is None


def test_it_is_on_the_disk_before_a_state_can_name_it(path):
    with watched(path.parent.parent) as disk:
        log = RecordLog(path)
        log.add(record_of(3))
        log.add(record_of(5))
    contents = [event.content for event in disk.events if isinstance(event, FileSynced)]
    assert contents[-1] == path.read_bytes()
    assert path.read_bytes().startswith(contents[0])
    assert FolderSynced(path.parent) in disk.events

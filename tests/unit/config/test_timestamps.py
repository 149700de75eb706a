"""Results from the future count as old, each as old as the others are to it."""

import os

from training_maps.config.timestamps import TOLERANCE, count_as_old, look_ahead

NOW = 1_700_000_000.0


def made(path, at):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (at, at))
    return path


def test_what_is_from_the_future_is_older_than_all_else_and_in_its_order(tmp_path):
    before = made(tmp_path / "tiny/runs/seed-0/metrics.parquet", NOW - 100)
    skewed = made(tmp_path / "tiny/observations.parquet", NOW + TOLERANCE - 1)
    model = made(tmp_path / "tiny/hmm/states-1.npz", NOW + 3600)
    kept = made(tmp_path / "tiny/runs/seed-0/checkpoints/.snakemake_timestamp", NOW + 3601)
    checkpoint = made(tmp_path / "tiny/runs/seed-0/checkpoints/step-000000.safetensors", NOW + 3602)
    report = made(tmp_path / "tiny/report.html", NOW + 7200)
    files = (before, skewed, model, kept, checkpoint, report)
    times = [path.stat().st_mtime for path in files]
    told = look_ahead(tmp_path, NOW)
    assert str(report) in told
    assert "The 3 files made meanwhile pass for fresh" in told
    assert [path.stat().st_mtime for path in files] == times  # looking changes nothing
    told = count_as_old(tmp_path, NOW)
    assert str(report) in told
    assert "The 3 files" in told
    assert [path.stat().st_mtime for path in (before, skewed)] == [
        NOW - 100,
        NOW + TOLERANCE - 1,
    ]
    times = [path.stat().st_mtime for path in (model, kept, report)]
    assert times == sorted(times)
    assert times[1] - times[0] == 1
    assert times[2] - times[1] == 3599
    assert times[2] < NOW - 9 * 365 * 86_400
    assert checkpoint.stat().st_mtime == NOW + 3602  # its manifest stands for it
    assert count_as_old(tmp_path, NOW) is None
    assert look_ahead(tmp_path, NOW) is None


def test_nothing_is_said_where_all_is_well(tmp_path):
    assert count_as_old(tmp_path / "not there yet") is None
    file = made(tmp_path / "a.csv", NOW - 1)
    assert count_as_old(tmp_path, NOW) is None
    assert file.stat().st_mtime == NOW - 1

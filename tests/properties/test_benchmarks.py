"""`make bench`: every benchmark is a part of it, alone or with others, and none runs for ever."""

import subprocess
import sys
import time
from pathlib import Path

import benchmarks.__main__ as bench
import numpy as np
import pytest
from benchmarks import bench_reading

from tests.support.project import ROOT


def test_every_benchmark_is_a_part():
    files = [path.stem.removeprefix("bench_") for path in (ROOT / "benchmarks").glob("bench_*.py")]
    assert sorted(files) == sorted(bench.SPEED + bench.RATES)
    assert bench.MINUTES * len(files) <= 2 * 60 + 1  # as the module's docstring says


def test_parts_are_run_in_order_and_what_fails_is_told(monkeypatch, capsys):
    called = []

    def run(command, minutes):
        called.append((command[-1], minutes))
        if command[-1].endswith("hmm"):
            raise subprocess.CalledProcessError(3, command)
        return "ended after 2 minutes"

    monkeypatch.setattr(bench, "run", run)
    assert bench.main(["training", "hmm", "--minutes", "2"]) == 1
    assert called == [("benchmarks.bench_training", 2), ("benchmarks.bench_hmm", 2)]
    told = capsys.readouterr()
    parts = ["## training", "training: ended after 2 minutes", "## hmm"]
    assert [line for line in told.out.splitlines() if line] == [
        *parts,
        "hmm: failed with status 3",
    ]
    assert told.err == "failed: hmm\n"
    called.clear()
    assert bench.main(["workflow"]) == 0
    with pytest.raises(SystemExit):
        bench.main(["no_such_part"])
    assert called == [("benchmarks.bench_workflow", bench.MINUTES)]


def test_a_part_that_takes_too_long_is_ended_with_what_it_started(tmp_path):
    file = tmp_path / "alive"
    child = f"import pathlib, time; time.sleep(3); pathlib.Path({str(file)!r}).touch()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert bench.run([sys.executable, "-c", code], 0.5 / 60) == "ended after 0.00833333 minutes"
    time.sleep(4)
    assert not file.exists()
    with pytest.raises(subprocess.CalledProcessError, match="status 3"):
        bench.run([sys.executable, "-c", "raise SystemExit(3)"], 1)
    assert bench.run([sys.executable, "-c", ""], 1) is None


def test_reading_is_measured(tmp_path, monkeypatch, capsys):
    def tiny(layers):
        return {f"layer{i}.weight": np.eye(8, 4, dtype=np.float32) + i for i in range(layers)}

    monkeypatch.setattr(bench_reading, "network", tiny)
    options = ["--files", "2", "--layers", "3", "--folder", str(tmp_path), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["bench_reading", *options])
    bench_reading.main()
    row = capsys.readouterr().out.splitlines()[-2].split(" | ")
    assert row[0] == "| 2 of 0 MB"
    disk, engine, both = map(float, row[1:4])
    assert row[4] == ("engine" if engine < disk else "disk") or engine == disk
    assert float(row[5]) > 0
    assert both >= 0
    assert list(tmp_path.iterdir()) == []


def test_its_network_is_as_large_as_bert_base():
    parameters = sum(array.size for array in bench_reading.network(1).values())
    layer = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 768 + 3072
    assert parameters == 30522 * 768 + layer
    # BERT-base has 110 million parameters, positions and layer norms included.
    assert 108e6 < 30522 * 768 + 12 * layer < 110e6
    assert Path(bench_reading.__file__).name == "bench_reading.py"

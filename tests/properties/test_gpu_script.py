"""`make gpu`, as far as a CPU can run it: all parts at toy size, and what becomes of lost ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.gpu.__main__ import PARTS, main
from benchmarks.gpu.checks import Part, lines

from tests.support.project import ROOT

# What only a GPU can show.
ON_GPUS = {
    "synchronisation": 2,
    "resnet": 1,
    "modular_addition": 2,
    "memory": 1,
    "profiling": 1,
}


def gpu(out: Path, *arguments: str) -> tuple[int, str, dict[str, dict[str, Any]]]:
    """The exit status, what is printed, and the line of each part."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--toy", "--out", str(out), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=1500,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr, {x["part"]: x for x in lines(out)}


def test_all_parts_run_at_toy_size_on_a_cpu(tmp_path: Path) -> None:
    status, told, found = gpu(tmp_path, "--device", "cpu", "--seconds", "1200")
    log = (tmp_path / "log.txt").read_text()
    assert list(found) == list(PARTS), log
    for name, line in found.items():
        skipped = [check for check in line["checks"] if check["verdict"] == "SKIPPED"]
        others = [check for check in line["checks"] if check["verdict"] != "SKIPPED"]
        assert len(skipped) == ON_GPUS.get(name, 0), told
        assert line["verdict"] == ("SKIPPED" if skipped else "PASS"), told + log
        assert all(check["control_found"] for check in others)
        assert others or name in ("synchronisation", "profiling")
    assert status == 2  # none failed, and what is skipped has not passed
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [
        "environment.json", "gpu.jsonl", "log.txt", "modular_addition_log.parquet",
        "modular_addition_metrics.parquet", "profile.txt",
    ]  # fmt: skip
    about = json.loads((tmp_path / "environment.json").read_text())
    assert found["environment"]["numbers"]["code"] == about["code"]["train"]


def test_a_part_that_breaks_fails_and_the_next_one_runs(tmp_path: Path) -> None:
    status, told, found = gpu(tmp_path, "--device", "nonsense", "synchronisation", "perceptrons")
    assert status == 1
    assert found["synchronisation"]["verdict"] == "SKIPPED"
    assert found["perceptrons"]["verdict"] == "FAIL"
    assert "log.txt says more" in found["perceptrons"]["why"]
    assert "nonsense" in (tmp_path / "log.txt").read_text()
    assert "FAIL" in told


def test_a_part_that_takes_too_long_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "correctness", 0.05)
    monkeypatch.chdir(ROOT)
    call = ["gpu", "--toy", "--device", "cpu", "--out", str(tmp_path), "correctness"]
    monkeypatch.setattr(sys, "argv", call)
    assert main() == 1
    (line,) = lines(tmp_path)
    assert line["verdict"] == "FAIL"
    assert "took longer than 0 s" in line["why"]


def test_what_no_longer_fits_is_skipped(tmp_path: Path) -> None:
    status, _, found = gpu(tmp_path, "--device", "cpu", "--seconds", "5", "memory")
    assert status == 2
    assert found["memory"]["verdict"] == "SKIPPED"
    assert found["memory"]["why"] == "no time is left"


def test_there_is_no_such_part(tmp_path: Path) -> None:
    status, told, _ = gpu(tmp_path, "nothing")
    assert status == 2
    assert "there is no part nothing" in told


def part(tmp_path: Path) -> Part:
    return Part("x", "cpu", True, tmp_path, 10)


@pytest.mark.parametrize(
    ("value", "control", "verdict"),
    [
        (0.5, 2.0, "PASS"),
        (1.5, 2.0, "FAIL"),
        (float("nan"), 2.0, "FAIL"),
        (0.5, 0.9, "FAIL"),  # the planted fault is not found
        (0.5, float("nan"), "PASS"),
    ],
)
def test_a_check_passes_if_its_control_fails(
    value: float, control: float, verdict: str, tmp_path: Path
) -> None:
    below, above = part(tmp_path), part(tmp_path)
    below.at_most("a", value, 1.0, control=control)
    above.at_least("a", -value, -1.0, control=-control)
    assert below.line()["verdict"] == above.line()["verdict"] == verdict


def test_a_part_with_a_check_that_is_skipped_has_not_passed(tmp_path: Path) -> None:
    one = part(tmp_path)
    one.holds("a", True, control=False)
    assert one.line()["verdict"] == "PASS"
    one.skip("b", "no GPU")
    assert one.line()["verdict"] == "SKIPPED"
    one.holds("c", False, control=False)
    assert one.line()["verdict"] == "FAIL"
    assert part(tmp_path).line()["verdict"] == "SKIPPED"  # nothing was checked

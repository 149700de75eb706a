"""Measuring a run: unreadable checkpoints, distances, choice of columns, memory, Ctrl-C."""

import json
import logging
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.checkpoint_forms import FORMS, network, twin_of_distance, write
from training_maps import _rust_metrics
from training_maps.cli import main
from training_maps.metrics.compute import run_metrics
from training_maps.metrics.definitions import (
    METRIC_COLUMNS,
)
from training_maps.runs.checkpoints import Checkpoint, Run, file_state, write_manifest
from training_maps.runs.formats import check_files
from training_maps.utils.errors import InputError, UnreadableCheckpoint
from training_maps.utils.files import table_metadata

DISTANCES = ("distance_from_start", "distance_from_previous")


def write_run(folder, networks, form="safetensors"):
    """A run of networks at steps 0, 10, 20, ...; return its manifest and the checkpoints' paths."""
    paths = [write(folder / f"{i}", form, tensors) for i, tensors in enumerate(networks)]
    checkpoints = [Checkpoint(10 * i, None, path) for i, path in enumerate(paths)]
    write_manifest(Run(3, tuple(checkpoints)), folder / "checkpoints.json")
    return folder / "checkpoints.json", paths


def spoil(path, how):
    """Make a checkpoint of one file unreadable."""
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(b"\xff" * 50)


@pytest.mark.parametrize("how", ["missing", "truncated", "empty", "noise"])
@pytest.mark.parametrize("form", ["safetensors", "torch", "torch, old format"])
def test_unreadable_checkpoints_are_left_out_by_policy(tmp_path, caplog, form, how):
    networks = [network(seed) for seed in range(5)]
    manifest, paths = write_run(tmp_path, networks, form)
    whole = run_metrics(manifest)
    spoil(paths[1], how)
    spoil(paths[3], how)
    with pytest.raises(UnreadableCheckpoint, match=rf"^seed 3, step 10: .*{paths[1].name}"):
        run_metrics(manifest)
    table = run_metrics(manifest, unreadable="skip")
    expected = whole.iloc[[0, 2, 4]].reset_index(drop=True)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    assert [row["step"] for row in table.attrs["unreadable"]] == [10, 30]
    assert all(paths[1].name in row["reason"] for row in table.attrs["unreadable"])
    assert "seed 3, step 10: " in caplog.text


def test_what_counts_is_decided_on_the_first_checkpoint_that_can_be_read(tmp_path):
    manifest, paths = write_run(tmp_path, [network(seed) for seed in range(4)])
    whole = run_metrics(manifest)
    spoil(paths[0], "noise")
    table = run_metrics(manifest, unreadable="skip", columns=["paper", *DISTANCES])
    columns = ["step", *METRIC_COLUMNS]
    pd.testing.assert_frame_equal(
        table[columns], whole[1:].reset_index(drop=True), check_exact=True
    )
    assert table[list(DISTANCES)].iloc[0].tolist() == [0, 0]


def test_a_run_that_cannot_be_read_at_all_is_an_error(tmp_path):
    manifest, paths = write_run(tmp_path, [network(seed) for seed in range(3)])
    for path in paths:
        spoil(path, "empty")
    with pytest.raises(InputError, match=r"^seed 3: none of its 3 checkpoints .*; step 0: .*0 byt"):
        run_metrics(manifest, unreadable="skip")


def test_another_network_is_no_matter_of_reading(tmp_path):
    manifest, _ = write_run(tmp_path, [network(0), {"hidden.weight": torch.ones(6, 4)}])
    with pytest.raises(InputError, match=r"step 10: .*'output.weight' is missing") as caught:
        run_metrics(manifest, unreadable="skip")
    assert not isinstance(caught.value, UnreadableCheckpoint)


def test_a_run_may_be_both_unreadable_and_not_finite(tmp_path):
    networks = [network(seed) for seed in range(5)]
    networks[3]["output.weight"][0, 0] = float("nan")
    manifest, paths = write_run(tmp_path, networks)
    for spoilt in (1, 4):  # the last one is behind the end, and does not matter
        spoil(paths[spoilt], "truncated")
    table = run_metrics(manifest, unreadable="skip", non_finite="cut")
    assert table["step"].tolist() == [0, 20]
    assert table.attrs["non_finite"] == {"step": 30, "tensor": "output.weight"}
    assert [row["step"] for row in table.attrs["unreadable"]] == [10]


def test_unknown_policies_are_refused(tmp_path):
    manifest, _ = write_run(tmp_path, [network(0)])
    with pytest.raises(InputError, match="unreadable: 'ignore' is not one of stop, skip"):
        run_metrics(manifest, unreadable="ignore")


@pytest.mark.parametrize("change", ["size", "time"])
def test_files_without_a_digest_are_compared_by_size_and_time(tmp_path, change):
    path = write(tmp_path, "torch", network(0))
    run = Run(3, (Checkpoint(0, None, path, None, *file_state(path)),))
    assert check_files(run, 1) == {}
    before = path.stat()
    if change == "size":
        path.write_bytes(path.read_bytes() + b"\0")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert check_files(run, None) == {}
    assert "has changed since the manifest was written" in check_files(run, 1)[0]


@pytest.mark.parametrize("form", FORMS)
def test_distances_against_the_twin(tmp_path, form):
    networks = [network(seed) for seed in range(6)]
    manifest, _ = write_run(tmp_path, networks, form)
    for columns in (DISTANCES, DISTANCES[:1], DISTANCES[1:]):
        table = run_metrics(manifest, columns=columns, threads=2)
        assert list(table) == ["step", *columns]
        for i, row in table.iterrows():
            of = {DISTANCES[0]: networks[0], DISTANCES[1]: networks[max(i - 1, 0)]}
            for column in columns:
                expected = twin_of_distance(networks[i], of[column])
                assert row[column] == pytest.approx(expected, rel=1e-14)
    assert run_metrics(manifest, columns=DISTANCES).iloc[0, 1:].tolist() == [0, 0]


def test_distances_do_not_depend_on_threads_or_on_how_many_are_measured_at_a_time(tmp_path):
    values = torch.Generator().manual_seed(0)
    networks = [{"w": torch.randn(1200, 1100, generator=values)} for _ in range(9)]
    networks.append({"w": networks[0]["w"].to(torch.bfloat16)})
    manifest, _ = write_run(tmp_path, networks)
    reference = run_metrics(manifest, columns=DISTANCES, threads=1)
    for threads in (2, 3, 16):
        table = run_metrics(manifest, columns=DISTANCES, threads=threads)
        pd.testing.assert_frame_equal(table, reference, check_exact=True)
    a, b = (tensors["w"].double().numpy() for tensors in (networks[0], networks[9]))
    assert reference["distance_from_start"].iloc[9] == pytest.approx(
        np.linalg.norm(a - b), rel=1e-13
    )


def test_distances_that_leave_the_range(tmp_path):
    networks = [{"w": torch.full((2, 2), x, dtype=torch.float64)} for x in (1e-170, 3e-170)]
    manifest, _ = write_run(tmp_path, networks)
    table = run_metrics(manifest, columns=["distance_from_start"])
    assert table["distance_from_start"].iloc[1] == pytest.approx(4e-170, rel=1e-12)


def test_pairs_that_do_not_exist_are_refused(tmp_path):
    path = str(write(tmp_path, "safetensors", network(0)))
    spec = [("hidden.weight", 1, 6, 4)]
    with pytest.raises(ValueError, match="pairs: there are 1 checkpoints"):
        _rust_metrics.distances([(path, [path])], [(0, 1)], spec, 1)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("F32", np.ones((6, 4))), "'w' is no NumPy array of its type; expected float32"),
        (("BF16", np.ones((6, 4), np.float16)), "expected the bits as uint16"),
        (("F32", [1.0, 2.0]), "'w' is no NumPy array"),
        (("F64", np.ones((4, 6)).T), "'w' is not aligned in memory, or not in C order"),
        (("I64", np.ones((6, 4), int)), "'w' has dtype I64; expected F64, F32, F16 or BF16"),
    ],
)
def test_arrays_that_are_not_what_they_are_said_to_be(entry, message):
    with pytest.raises((TypeError, ValueError), match=message):
        _rust_metrics.run_metrics([(None, {"w": entry})], [("w", 1, 6, 4)], [], 1)


def test_the_command(tmp_path, capsys):
    networks = [network(seed) for seed in range(4)]
    manifest, paths = write_run(tmp_path, networks)
    wrapped = {"weights": load_file(paths[1]), "other": network(7)}
    torch.save(wrapped, tmp_path / "x.ckpt")
    data = json.loads(manifest.read_text())
    data["checkpoints"][1]["file"] = "x.ckpt"
    manifest.write_text(json.dumps(data))
    spoil(paths[2], "truncated")
    output = tmp_path / "metrics.parquet"
    arguments = ["metrics", "--checkpoints", str(manifest), "--output", str(output)]
    arguments += ["--columns", "l2", "distance_from_start"]
    assert main(arguments) == 1
    assert "seed 3, step 10: " in (message := capsys.readouterr().err)
    assert "--state-dict-key" in message
    assert main([*arguments, "--state-dict-key", "weights"]) == 1
    assert "seed 3, step 20: " in capsys.readouterr().err
    assert main([*arguments, "--state-dict-key", "weights", "--unreadable", "skip"]) == 0
    assert "1 checkpoints could not be read" in capsys.readouterr().err
    table = pd.read_parquet(output)
    assert list(table) == ["step", "l2", "distance_from_start"]
    assert table["step"].tolist() == [0, 10, 30]
    (left_out,) = table_metadata(output)["unreadable"]
    assert left_out["step"] == 20


def test_progress_is_told_with_rate_and_time_left(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("training_maps.utils.progress.Progress.__init__.__defaults__", (0, 0.0))
    caplog.set_level(logging.INFO, "training_maps")
    manifest, _ = write_run(tmp_path, [network(seed) for seed in range(9)])
    run_metrics(manifest, threads=1)
    assert "metrics of seed 3: checkpoint 2 of 9, " in caplog.text
    assert " checkpoints/s, " in caplog.text
    assert " left" in caplog.text


MEMORY = """
import resource, sys
from training_maps.metrics.compute import run_metrics
run_metrics(sys.argv[1], threads=1, columns=["paper", "distance_from_previous"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_a_long_run_takes_no_more_memory_than_a_short_one(tmp_path, form):
    """Checkpoints of 4 MB: the long run has 400 MB of them, and may take 40 MB more at most."""
    values = torch.randn(100, 10_000)
    path = write(tmp_path / "one", form, {"w": values})
    found = []
    for n in (10, 100):
        folder = tmp_path / str(n)
        folder.mkdir()
        checkpoints = []
        for step in range(n):
            link = folder / f"{step}{path.suffix}"
            if step < 10:
                link.write_bytes(path.read_bytes())
            else:
                os.link(folder / f"{step % 10}{path.suffix}", link)
            checkpoints.append(Checkpoint(step, None, link))
        manifest = folder / "checkpoints.json"
        write_manifest(Run(0, tuple(checkpoints)), manifest)
        command = [sys.executable, "-c", MEMORY, str(manifest)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found.append(int(output) / 1024)
    short, long = found
    assert long - short < 40


INTERRUPTED = """
import sys
from training_maps.cli import main
print("ready", flush=True)
sys.exit(main(sys.argv[1:]))
"""


def interrupted_after(tmp_path, manifest, seconds=2.0):
    """Seconds that the command takes to end after Ctrl-C, sent once it is at work."""
    arguments = ["metrics", "--checkpoints", str(manifest), "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, *arguments, "--output", str(tmp_path / "x.parquet")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.readline()
    time.sleep(seconds)
    assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not (tmp_path / "x.parquet").exists()
    return time.monotonic() - start


@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_an_interrupt_stops_measuring_soon(tmp_path, form):
    path = write(tmp_path, form, {f"{i}.weight": torch.randn(400, 400) for i in range(4)})
    checkpoints = [Checkpoint(step, None, path) for step in range(5000)]
    write_manifest(Run(0, tuple(checkpoints)), tmp_path / "checkpoints.json")
    assert interrupted_after(tmp_path, tmp_path / "checkpoints.json", 6.0) < 2


def test_an_interrupt_does_not_wait_for_a_large_matrix(tmp_path):
    path = write(tmp_path, "safetensors", {"w": torch.randn(6000, 6000)})
    write_manifest(Run(0, (Checkpoint(0, None, path),)), tmp_path / "checkpoints.json")
    assert interrupted_after(tmp_path, tmp_path / "checkpoints.json", 5.0) < 2


def test_an_interrupt_stops_checking_digests_soon(tmp_path):
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: takes hours to read, and no place on disk
    checkpoints = [Checkpoint(step, None, path, "0" * 64) for step in range(3)]
    write_manifest(Run(0, tuple(checkpoints)), tmp_path / "checkpoints.json")
    assert interrupted_after(tmp_path, tmp_path / "checkpoints.json") < 2


def test_a_file_that_is_written_to_meanwhile_is_told(tmp_path):
    """Of a file that is mapped, by its time of last change."""
    path = tmp_path / "x.safetensors"
    save_file({f"{i}.weight": torch.randn(700, 700) for i in range(8)}, path)
    write_manifest(Run(0, (Checkpoint(0, None, path),)), tmp_path / "checkpoints.json")
    code = (
        "import os, sys, time\n"
        "for _ in range(2000):\n"
        "    os.utime(sys.argv[1])\n"
        "    time.sleep(0.005)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)])
    try:
        time.sleep(0.5)
        with pytest.raises(UnreadableCheckpoint, match="changed while it was read"):
            run_metrics(tmp_path / "checkpoints.json", threads=1)
    finally:
        writer.kill()
        writer.wait()

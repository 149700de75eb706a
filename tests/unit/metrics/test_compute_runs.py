"""The metrics of a run's files: reading, manifests, policies, threads, and the command."""

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from tests.support.metrics_twin import assert_close, twin
from tests.support.small_runs import STEPS, checkpoint_file, diverge, network, write_run
from training_maps import _rust_metrics
from training_maps.metrics.compute import run_metrics
from training_maps.metrics.definitions import BIAS_COLUMNS, METRIC_COLUMNS
from training_maps.utils.errors import InputError


def expected(tensors):
    weights = [tensors["hidden.weight"], tensors["output.weight"]]
    return twin(weights, [tensors["hidden.bias"], tensors["output.bias"]])


@pytest.fixture
def manifest(tmp_path):
    return write_run(tmp_path, {step: network(step) for step in STEPS})


@pytest.mark.parametrize("threads", [1, 2, 7, None])
def test_a_run_is_its_checkpoints_in_order(manifest, threads):
    table = run_metrics(manifest, threads=threads)
    assert tuple(table.columns) == ("step", *METRIC_COLUMNS)
    assert table["step"].tolist() == list(STEPS)
    for step, row in table.set_index("step").iterrows():
        assert_close(dict(row), expected(network(step)))
    assert "non_finite" not in table.attrs


def test_a_folder_will_do_as_well(manifest):
    table = run_metrics(manifest)
    pd.testing.assert_frame_equal(run_metrics(manifest.parent), table)
    pd.testing.assert_frame_equal(run_metrics(manifest.parent / "checkpoints"), table)
    manifest.unlink()
    pd.testing.assert_frame_equal(run_metrics(str(manifest.parent / "checkpoints")), table)


def test_the_manifest_says_what_the_run_is(manifest):
    stray = checkpoint_file(manifest, 7)
    save_file(network(7), stray)
    assert run_metrics(manifest.parent / "checkpoints")["step"].tolist() == list(STEPS)
    manifest.unlink()
    assert run_metrics(manifest.parent / "checkpoints")["step"].tolist() == sorted((*STEPS, 7))


def test_steps_are_sorted_as_numbers(tmp_path):
    for step in (9, 10, 2):
        save_file(network(step), tmp_path / f"step-{step}.safetensors")
    assert run_metrics(tmp_path)["step"].tolist() == [2, 9, 10]


def test_threads_do_not_change_a_bit(tmp_path):
    """More and fewer checkpoints than threads are spread differently; sums stay the same."""
    rng = np.random.default_rng(0)
    for step in range(9):
        weights = {f"{i}.weight": rng.normal(size=(40 + i, 500)) for i in range(9)}
        save_file(
            {**weights, "0.bias": rng.normal(size=9000)}, tmp_path / f"step-{step}.safetensors"
        )
    reference = run_metrics(tmp_path, threads=1)
    for threads in (2, 3, 4, 5, 16):
        pd.testing.assert_frame_equal(
            run_metrics(tmp_path, threads=threads), reference, check_exact=True
        )


def raw_safetensors(path, tensors, padding=0):
    """Write (dtype, shape, bytes) by name; `padding` spaces after the header shift the data."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode() + b" " * padding
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize("padding", range(8))
def test_values_at_any_alignment(tmp_path, padding):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(6, 7)), rng.normal(size=(5, 4)).astype(np.float32)
    raw_safetensors(
        tmp_path / "step-0.safetensors",
        {
            "flag": ("U8", [1], b"\1"),
            "a": ("F64", [6, 7], a.tobytes()),
            "b.weight": ("F32", [5, 4], b.tobytes()),
        },
        padding,
    )
    (row,) = run_metrics(tmp_path).drop(columns="step").to_dict("records")
    assert_close(row, twin([a, b]))


@pytest.mark.parametrize("large", [False, True])
def test_half_precision_is_read_exactly(tmp_path, large):
    shape = (400, 500) if large else (20, 10)  # a large one takes the counting median
    values = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    brain = (values.view(np.uint32) >> 16).astype(np.uint16)
    as_brain = (brain.astype(np.uint32) << 16).view(np.float32)
    half = values.astype(np.float16)
    for dtype, content, exact in (("BF16", brain, as_brain), ("F16", half, half)):
        raw_safetensors(
            tmp_path / "step-0.safetensors", {"w": (dtype, list(shape), content.tobytes())}
        )
        (row,) = run_metrics(tmp_path).drop(columns="step").to_dict("records")
        assert_close(row, twin([exact.astype(np.float64)]))


def test_without_biases_their_columns_are_absent(tmp_path):
    save_file({"w": np.eye(3)}, tmp_path / "step-0.safetensors")
    assert list(run_metrics(tmp_path)) == [
        "step",
        *(c for c in METRIC_COLUMNS if c not in BIAS_COLUMNS),
    ]


def test_heads_are_matrices_of_their_own(tmp_path):
    heads = np.random.default_rng(3).normal(size=(4, 6, 9))
    save_file({"query.weight": heads}, tmp_path / "step-0.safetensors")
    (row,) = run_metrics(tmp_path).drop(columns="step").to_dict("records")
    assert_close(row, twin([heads]))


def test_a_non_finite_weight_stops_with_its_place(manifest):
    diverge(manifest, 10, 1000)
    message = r"seed 3, step 10: .*'output.weight' holds NaN at index \[0, 29\]"
    with pytest.raises(InputError, match=message):
        run_metrics(manifest)


@pytest.mark.parametrize("policy", ["drop", "cut"])
def test_a_non_finite_weight_ends_the_table(manifest, policy):
    whole = run_metrics(manifest)
    diverge(manifest, 10, 1000)
    table = run_metrics(manifest, non_finite=policy)
    assert table.attrs["non_finite"] == {"step": 10, "tensor": "output.weight"}
    pd.testing.assert_frame_equal(table, whole[:2], check_exact=True)


def test_a_non_finite_bias_counts_and_a_tensor_left_out_does_not(manifest):
    diverge(manifest, 100, tensor="norm.weight")
    assert len(run_metrics(manifest)) == len(STEPS)
    diverge(manifest, 0, tensor="hidden.bias")
    table = run_metrics(manifest, non_finite="cut")
    assert table.attrs["non_finite"] == {"step": 0, "tensor": "hidden.bias"}
    assert table.empty
    assert tuple(table) == ("step", *METRIC_COLUMNS)


def test_an_unknown_policy_is_refused(manifest):
    with pytest.raises(InputError, match="'ignore' is not one of stop, drop, cut"):
        run_metrics(manifest, non_finite="ignore")


def test_a_missing_file_is_named(manifest):
    checkpoint_file(manifest, 100).unlink()
    with pytest.raises(InputError, match=r"seed 3, step 100: .*step-000100.safetensors is missing"):
        run_metrics(manifest)


def test_a_file_that_is_not_the_manifests_is_named(manifest):
    save_file(network(11), checkpoint_file(manifest, 10))
    with pytest.raises(InputError, match=r"seed 3, step 10: .*step-000010.*SHA-256"):
        run_metrics(manifest)
    table = run_metrics(manifest, verify=False).set_index("step")
    assert_close(dict(table.loc[10]), expected(network(11)))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("verify", [True, False])
def test_a_truncated_file_is_named(manifest, step, verify):
    path = checkpoint_file(manifest, step)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"seed 3, step {step}: .*{path.name}.* truncated"):
        run_metrics(manifest, verify=verify)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\0",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 50_000_000) + b"{}",
        struct.pack("<Q", 5) + b"[1,2]",
        struct.pack("<Q", 2) + b"\xff\xff",
        b"PK\3\4 a zip file of another format",
    ],
)
def test_what_is_no_safetensors_file(tmp_path, content):
    path = tmp_path / "step-7.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"^step 7: .*step-7.safetensors: is not a whole safetensors"
    ):
        run_metrics(tmp_path)


@pytest.mark.parametrize("offsets", [[0, 2**63], [8, 72], [-8, 64], [64, 0], [0, 63]], ids=str)
def test_headers_that_lie_about_offsets(tmp_path, offsets):
    header = {"w": {"dtype": "F64", "shape": [2, 4], "data_offsets": offsets}}
    text = json.dumps(header).encode()
    path = tmp_path / "step-0.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(64))
    with pytest.raises(InputError, match="is not a whole safetensors file"):
        run_metrics(tmp_path)


def test_every_checkpoint_has_the_first_ones_tensors(tmp_path):
    first = {"w": np.eye(3), "v.bias": np.ones(2)}
    save_file(first, tmp_path / "step-0.safetensors")
    for changed, message in (
        ({"w": np.eye(3)}, r"^step 1: .*step-1.safetensors: tensor 'v.bias' is missing"),
        ({**first, "w": np.eye(4)}, r"tensor 'w' has shape \[4, 4\]; expected 1 x 3 x 3"),
        ({**first, "w": np.eye(3, dtype=int)}, "tensor 'w' has dtype I64; expected F64, F32"),
    ):
        save_file(changed, tmp_path / "step-1.safetensors")
        with pytest.raises(InputError, match=message):
            run_metrics(tmp_path)


def test_no_weight_matrix_at_all(tmp_path):
    save_file({"wte.weight": np.eye(3)}, tmp_path / "step-0.safetensors")
    with pytest.raises(InputError, match=r"step-0.safetensors: no weight matrix .*wte.weight"):
        run_metrics(tmp_path)


def test_a_tensor_is_not_counted_twice(manifest):
    path = str(checkpoint_file(manifest, 0))
    spec = ("output.weight", 1, 1, 30)
    for matrices, biases in (([spec, spec], []), ([spec], ["output.weight"]), ([], [])):
        with pytest.raises(ValueError, match=r"given twice|no weight matrix"):
            _rust_metrics.run_metrics([(path, [path])], matrices, biases, 1)


def write_large_run(folder, n_checkpoints=6):
    rng = np.random.default_rng(4)
    for step in range(n_checkpoints):
        tensors = {f"{i}.weight": rng.normal(size=(400, 400)) for i in range(4)}
        save_file(tensors, folder / f"step-{step}.safetensors")


def test_a_forked_process_measures_too(manifest):
    """Threads are kept from call to call; those of the parent are not in the child."""
    expected = run_metrics(manifest, threads=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads at all
        with get_context("fork").Pool(1) as pool:
            found = pool.apply_async(run_metrics, (manifest,), {"threads": 2}).get(timeout=60)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    pd.testing.assert_frame_equal(run_metrics(manifest, threads=2), expected, check_exact=True)


def test_several_python_threads_measure_at_once(manifest):
    expected = run_metrics(manifest, threads=1)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: run_metrics(manifest, threads=1 + n % 2), range(12)))
    for table in found:
        pd.testing.assert_frame_equal(table, expected, check_exact=True)


def test_other_python_threads_go_on_meanwhile(tmp_path):
    write_large_run(tmp_path)
    done = threading.Event()
    ticks = 0

    def tick():
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    selection = [(f"{i}.weight", 1, 400, 400) for i in range(4)]
    sources = [(None, [str(path)]) for path in sorted(tmp_path.iterdir())]
    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    before = ticks
    _rust_metrics.run_metrics(sources, selection, [], 1)
    during = ticks - before
    done.set()
    thread.join()
    assert during > 20


def test_an_interrupt_stops_it_soon(tmp_path):
    write_large_run(tmp_path, 2)
    code = (
        "import signal, sys; from training_maps import _rust_metrics as r\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it\n"
        "print('ready', flush=True)\n"
        "spec = [(f'{i}.weight', 1, 400, 400) for i in range(4)]\n"
        "r.run_metrics([(None, [path]) for path in sys.argv[1:]] * 2000, spec, [], 1)\n"
    )
    paths = [str(path) for path in tmp_path.iterdir()]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *paths], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)  # all of it takes minutes
    assert b"KeyboardInterrupt" in errors


def test_tensors_are_listed_by_name(manifest):
    listed = _rust_metrics.tensors([str(checkpoint_file(manifest, 0))])
    assert [name for name, _, _ in listed] == sorted(network(0))
    assert ("hidden.weight", "F32", [30, 20]) in listed
    assert ("steps", "I64", [1]) in listed
    with pytest.raises(OSError, match="cannot be read"):
        _rust_metrics.tensors([os.devnull + "/none"])

"""Runs on the hub: the metrics of their files on disk, with little disk, whatever goes wrong."""

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from tests.support.small_models import save, small_model
from tests.support.stand_in_hub import stand_in_hub
from training_maps.cli import main
from training_maps.hub import measurement as hub_module
from training_maps.hub import prefetch
from training_maps.hub.measurement import MetricSettings, forget, measure_hub_run
from training_maps.hub.plan import HubRun
from training_maps.metrics.compute import layer_metrics, run_metrics
from training_maps.metrics.definitions import METRIC_COLUMNS
from training_maps.metrics.parameters import Overrides
from training_maps.runs.checkpoints import Checkpoint, Run, write_manifest
from training_maps.utils.errors import InputError
from training_maps.utils.files import table_metadata

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
LAYOUTS = ("safetensors", "sharded safetensors", "bin", "sharded bin")
STEPS = (0, 1, 2, 512, 1000)
RUN = HubRun(3, "me/net-{seed}", "step{step}", STEPS)


@pytest.fixture
def hub(monkeypatch):
    with stand_in_hub() as hub:
        hub.stand_in(monkeypatch)
        yield hub


def small_network(folder, seed, size=16):
    """A perceptron's file: quickly written, no torch needed."""
    rng = np.random.default_rng(seed)
    shapes = {"fc1.weight": (size, 8), "fc1.bias": (size,), "fc2.weight": (2, size)}
    folder.mkdir(parents=True)
    save_file(
        {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()},
        folder / "model.safetensors",
    )
    return folder


@pytest.fixture
def run_on_hub(hub, tmp_path):
    """The run `RUN`, on the hub; and its folders on disk, by step."""
    folders = {step: small_network(tmp_path / f"hub/{step}", step) for step in STEPS}
    for step, folder in folders.items():
        hub.add("me/net-3", f"step{step}", folder)
    return folders


def measured_locally(folders, tmp_path, **options):
    checkpoints = tuple(Checkpoint(step, None, folder) for step, folder in folders.items())
    write_manifest(Run(3, checkpoints), tmp_path / "local.json")
    return run_metrics(tmp_path / "local.json", **options)


def measure(tmp_path, settings=None, run=RUN):
    return measure_hub_run(
        run,
        tmp_path / "metrics.parquet",
        tmp_path / "scratch",
        settings or MetricSettings(),
        threads=1,
    )


def test_the_table_is_that_of_the_files_on_disk(run_on_hub, hub, tmp_path):
    table = measure(tmp_path)
    pd.testing.assert_frame_equal(table, measured_locally(run_on_hub, tmp_path), check_exact=True)
    assert table.attrs["commits"] == {str(s): hub.commit("me/net-3", f"step{s}") for s in STEPS}
    assert len(hub.downloads()) == len(STEPS)
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["bert", "gpt_neox"])
def test_every_layout_of_a_real_model(hub, tmp_path, kind, layout):
    run = HubRun(0, "me/{step}", "main", (0, 1))
    folders = {step: save(small_model(kind, step), tmp_path / str(step), layout) for step in (0, 1)}
    for step, folder in folders.items():
        hub.add(f"me/{step}", "main", folder)
    table = measure(tmp_path, run=run)
    plain = {s: save(small_model(kind, s), tmp_path / f"plain{s}") for s in (0, 1)}
    # Of the same weights in the simplest form: to the last digit, whatever form they came in.
    pd.testing.assert_frame_equal(table, measured_locally(plain, tmp_path), check_exact=True)
    assert not table.drop(columns="step").iloc[0].equals(table.drop(columns="step").iloc[1])


def test_never_more_than_two_checkpoints_are_on_disk(run_on_hub, monkeypatch, tmp_path):
    seen = []
    real = hub_module._measure

    def spy(run, step, downloads, *rest):
        downloads.get(step)
        if downloads._arriving is not None:
            downloads._arriving.join()  # the worst case: the next one is whole already
        files = list((tmp_path / "scratch").rglob("*.safetensors"))
        seen.append(sorted(int(file.parent.name.removeprefix("step-")) for file in files))
        real(run, step, downloads, *rest)

    monkeypatch.setattr(hub_module, "_measure", spy)
    measure(tmp_path)
    assert seen == [[0, 1], [1, 2], [2, 512], [512, 1000], [1000]]


def test_distances_between_checkpoints(run_on_hub, tmp_path):
    columns = ("paper", "distance_from_start", "distance_from_previous")
    table = measure(tmp_path, MetricSettings(columns))
    local = measured_locally(run_on_hub, tmp_path, columns=columns)
    pd.testing.assert_frame_equal(table, local, check_exact=True)
    assert (table["distance_from_start"][1:] > 0).all()
    only = measure(tmp_path, MetricSettings(("l2", "distance_from_previous")))
    assert list(only) == ["step", "l2", "distance_from_previous"]
    assert only["distance_from_previous"].tolist() == local["distance_from_previous"].tolist()


def test_distances_after_a_checkpoint_that_turned_up_late(run_on_hub, hub, tmp_path):
    """What came after it was compared with the one before it, and is measured again."""
    columns = ("distance_from_start", "distance_from_previous")
    late = hub.folders.pop(("me/net-3", "step2"))
    assert len(measure(tmp_path, MetricSettings(columns, unreadable="skip"))) == 4
    hub.add("me/net-3", "step2", late)
    table = measure(tmp_path, MetricSettings(columns))
    local = measured_locally(run_on_hub, tmp_path, columns=columns)
    pd.testing.assert_frame_equal(table, local, check_exact=True)


def test_patterns_say_what_counts(run_on_hub, tmp_path):
    overrides = Overrides(left_out=("fc2.*",))
    table = measure(tmp_path, MetricSettings(overrides=overrides))
    weights = {s: load_file(f / "model.safetensors")["fc1.weight"] for s, f in run_on_hub.items()}
    expected = [np.abs(w.astype(float)).sum() for w in weights.values()]
    assert table["l1"].to_numpy() == pytest.approx(expected, rel=1e-12)


class Killed(BaseException):
    """What is no error: the job is gone."""


def test_a_killed_job_goes_on_behind_what_is_finished(run_on_hub, hub, monkeypatch, tmp_path):
    real, fetched = hub_module._measure, []

    def killed_at_512(run, step, *rest):
        if step == 512:
            raise Killed
        real(run, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(hub_module, "_measure", killed_at_512)
        with pytest.raises(Killed):
            measure(tmp_path)
    for thread in threading.enumerate():  # what was arriving would be killed with its process
        if isinstance(thread, prefetch._Arriving):
            thread.join()
    hub.requests.clear()
    table = measure(tmp_path)
    fetched = {asked.rpartition("/resolve/")[2][:40] for asked in hub.downloads()}
    assert fetched <= {hub.commit("me/net-3", f"step{step}") for step in (512, 1000)}
    pd.testing.assert_frame_equal(table, measured_locally(run_on_hub, tmp_path), check_exact=True)
    assert set(table.attrs["commits"]) == {str(step) for step in STEPS}
    assert not (tmp_path / "scratch").exists()


def test_layers_are_those_of_the_files_on_disk(run_on_hub, hub, monkeypatch, tmp_path):
    """A job that was killed goes on with those that it had; without their table it begins anew."""
    options = {"settings": MetricSettings(("l1", "distance_from_previous")), "threads": 1}
    output, layers = tmp_path / "metrics.parquet", tmp_path / "layers.parquet"

    def measure_layers():
        return measure_hub_run(RUN, output, tmp_path / "scratch", layers=layers, **options)

    with monkeypatch.context() as patch:
        real = hub_module._measure

        def killed_at_512(run, step, *rest):
            if step == 512:
                raise Killed
            real(run, step, *rest)

        patch.setattr(hub_module, "_measure", killed_at_512)
        with pytest.raises(Killed):
            measure_layers()
    measure_layers()
    measured_locally(run_on_hub, tmp_path)
    expected = layer_metrics(tmp_path / "local.json").drop(columns="tail_exponent")
    found = pd.read_parquet(layers)
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False)
    hub.requests.clear()
    measure_layers()
    assert hub.downloads() == []
    (tmp_path / ".unfinished-metrics-layers.parquet").unlink()
    measure_layers()
    assert len(hub.downloads()) == len(STEPS)
    forget(output)
    assert not list(tmp_path.glob(".unfinished*"))


def test_what_is_finished_is_not_fetched_again(run_on_hub, hub, tmp_path):
    measure(tmp_path)
    hub.requests.clear()
    longer = HubRun(3, "me/net-{seed}", "step{step}", STEPS[:3])
    assert measure(tmp_path, run=longer)["step"].tolist() == [0, 1, 2]
    assert hub.requests == []
    forget(tmp_path / "metrics.parquet")
    assert [file.name for file in tmp_path.iterdir()] == ["hub"]


@pytest.mark.parametrize(
    "settings", [MetricSettings(("l1",)), MetricSettings(overrides=Overrides(left_out=("fc2.*",)))]
)
def test_other_settings_begin_anew(run_on_hub, hub, tmp_path, settings):
    measure(tmp_path)
    hub.requests.clear()
    table = measure(tmp_path, settings)
    assert len(hub.downloads()) == len(STEPS)
    assert len(table) == len(STEPS)


def test_a_broken_table_of_what_is_finished_is_begun_anew(run_on_hub, tmp_path):
    (tmp_path / ".unfinished-metrics.parquet").write_bytes(b"PAR1 and no more")
    assert len(measure(tmp_path)) == len(STEPS)


def test_a_checkpoint_of_another_network_is_refused(run_on_hub, hub, tmp_path):
    hub.add("me/net-3", "step2", small_network(tmp_path / "other", 0, size=5))
    with pytest.raises(InputError, match=r"seed 3, step 2: me/net-3, revision step2: has other"):
        measure(tmp_path)


def test_a_missing_revision_stops_or_is_left_out(run_on_hub, hub, tmp_path):
    del hub.folders["me/net-3", "step2"]
    with pytest.raises(InputError, match=r"seed 3, step 2: .*there is no such revision"):
        measure(tmp_path)
    hub.requests.clear()
    # Another policy, and a mirror of the hub: the rows that are there are as good.
    mirror = dataclasses.replace(RUN, endpoint=hub.endpoint)
    table = measure(tmp_path, MetricSettings(unreadable="skip"), mirror)
    assert table["step"].tolist() == [0, 1, 512, 1000]
    assert len(hub.downloads()) == 2
    (left_out,) = table.attrs["unreadable"]
    assert left_out["step"] == 2
    assert "there is no such revision" in left_out["reason"]


def test_a_corrupt_checkpoint_stops_or_is_left_out(run_on_hub, tmp_path):
    path = run_on_hub[512] / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"step-512.*model\.safetensors"):
        measure(tmp_path)
    table = measure(tmp_path, MetricSettings(unreadable="skip"))
    assert table["step"].tolist() == [0, 1, 2, 1000]
    assert [left["step"] for left in table.attrs["unreadable"]] == [512]


def test_nothing_at_all_is_an_error_whatever_the_policy(hub, tmp_path):
    with pytest.raises(InputError, match=r"none of the run's checkpoints; .*no such repository"):
        measure(tmp_path, MetricSettings(unreadable="skip"))


def test_a_run_that_diverges(run_on_hub, hub, tmp_path):
    path = run_on_hub[2] / "model.safetensors"
    tensors = load_file(path)
    tensors["fc1.weight"][0, 0] = np.nan
    save_file(tensors, path)
    with pytest.raises(InputError, match=r"seed 3, step 2: .*fc1.weight.*training diverged"):
        measure(tmp_path)
    table = measure(tmp_path, MetricSettings(non_finite="cut"))
    assert table["step"].tolist() == [0, 1]
    assert table.attrs["non_finite"] == {"step": 2, "tensor": "fc1.weight"}
    assert not any(hub.commit("me/net-3", "step1000") in asked for asked in hub.downloads())
    path.rename(run_on_hub[0] / "model.safetensors")
    (tmp_path / ".unfinished-metrics.parquet").unlink()
    table = measure(tmp_path, MetricSettings(non_finite="cut"))
    assert (len(table), list(table)) == (0, ["step", *METRIC_COLUMNS])


def arguments(hub, tmp_path, *more):
    return [
        "hub", "--repository", "me/net-{seed}", "--revision", "step{step}", "--steps",
        "0-2,512,1000", "--seed", "3", "--threads", "1", "--endpoint", hub.endpoint,
        "--scratch", str(tmp_path / "scratch"), "--output", str(tmp_path / "metrics.parquet"),
        "--log", str(tmp_path / "log"), *more,
    ]  # fmt: skip


def test_the_command(run_on_hub, hub, tmp_path):
    assert main(arguments(hub, tmp_path)) == 0
    table = pd.read_parquet(tmp_path / "metrics.parquet")
    assert list(table) == ["step", *METRIC_COLUMNS]
    pd.testing.assert_frame_equal(table, measured_locally(run_on_hub, tmp_path), check_exact=True)
    made_by = table_metadata(tmp_path / "metrics.parquet")
    assert (made_by["seed"], made_by["repository"]) == (3, "me/net-{seed}")
    assert made_by["commits"]["512"] == hub.commit("me/net-3", "step512")
    assert "seed 3: checkpoint 5 of 5, step 1000" in (tmp_path / "log").read_text()
    assert not (tmp_path / ".unfinished-metrics.parquet").exists()
    assert not (tmp_path / "scratch").exists()


def test_the_command_tells_in_one_line_what_is_wrong(hub, tmp_path):
    assert main(arguments(hub, tmp_path)) == 1
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert "seed 3, step 0: me/net-3, revision step0: there is no such repository" in line
    assert main(arguments(hub, tmp_path, "--preset", "multiberts")) == 1
    assert "hub.repository: the preset has its own" in (tmp_path / "log").read_text()
    assert not (tmp_path / "metrics.parquet").exists()


def steps_kept(unfinished: Path) -> list[int]:
    """The steps in a table that another process may replace at any moment.

    Its bytes are read at once: by its path, pyarrow opens a file once for its footer and once more
    for its pages, which are another table's if it was replaced in between.
    """
    return pd.read_parquet(io.BytesIO(unfinished.read_bytes()))["step"].tolist()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_command_that_ends_early_loses_nothing(run_on_hub, hub, tmp_path, number, status):
    """It is killed or interrupted while a checkpoint is on its way, and called once more."""
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "training_maps.cli", *arguments(hub, tmp_path)]
    hub.hold(hub.commit("me/net-3", "step512"))
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        unfinished = tmp_path / ".unfinished-metrics.parquet"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (
            unfinished.exists() and steps_kept(unfinished) == [0, 1, 2]
        ):
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
        process.send_signal(number)
        try:
            assert process.wait(timeout=10) == status
        finally:
            process.kill()
    hub.release()
    assert steps_kept(unfinished) == [0, 1, 2]
    hub.requests.clear()
    assert main(arguments(hub, tmp_path)) == 0
    asked = json.dumps(hub.downloads())
    assert not any(hub.commit("me/net-3", f"step{step}") in asked for step in (0, 1, 2))
    table = pd.read_parquet(tmp_path / "metrics.parquet")
    pd.testing.assert_frame_equal(table, measured_locally(run_on_hub, tmp_path), check_exact=True)
    assert not (tmp_path / "scratch").exists()


def test_an_analysis_need_not_import_the_download_code():
    code = "import sys, training_maps.hub.plan; print(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"huggingface_hub", "torch", "pandas"} & set(told)
    assert Path(hub_module.__file__).is_file()

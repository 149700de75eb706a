"""Runs followed on the disk: as they grow, half written, restarted, and warned of once."""

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from tests.support.placed_runs import METRICS, STEPS, metrics_of, small_reference
from tests.support.small_runs import network
from training_maps.hmm.observations import observations
from training_maps.metrics.compute import run_metrics
from training_maps.metrics.definitions import METRIC_COLUMNS
from training_maps.model_selection.fit import fit_hmm
from training_maps.placing.calibrate import Runs, reference_of
from training_maps.placing.new_runs import Reading
from training_maps.placing.place import NewRun, place_run
from training_maps.placing.watching import STATE, Watch
from training_maps.runs.journal import Journal, Line
from training_maps.utils.files import read_json


def table(shift=0.0):
    made = metrics_of(150, np.random.default_rng([9, 7]))
    made.loc[12:, "var_w"] += shift
    return made


@pytest.fixture
def said():
    return []


def watch_of(folder, pattern, said, reference=None, **settings):
    reference = reference or small_reference()
    return Watch(
        reference, [str(pattern)], Reading(reference.metrics), folder / "watched", say=said.append,
        **settings,
    )  # fmt: skip


def test_a_table_that_grows(tmp_path, said):
    file = tmp_path / "new.csv"
    watch = watch_of(tmp_path, file, said)
    assert not watch.look()
    assert not watch.look()
    assert said == [f"{file}: waiting: {file}: does not exist"]  # said once
    for n in (1, 2, 5, 5, len(STEPS)):
        table().iloc[:n].to_csv(file, index=False)
        watch.look()
    lines = [text for text in said if text.startswith("new: step")]
    assert [int(text.split()[2]) for text in lines] == STEPS.tolist()
    whole = place_run(small_reference(), NewRun("new", table()))
    pd.testing.assert_frame_equal(watch.placed["new"].table, whole.table)
    assert watch.finished()
    assert read_json(tmp_path / "watched" / "placed.json")[0]["step"] == STEPS[-1]
    assert "http-equiv" in (tmp_path / "watched" / "placed.html").read_text()


def test_a_line_cut_off_is_waited_for(tmp_path, said):
    file = tmp_path / "new.csv"
    table().iloc[:6].to_csv(file, index=False)
    watch = watch_of(tmp_path, file, said)
    assert watch.look()
    whole = file.read_text()
    file.write_text(whole + "60,5.1")
    watch.look()
    assert len(watch.placed["new"].table) == 6
    table().iloc[:7].to_csv(file, index=False)
    assert watch.look()
    assert len(watch.placed["new"].table) == 7


def test_a_recorder_s_folder_is_followed(tmp_path, said):
    journal = Journal(tmp_path / "run")
    watch = watch_of(tmp_path, tmp_path / "run", said)
    for row in table().iloc[:4].to_dict("records"):
        journal.append(Line(int(row["step"]), None, {name: row[name] for name in METRICS}))
        watch.look()
    journal.close()
    assert watch.placed["run"].table["step"].tolist() == STEPS[:4].tolist()


def test_a_warning_runs_a_command_once_also_after_a_restart(tmp_path, said):
    file = tmp_path / "new.csv"
    command = f'echo "$TRAINING_MAPS_RUN $TRAINING_MAPS_STEP" >> {tmp_path}/warned'
    for n in (8, 13, 16, len(STEPS)):
        table(0.6).iloc[:n].to_csv(file, index=False)
        watch_of(tmp_path, file, said, on_warning=command).look()
    assert (tmp_path / "warned").read_text() == "new 120\n"
    assert len([text for text in said if "From step 120 on it leaves" in text]) == 1
    # Nor is any checkpoint told of twice.
    lines = [text for text in said if text.startswith("new: step")]
    assert [int(text.split()[2]) for text in lines] == STEPS.tolist()
    assert read_json(tmp_path / "watched" / STATE)["warned"] == ["new"]


def test_a_command_that_fails_is_told_and_nothing_ends(tmp_path, said):
    table(0.6).to_csv(tmp_path / "new.csv", index=False)
    watch = watch_of(tmp_path, tmp_path / "new.csv", said, on_warning="exit 3")
    assert watch.look()
    assert "the command of --on-warning ended with 3" in said


def test_it_ends_with_the_runs_or_when_nothing_comes(tmp_path, said):
    file = tmp_path / "new.csv"
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds
        table().iloc[: min(3 + len(slept), 9)].to_csv(file, index=False)

    watch = watch_of(tmp_path, file, said, every=10.0)
    watch.follow(100.0, sleep, lambda: now[0])
    assert said[-1] == "nothing new for 2 minutes"
    assert len(watch.placed["new"].table) == 9
    assert set(slept) == {10.0}
    table().to_csv(file, index=False)
    watch.follow(100.0, lambda _: pytest.fail("it should have ended"), lambda: now[0])
    assert said[-1] == "all runs are at the map's last step"


def test_a_run_that_is_not_there_yet_is_waited_for(tmp_path, said):
    reference = small_reference()
    files = [str(tmp_path / name) for name in ("one.csv", "two.csv")]
    reading = Reading(reference.metrics)
    watch = Watch(reference, files, reading, tmp_path / "watched", say=said.append)
    for file in files:
        table().to_csv(file, index=False)
        watch.look()
        assert watch.finished() == (file == files[1])
    (tmp_path / "one.csv").unlink()
    watch.look()
    assert watch.finished()  # what was there and is at its end may go


def test_what_is_no_state_is_begun_anew(tmp_path, said):
    (tmp_path / "watched").mkdir()
    (tmp_path / "watched" / STATE).write_text("[1]")
    table().to_csv(tmp_path / "new.csv", index=False)
    assert watch_of(tmp_path, tmp_path / "new.csv", said).look()


def tensors(seed, step):
    size, draw = 1 + step / 50 + 0.02 * seed, np.random.default_rng([seed, step])
    return {
        name: (t * size + 0.05 * draw.normal(size=t.shape)).astype(t.dtype)
        if t.dtype.kind == "f"
        else t
        for name, t in network(seed).items()
    }


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A map of runs whose metrics are measured of checkpoints."""
    folder = tmp_path_factory.mktemp("networks")
    tables = {}
    for seed in range(8):
        (folder / f"{seed}").mkdir()
        for step in range(0, 120, 10):
            save_file(tensors(seed, step), folder / f"{seed}" / f"step-{step:03}.safetensors")
        tables[seed] = run_metrics(folder / f"{seed}")
    obs = observations(tables, scale="pooled")
    hmm = fit_hmm(obs, 2, restarts=1, random_state=0).hmm
    return reference_of(Runs.of(obs, tables), hmm, {"experiment": "networks"})


def save(folder, step, seed=20):
    folder.mkdir(exist_ok=True)
    save_file(tensors(seed, step), folder / f"{step}.safetensors")


class TestCheckpoints:
    def watch(self, tmp_path, networks, said):
        return watch_of(tmp_path, tmp_path / "run" / "{step}.safetensors", said, networks)

    def test_each_is_measured_once_when_it_is_whole_and_may_then_go(
        self, tmp_path, networks, said, monkeypatch
    ):
        from training_maps.placing import watching

        counted = []
        measured = watching.measured
        monkeypatch.setattr(
            watching, "measured",
            lambda name, run, *more: counted.append([c.step for c in run.checkpoints])
            or measured(name, run, *more),
        )  # fmt: skip
        watch = self.watch(tmp_path, networks, said)
        for step in (0, 10):
            save(tmp_path / "run", step)
        assert not watch.look()  # they may still be written
        assert watch.look()
        assert counted == [[0, 10]]
        (tmp_path / "run" / "0.safetensors").unlink()
        save(tmp_path / "run", 20)
        watch.look()
        again = self.watch(tmp_path, networks, said)  # a restart
        again.look()
        assert again.look()
        assert counted == [[0, 10], [20]]
        assert again.placed["run"].table["step"].tolist() == [0, 10, 20]
        files = {step: tensors(20, step) for step in (0, 10, 20)}
        (tmp_path / "all").mkdir()
        for step, one in files.items():
            save_file(one, tmp_path / "all" / f"step-{step}.safetensors")
        expected = place_run(networks, NewRun("run", run_metrics(tmp_path / "all")))
        pd.testing.assert_frame_equal(again.placed["run"].table, expected.table)

    def test_a_restart_does_not_end_before_all_runs_are_placed(self, tmp_path, networks, said):
        """One run is measured to its end, and the other not at all, when the watch is killed."""

        def watch():
            return watch_of(tmp_path, tmp_path / "{seed}" / "{step}.safetensors", said, networks)

        for step in range(0, 120, 10):
            save(tmp_path / "1", step)
        first = watch()
        first.look()
        first.look()
        assert first.finished()
        for step in range(0, 120, 10):
            save(tmp_path / "2", step, seed=21)
        again = watch()
        again.look()
        assert list(again.placed) == ["seed 1"]
        assert not again.finished()
        again.look()
        assert again.finished()
        assert list(again.placed) == ["seed 1", "seed 2"]

    def test_a_half_written_one_is_waited_for(self, tmp_path, networks, said):
        watch = self.watch(tmp_path, networks, said)
        for step in (0, 10, 20):
            save(tmp_path / "run", step)
        last = tmp_path / "run" / "20.safetensors"
        whole = last.read_bytes()
        last.write_bytes(whole[:300])
        watch.look()
        watch.look()
        assert watch.placed["run"].table["step"].tolist() == [0, 10]
        last.write_bytes(whole)
        watch.look()
        watch.look()
        assert watch.placed["run"].table["step"].tolist() == [0, 10, 20]

    def test_one_that_comes_late_takes_its_place(self, tmp_path, networks, said):
        watch = self.watch(tmp_path, networks, said)
        for step in (0, 20):
            save(tmp_path / "run", step)
        watch.look()
        watch.look()
        save(tmp_path / "run", 10)
        watch.look()
        watch.look()
        assert watch.placed["run"].table["step"].tolist() == [0, 10, 20]

    def test_many_runs_by_one_pattern(self, tmp_path, networks, said):
        for seed in (20, 21):
            for step in (0, 10, 20):
                save(tmp_path / f"run{seed}", step, seed)
        pattern = tmp_path / "run{seed}" / "{step}.safetensors"
        watch = watch_of(tmp_path, pattern, said, networks)
        watch.look()
        watch.look()
        assert sorted(watch.placed) == ["seed 20", "seed 21"]
        assert len(read_json(tmp_path / "watched" / "placed.json")) == 2

    def test_metrics_are_the_map_s(self, networks):
        assert set(networks.metrics) <= set(METRIC_COLUMNS)

"""A training that was killed goes on, and ends as if nothing had happened."""

import json
import multiprocessing
import random
import sys
import time

import pandas as pd
import pytest
import torch

from training_maps import cli
from training_maps.runs.checkpoints import read_manifest
from training_maps.training import resume
from training_maps.training.alone import Alone
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.side_by_side import SideBySide
from training_maps.training.tasks import make_task
from training_maps.utils.seeds import format_seeds

PARITIES = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "hidden_size": 16})
RECIPE = Recipe(
    "adamw", learning_rate=0.01, batch_size=20, length=25, checkpoint_every=4, unit="step"
)


@pytest.fixture(autouse=True)
def _save_often(monkeypatch):
    monkeypatch.setattr(resume, "SAVE_EVERY", 0.0)


def run(task, seeds, runs, recipe=RECIPE, **recording):
    train(task, "mnist", recipe, seeds, Recording(runs, **recording), device="cpu")


def killed_at(monkeypatch, kind, step, *arguments, **keywords):
    """Start a training and break it off in its `step`-th step."""
    calls = []
    original = kind.step

    def step_or_die(self, inputs, targets):
        calls.append(1)
        if len(calls) == step:
            raise KeyboardInterrupt
        original(self, inputs, targets)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "step", step_or_die)
        with pytest.raises(KeyboardInterrupt):
            run(*arguments, **keywords)
    return len(calls)


def outcome(runs, seed):
    """What is left of a run: its steps with digests, and its log."""
    manifest = read_manifest(runs / f"seed-{seed}" / "checkpoints.json")
    log = pd.read_parquet(runs / f"seed-{seed}" / "training_log.parquet")
    return [(c.step, c.sha256) for c in manifest.checkpoints], log


class WithDropout(type(PARITIES)):
    """A task whose networks draw while they train."""

    side_by_side = False

    def network(self):
        return torch.nn.Sequential(super().network(), torch.nn.Dropout(0.3))


def test_dropout_is_the_seeds_own(tmp_path, monkeypatch):
    task = WithDropout(n_bits=10, n_train=45, hidden_size=16)
    run(task, [3], tmp_path / "alone")
    expected, log = outcome(tmp_path / "alone", 3)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    run(task, [2, 3], tmp_path / "after another")
    assert torch.equal(torch.get_rng_state(), before)
    killed_at(monkeypatch, Alone, 9, task, [3], tmp_path / "killed")
    run(task, [3], tmp_path / "killed")
    for folder in ("after another", "killed"):
        found, found_log = outcome(tmp_path / folder, 3)
        assert found == expected
        pd.testing.assert_frame_equal(found_log, log, check_exact=True)
    assert outcome(tmp_path / "after another", 2)[0] != expected
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, inputs: inputs)
    run(task, [3], tmp_path / "without")
    assert outcome(tmp_path / "without", 3)[0] != expected  # dropout there was


@pytest.mark.parametrize("steps", [(1,), (5,), (6, 3), (22,), (12, 1, 9)])
@pytest.mark.parametrize("which", ["side by side", "alone"])
def test_a_killed_training_ends_in_the_same_run_to_the_bit(
    steps, which, lenet, tmp_path, monkeypatch
):
    task, kind = (PARITIES, SideBySide) if which == "side by side" else (lenet, Alone)
    run(task, [3], tmp_path / "undisturbed")
    for step in steps:
        killed_at(monkeypatch, kind, step, task, [3], tmp_path / "killed")
        assert not (tmp_path / "killed" / "seed-3").exists()
    run(task, [3], tmp_path / "killed")
    expected, log = outcome(tmp_path / "undisturbed", 3)
    found, found_log = outcome(tmp_path / "killed", 3)
    assert found == expected
    pd.testing.assert_frame_equal(found_log, log, check_exact=True)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["seed-3"]


def test_it_does_not_do_again_what_is_done(tmp_path, monkeypatch):
    killed_at(monkeypatch, SideBySide, 22, PARITIES, [0, 1], tmp_path)
    n_steps = killed_at(monkeypatch, SideBySide, 4, PARITIES, [0, 1], tmp_path)
    assert n_steps == 4  # steps 21 to 24, of 25
    run(PARITIES, [0, 1], tmp_path)


def test_a_training_killed_while_it_moves_its_runs_is_finished(tmp_path, monkeypatch):
    run(PARITIES, [0, 1], tmp_path / "undisturbed")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training_maps.training.records.write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            run(PARITIES, [0, 1], tmp_path / "killed")
    assert (tmp_path / "killed/seed-0/checkpoints").is_dir()
    assert not (tmp_path / "killed/seed-0/checkpoints.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr(SideBySide, "step", killed)  # nothing is left to train
        run(PARITIES, [0, 1], tmp_path / "killed")
    for seed in (0, 1):
        assert outcome(tmp_path / "killed", seed)[0] == outcome(tmp_path / "undisturbed", seed)[0]


@pytest.mark.parametrize("change", ["recipe", "seeds", "code", "broken", "checkpoint gone"])
def test_what_is_not_of_this_training_is_not_gone_on_from(change, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    killed_at(monkeypatch, SideBySide, 15, PARITIES, [0], tmp_path)
    recipe, seeds = RECIPE, [0]
    folder = tmp_path / ".unfinished-0"
    if change == "recipe":
        recipe = Recipe(
            "adamw", learning_rate=0.02, batch_size=20, length=25, checkpoint_every=4, unit="step"
        )
    elif change == "seeds":
        seeds = [0, 1]
    elif change == "code":
        monkeypatch.setattr("training_maps.training.loop.stage_digest", lambda *_, **__: "other")
    elif change == "broken":
        (folder / "state.pt").write_bytes(b"PK no such thing")
    else:
        (folder / "seed-0/checkpoints/step-000008.safetensors").unlink()
    run(PARITIES, seeds, tmp_path, recipe)
    run(PARITIES, seeds, tmp_path / "undisturbed", recipe)
    assert outcome(tmp_path, 0)[0] == outcome(tmp_path / "undisturbed", 0)[0]
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert change == "seeds" or "training starts from the beginning" in told
    assert "going on from" not in told


def test_metrics_from_memory_go_on_too(tmp_path, monkeypatch):
    columns = ("paper", "distance_from_previous", "distance_from_start")
    options = {"what": "metrics", "columns": columns}
    run(PARITIES, [3], tmp_path / "undisturbed", **options)
    killed_at(monkeypatch, SideBySide, 18, PARITIES, [3], tmp_path / "killed", **options)
    run(PARITIES, [3], tmp_path / "killed", **options)
    tables = [
        pd.read_parquet(tmp_path / which / "seed-3/metrics.parquet")
        for which in ("undisturbed", "killed")
    ]
    assert tables[0]["step"].tolist() == [0, 4, 8, 12, 16, 20, 24, 25]
    assert (tables[0]["distance_from_start"][1:] > 0).all()
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def command(*arguments):
    resume.SAVE_EVERY = 0.0
    sys.exit(cli.main(arguments))


def test_a_job_killed_at_random_moments_ends_as_if_nothing_had_happened(tmp_path):
    # Each job is a process of its own, of a server that has imported torch for all of them.
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__, "torch._dynamo"])
    log = tmp_path / "log"

    def job(runs):
        process = server.Process(
            target=command,
            args=("train", "--task", "sparse_parities", "--set", "hidden_size=32", "--recipe",
                  "length=250", "checkpoint_every=2", "--seeds", "5", "--device", "cpu",
                  "--threads", "1", "--runs", str(runs), "--log", str(log)),
        )  # fmt: skip
        process.start()
        return process

    undisturbed = job(tmp_path / "undisturbed")
    undisturbed.join()
    assert undisturbed.exitcode == 0, log.read_text()
    times = random.Random(0)
    state = tmp_path / "killed" / ".unfinished-5" / "state.pt"
    kills = 0
    while kills < 4:
        process = job(tmp_path / "killed")
        before = state.stat().st_mtime_ns if state.exists() else 0
        while process.is_alive() and not (state.exists() and state.stat().st_mtime_ns > before):
            time.sleep(0.005)  # training has begun to write
        time.sleep(times.uniform(0, 0.2))
        if not process.is_alive():
            break  # it was faster than that
        process.kill()
        process.join()
        kills += 1
    assert kills >= 1
    last = job(tmp_path / "killed")
    last.join()
    assert last.exitcode == 0, log.read_text()
    assert "going on from step" in log.read_text()
    expected, log = outcome(tmp_path / "undisturbed", 5)
    found, found_log = outcome(tmp_path / "killed", 5)
    assert found == expected
    pd.testing.assert_frame_equal(found_log, log, check_exact=True)


def test_working_folders_have_names_that_any_file_system_takes(tmp_path):
    assert resume.working_folder(tmp_path, "0-7,12").name == ".unfinished-0-7_12"
    odd = format_seeds(list(range(1, 2001, 2)))
    names = {resume.working_folder(tmp_path, seeds).name for seeds in (odd, odd + ",5000")}
    assert len(names) == 2
    assert all(len(name) < 100 for name in names)


IDENTITY = {"seeds": [0, 1], "recipe": {"length": 3}}


def test_what_is_saved_is_there_for_the_same_training_alone(tmp_path, caplog):
    caplog.set_level("INFO")
    assert resume.load(tmp_path, IDENTITY, "cpu") is None
    resume.save(tmp_path, IDENTITY, {"step": 4, "networks": {"w": torch.arange(3)}})
    found = resume.load(tmp_path, dict(reversed(IDENTITY.items())), "cpu")
    assert found["step"] == 4
    assert found["networks"]["w"].tolist() == [0, 1, 2]
    assert resume.load(tmp_path, IDENTITY | {"seeds": [0]}, "cpu") is None
    assert "training starts from the beginning" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]
    resume.clear(tmp_path)
    assert not tmp_path.exists()
    resume.clear(tmp_path)  # nothing is there to remove


def test_a_block_hands_what_it_has_to_its_parts(tmp_path):
    identity = {"recipe": {"length": 3}}
    state = {
        "step": 4,
        "networks": {"w": torch.arange(6.0).reshape(3, 2)},
        "noise": {"cpu": torch.arange(4)},
        "records": json.dumps(["of 0", "of 3", "of 7"]),
        "positions": json.dumps([{"at": seed} for seed in (0, 3, 7)]),
    }
    resume.save(tmp_path, identity | {"seeds": [0, 3, 7]}, state)
    (tmp_path / "seed-3").mkdir()
    assert resume.parts(tmp_path, identity) is None
    resume.split(tmp_path, identity, [0, 3, 7], [[0, 3], [7]])
    assert resume.parts(tmp_path, identity) == [[0, 3], [7]]
    assert resume.parts(tmp_path, {"recipe": {"length": 4}}) is None
    assert not (tmp_path / "state.pt").exists()
    own = resume.working_folder(tmp_path, "0,3")
    assert (own / "seed-3").is_dir()
    first = resume.load(own, identity | {"seeds": [0, 3]}, "cpu")
    assert first["networks"]["w"].tolist() == [[0, 1], [2, 3]]
    assert json.loads(first["records"]) == ["of 0", "of 3"]
    second = resume.load(resume.working_folder(tmp_path, "7"), identity | {"seeds": [7]}, "cpu")
    assert second["networks"]["w"].tolist() == [[4, 5]]
    assert json.loads(second["positions"]) == [{"at": 7}]
    assert second["step"] == 4
    assert second["noise"]["cpu"].tolist() == [0, 1, 2, 3]

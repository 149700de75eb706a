"""A block that does not fit into memory is split, and its parts go on with what was trained."""

import pandas as pd
import pytest
import torch

from training_maps.runs.checkpoints import read_manifest
from training_maps.training import resume
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.seed_blocks import halves
from training_maps.training.side_by_side import SideBySide
from training_maps.training.tasks import make_task
from training_maps.utils.errors import InputError

PARITIES = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "hidden_size": 16})
RECIPE = Recipe(
    "adamw", learning_rate=0.01, batch_size=20, length=25, checkpoint_every=4, unit="step"
)


SEEDS = [0, 1, 2, 5, 8]
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1.00 GiB"


@pytest.fixture(autouse=True)
def _save_often(monkeypatch):
    monkeypatch.setattr(resume, "SAVE_EVERY", 0.0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    runs = tmp_path_factory.mktemp("undisturbed")
    run(runs)
    return runs


def run(runs, seeds=SEEDS, **recording):
    train(PARITIES, "parities", RECIPE, seeds, Recording(runs, **recording), device="cpu")


class Memory:
    """Memory for the networks of `room` seeds, from the `start`-th step on; all steps are noted."""

    def __init__(self, monkeypatch, room, start=1, error=None):
        self.steps = []
        original = SideBySide.step

        def step(networks, inputs, targets):
            self.steps.append(len(inputs))
            if len(inputs) > room and len(self.steps) >= start:
                raise error or torch.OutOfMemoryError(FULL)
            original(networks, inputs, targets)

        monkeypatch.setattr(SideBySide, "step", step)


def same_runs(runs, undisturbed):
    """All seeds have the same checkpoints to the bit; losses may be rounded otherwise."""
    assert sorted(path.name for path in runs.iterdir()) == [f"seed-{seed}" for seed in SEEDS]
    for seed in SEEDS:
        found, expected = (
            read_manifest(folder / f"seed-{seed}" / "checkpoints.json")
            for folder in (runs, undisturbed)
        )
        assert [c.sha256 for c in found.checkpoints] == [c.sha256 for c in expected.checkpoints]
        assert found.settings == expected.settings
        logs = [
            pd.read_parquet(folder / f"seed-{seed}" / "training_log.parquet")
            for folder in (runs, undisturbed)
        ]
        # One network's matrix product is another routine than a batch of them.
        pd.testing.assert_frame_equal(*logs, rtol=1e-6)


@pytest.mark.parametrize(("room", "blocks"), [(3, [5, 3, 2]), (2, [5, 3, 2, 1, 2])])
def test_a_split_block_ends_in_the_same_runs_to_the_bit(
    room, blocks, undisturbed, tmp_path, monkeypatch, caplog
):
    memory = Memory(monkeypatch, room)
    run(tmp_path / "split")
    same_runs(tmp_path / "split", undisturbed)
    tried = [n for i, n in enumerate(memory.steps) if n > room or memory.steps[i - 1 : i] != [n]]
    assert [n for n in tried if n > room] == [n for n in blocks if n > room]
    assert len(memory.steps) == sum(25 if n <= room else 1 for n in blocks)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == sum(n > room for n in blocks)
    assert "seeds 0-2,5,8: not enough memory to train them side by side (CUDA out of" in told[0]
    assert "seeds 0-2 and 5,8 are trained one part after another" in told[0]


def test_parts_go_on_from_what_the_block_had_saved(undisturbed, tmp_path, monkeypatch):
    memory = Memory(monkeypatch, room=3, start=15)
    run(tmp_path / "split")
    same_runs(tmp_path / "split", undisturbed)
    # 14 steps together; the last checkpoint before that was at step 12.
    assert memory.steps == [5] * 15 + [3] * 13 + [2] * 13


@pytest.mark.parametrize("moment", ["in the second part", "while it moves its runs"])
def test_a_split_training_that_is_killed_goes_on_with_the_part_it_was_at(
    moment, undisturbed, tmp_path, monkeypatch
):
    def killed(*_):
        raise KeyboardInterrupt

    runs = tmp_path / "split"
    with monkeypatch.context() as patch:
        if moment == "in the second part":
            Memory(patch, room=3)
            original = SideBySide.step
            calls = []

            def step(networks, inputs, targets):
                calls.append(len(inputs))
                if calls.count(2) == 11:
                    raise KeyboardInterrupt
                original(networks, inputs, targets)

            patch.setattr(SideBySide, "step", step)
        else:
            Memory(patch, room=3)
            patch.setattr("training_maps.training.records.write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            run(runs)
    assert not list(runs.glob("seed-*/checkpoints.json"))
    memory = Memory(monkeypatch, room=5)  # enough by now, and yet nothing is done twice
    run(runs)
    same_runs(runs, undisturbed)
    assert memory.steps == ([2] * 17 if moment == "in the second part" else [])


def test_a_split_of_other_settings_is_not_gone_on_with(undisturbed, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        Memory(patch, room=3)
        patch.setattr("training_maps.training.loop.stage_digest", lambda *_, **__: "other")
        patch.setattr("training_maps.training.records.write_manifest", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path / "split")
    memory = Memory(monkeypatch, room=5)
    run(tmp_path / "split")
    same_runs(tmp_path / "split", undisturbed)
    assert memory.steps == [5] * 25


def test_metrics_in_memory_are_those_of_the_whole_block(tmp_path, monkeypatch):
    options = {"what": "metrics", "columns": ("paper", "distance_from_start")}
    run(tmp_path / "undisturbed", **options)
    Memory(monkeypatch, room=3, start=15)
    run(tmp_path / "split", **options)
    for seed in SEEDS:
        tables = [
            pd.read_parquet(tmp_path / which / f"seed-{seed}/metrics.parquet")
            for which in ("undisturbed", "split")
        ]
        pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_metrics_of_a_training_killed_at_its_very_end_are_written(tmp_path, monkeypatch):
    options = {"what": "metrics", "columns": ("paper", "distance_from_start")}
    run(tmp_path / "undisturbed", [3], **options)
    with monkeypatch.context() as patch:
        patch.setattr("training_maps.training.records.write_table", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path / "killed", [3], **options)
    memory = Memory(monkeypatch, room=1)
    run(tmp_path / "killed", [3], **options)
    assert memory.steps == []
    tables = [
        pd.read_parquet(tmp_path / which / "seed-3/metrics.parquet")
        for which in ("undisturbed", "killed")
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_one_seed_that_does_not_fit_is_said(tmp_path, monkeypatch):
    Memory(monkeypatch, room=0)
    with pytest.raises(InputError, match=r"seed 0: its network alone does not fit into memory \(C"):
        run(tmp_path, [0, 1])


def test_any_other_failure_splits_nothing(tmp_path, monkeypatch):
    memory = Memory(monkeypatch, room=0, error=RuntimeError("CUDA error: an illegal memory access"))
    with pytest.raises(RuntimeError, match="illegal"):
        run(tmp_path)
    assert memory.steps == [5]


def test_halves():
    assert halves([0, 1, 2, 5, 8]) == [[0, 1, 2], [5, 8]]
    assert halves([4, 7]) == [[4], [7]]

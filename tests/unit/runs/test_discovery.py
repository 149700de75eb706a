"""Finding checkpoints of one's own by a pattern of their paths."""

import itertools
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from training_maps import cli
from training_maps.metrics.compute import run_metrics
from training_maps.runs.checkpoints import file_state, read_manifest
from training_maps.runs.discovery import Pattern, find_runs, list_run, run_digest
from training_maps.utils.errors import InputError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(path))


def found(pattern, seed=None):
    """Seed, step and path, as text, of everything that the pattern finds."""
    return {
        (run, step): path.as_posix()
        for run, steps in find_runs(Pattern.read(pattern), seed).items()
        for step, path in steps.items()
    }


def digest(pattern, seed):
    return run_digest(find_runs(pattern)[seed])


LAYOUTS = {
    "runs/seed{seed}/ckpt_{step}.pt": "runs/seed{seed}/ckpt_{step}.pt",
    "flat/model_{seed}_{step}.safetensors": "flat/model_{seed}_{step}.safetensors",
    "flat/{step}-{seed}": "flat/{step}-{seed}",
    "hf/seed_{seed}/checkpoint-{step}/": "hf/seed_{seed}/checkpoint-{step}/model.safetensors",
    "hf/seed_{seed}/checkpoint-{step}/model.safetensors": (
        "hf/seed_{seed}/checkpoint-{step}/model.safetensors"
    ),
    "lit/version_{seed}/epoch=*-step={step}.ckpt": "lit/version_{seed}/epoch=9-step={step}.ckpt",
    "named/*_s{seed}/*_{step}.pt": "named/2023-11-02_s{seed}/net_a1_{step}.pt",
    "twice/seed{seed}/seed{seed}_step{step}.pt": "twice/seed{seed}/seed{seed}_step{step}.pt",
    "in/{seed}/[a+b]/x(1)_{step}.pt": "in/{seed}/[a+b]/x(1)_{step}.pt",
}


@pytest.mark.parametrize(("pattern", "file"), LAYOUTS.items())
@pytest.mark.parametrize("absolute", [False, True])
def test_layouts_are_read(here, pattern, file, absolute):
    numbers = list(itertools.product((0, 3, 12), (0, 5, 100, 2000)))
    touch(*(file.format(seed=seed, step=step) for seed, step in numbers))
    if absolute:
        pattern = f"{here}/{pattern}"
    assert set(found(pattern)) == set(numbers)
    assert set(found(pattern, 3)) == {(3, step) for step in (0, 5, 100, 2000)}
    for (seed, step), path in found(pattern).items():
        assert Path(path).exists()
        assert path.rstrip("/") in f"{here}/{file.format(seed=seed, step=step)}"


def test_steps_are_in_the_order_of_their_numbers(here):
    touch(*(f"run1/step_{step}" for step in ("9", "10", "0100", "2", "020")))
    (steps,) = find_runs(Pattern.read("run{seed}/step_{step}")).values()
    assert list(steps) == [2, 9, 10, 20, 100]
    assert [c.step for c in list_run(Pattern.read("run{seed}/step_{step}"), 1).checkpoints] == [
        2, 9, 10, 20, 100,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "other",
    ["run1/step_10.pt.tmp", "run1/step_10k.pt", "run1/step_-10.pt", "run1/step_.pt", "run1/a.pt",
     "run/step_10.pt", "run1x/step_10.pt", "run1/step_1e3.pt", "run1/step_10.pt/inside"],
)  # fmt: skip
def test_what_does_not_fit_is_left(here, other):
    touch("run1/step_20.pt", other)
    wanted = {20, 10} if other.endswith("inside") else {20}  # a folder is a checkpoint, too
    assert {step for _, step in found("run{seed}/step_{step}.pt")} == wanted


def test_a_number_beside_a_star_is_whole(here):
    touch("a/net12_seed7_step300_best.pt")
    assert found("a/*{seed}_step{step}*.pt") == {(7, 300): "a/net12_seed7_step300_best.pt"}


def test_leading_zeros_count_for_nothing(here):
    touch("seed007/step_0000.pt", "seed007/step_0050.pt")
    assert set(found("seed{seed}/step_{step}.pt", 7)) == {(7, 0), (7, 50)}
    # But 07 and 7 in one path are the same seed, 7 and 8 are not.
    touch("s7/x07_1.pt", "s7/x8_1.pt")
    assert found("s{seed}/x{seed}_{step}.pt") == {(7, 1): "s7/x07_1.pt"}


def test_numbers_that_are_no_digits_of_ours_do_not_fit(here):
    touch("seed1/step_٣.pt", "seed1/step_4.pt")
    assert set(found("seed{seed}/step_{step}.pt")) == {(1, 4)}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("runs/ckpt_{step}.pt", "has no {seed}"),
        ("runs/{seed}/last.pt", "has no {step}"),
        ("runs/*.pt", "has no {seed} and no {step}"),
        ("{seed}/{epoch}/{step}", "{epoch} is neither {seed} nor {step}"),
        ("{seed}/{}_{step}", "{} is neither"),
        ("{seed}/{step", "{ is neither"),
        ("{seed}/{{step}}", "is neither"),
        ("runs/{seed}{step}.pt", "need something between them"),
    ],
)
def test_bad_patterns_are_refused(pattern, message):
    with pytest.raises(InputError, match=re.escape(message)) as error:
        Pattern.read(pattern)
    assert pattern in str(error.value)


def test_two_files_of_one_step_are_both_named(here):
    touch("a1/step_10.pt", "a1/step_010.pt", "b1/step_10.pt")
    with pytest.raises(InputError, match="seed 1 has step 10 twice") as error:
        found("*{seed}/step_{step}.pt")
    named = re.findall(r"[ab]1/step_\d+\.pt", str(error.value))
    assert len(set(named)) == 2


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([], ["there is no runs: the folder", "is empty"]),
        (["runs/other/x"], ["runs has other"]),
        (["runs/seed_3/step_1.pt"], ["runs has seed_3"]),
        (["runs/seed3/ckpt_1.pt"], ["seed3 has ckpt_1.pt"]),
        (["runs/seed3/step_1.safetensors", "runs/seed3/a"], ["step_1.safetensors, a"]),
        ([f"runs/seed{i}/step_1.pt" for i in range(10, 30)], ["and 15 more"]),
    ],
)
def test_missing_checkpoints_are_explained(here, files, told):
    touch(*files)
    with pytest.raises(InputError, match="no checkpoints of seed 3") as error:
        list_run(Pattern.read("runs/seed{seed}/step_{step}.pt"), 3)
    assert "runs/seed3/step_*.pt" in str(error.value)
    for words in told:
        assert words in str(error.value)


def save_run(folder, n=4, seed=0):
    rng = np.random.default_rng(seed)
    for i in range(n):
        tensors = {"a.weight": rng.normal(size=(4, 3)), "a.bias": rng.normal(size=4)}
        path = folder / f"step_{i * 90}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.astype("f4") for name, tensor in tensors.items()}, path)


def test_the_command_writes_a_manifest_that_metrics_are_computed_from(here):
    save_run(here / "elsewhere/run5")
    output = here / "results/runs/seed-5/checkpoints.json"
    pattern = "elsewhere/run{seed}/step_{step}.safetensors"
    arguments = ["collect", "--pattern", pattern, "--seed", "5", "--output", str(output)]
    assert cli.main(arguments) == 0
    run = read_manifest(output)
    assert run.seed == 5
    assert [checkpoint.step for checkpoint in run.checkpoints] == [0, 90, 180, 270]
    for checkpoint in run.checkpoints:
        assert checkpoint.path.is_file()
        assert (checkpoint.size, checkpoint.modified) == file_state(checkpoint.path)
        assert checkpoint.sha256 is None
    table = run_metrics(output)
    assert table["step"].tolist() == [0, 90, 180, 270]
    # The same numbers as for the same files as a run of ours.
    own = here / "own/checkpoints"
    own.mkdir(parents=True)
    for step in (0, 90, 180, 270):
        source = here / f"elsewhere/run5/step_{step}.safetensors"
        (own / f"step-{step:06d}.safetensors").write_bytes(source.read_bytes())
    pd.testing.assert_frame_equal(table, run_metrics(own), check_exact=True)
    assert len(list((here / "elsewhere/run5").iterdir())) == 4


def test_a_checkpoint_that_changed_after_it_was_listed_is_refused(here):
    save_run(here / "run1")
    output = here / "checkpoints.json"
    pattern = "run{seed}/step_{step}.safetensors"
    cli.main(["collect", "--pattern", pattern, "--seed", "1", "--output", str(output)])
    file = here / "run1/step_90.safetensors"
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    with pytest.raises(InputError, match=r"step 90: .*step_90.safetensors has changed"):
        run_metrics(output)


def test_the_digest_tells_every_change(here):
    pattern = Pattern.read("run{seed}/step_{step}.safetensors")
    save_run(here / "run1")
    save_run(here / "run2", seed=1)
    digests = [digest(pattern, 1)]
    assert digest(pattern, 1) == digests[0]

    (here / "run1/step_360.safetensors").write_bytes(b"new")
    digests.append(digest(pattern, 1))
    (here / "run1/step_360.safetensors").write_bytes(b"newer")
    digests.append(digest(pattern, 1))
    file = here / "run1/step_90.safetensors"
    os.utime(file, ns=(0, 12345))
    digests.append(digest(pattern, 1))
    (here / "run1/step_0.safetensors").unlink()
    digests.append(digest(pattern, 1))
    assert len(set(digests)) == len(digests)
    other = digest(pattern, 2)
    touch("run2/other_file")
    assert digest(pattern, 2) == other


def test_a_folder_is_what_is_in_it(here):
    touch("run1/checkpoint-5/model.safetensors", "run1/checkpoint-5/more/state")
    pattern = Pattern.read("run{seed}/checkpoint-{step}/")
    before = digest(pattern, 1)
    assert file_state("run1/checkpoint-5")[0] == sum(
        len(path)
        for path in ("run1/checkpoint-5/model.safetensors", "run1/checkpoint-5/more/state")
    )
    touch("run1/checkpoint-5/more/other")
    assert digest(pattern, 1) != before


def test_shards_count_with_their_index(here):
    touch("run1/5/model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors"}}
    Path("run1/5/model.safetensors.index.json").write_text(json.dumps(index))
    pattern = Pattern.read("run{seed}/{step}/model.safetensors.index.json")
    before = digest(pattern, 1)
    Path("run1/5/model-1.safetensors").write_text("other")
    assert digest(pattern, 1) != before


def test_the_commands_errors_are_one_message(here, capsys):
    arguments = ["collect", "--pattern", "r{seed}/{step}.pt", "--seed", "1", "--output", "m.json"]
    assert cli.main(arguments) == 1
    assert "no checkpoints of seed 1" in capsys.readouterr().err
    assert not Path("m.json").exists()

"""One process at a time writes a run; what a killed one left refuses nobody."""

import errno
import os
import re
import subprocess
import sys

import pytest

from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.utils.errors import InputError
from training_maps.utils.locks import hold_results, only_writer

HOLD = """
import sys
from pathlib import Path
from training_maps.utils.locks import only_writer
with only_writer(Path(sys.argv[1]), [3, 4]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process, which writes the runs of seeds 3 and 4."""
    command = [sys.executable, "-B", "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_writer_is_refused_and_told_who_the_first_is(other, tmp_path):
    expected = (
        rf"the run of seed 4 is being written by process {other.pid} on .* run the command again"
    )
    with pytest.raises(InputError, match=expected), only_writer(tmp_path, [4, 5]):
        pass
    with only_writer(tmp_path, [0, 5]):  # other runs of the same folder
        pass
    other.communicate("")  # it ends by itself
    assert not list(tmp_path.iterdir())
    with only_writer(tmp_path, [4, 5]):
        assert len(list(tmp_path.iterdir())) == 2


def test_a_killed_writer_refuses_nobody(other, tmp_path):
    other.kill()
    other.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".seed-3.lock", ".seed-4.lock"]
    with only_writer(tmp_path, [3]):
        text = (tmp_path / ".seed-3.lock").read_text()
        assert re.match(rf"process {os.getpid()} on \S+$", text)
    assert [path.name for path in tmp_path.iterdir()] == [".seed-4.lock"]


def test_a_failure_leaves_no_lock(tmp_path):
    with pytest.raises(KeyboardInterrupt), only_writer(tmp_path, [1]):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_training_the_same_seeds_twice_at_a_time_is_refused(other, tmp_path):
    task = make_task("sparse_parities", {"n_bits": 10, "n_train": 45, "hidden_size": 16})
    expected = f"the run of seed 3 is being written by process {other.pid}"
    with pytest.raises(InputError, match=expected):
        train(task, "parities", Recipe(length=2), [0, 3], Recording(tmp_path), device="cpu")
    assert not list(tmp_path.glob("seed-*"))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_where_files_cannot_be_locked_nobody_is_refused(number, other, tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", unsupported)
    with only_writer(tmp_path, [3]):
        pass
    hold_results(tmp_path, ["tiny"], tmp_path)
    assert other.poll() is None


HOLD_RESULTS = """
import sys
from pathlib import Path
from training_maps.utils.locks import hold_results
hold_results(Path(sys.argv[1]), ["tiny", "other"], Path.cwd())
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def workflow(tmp_path):
    """Another process, which was started in a folder and makes two experiments."""
    folder = tmp_path / "a folder in which"
    folder.mkdir()
    command = [sys.executable, "-B", "-c", HOLD_RESULTS, str(tmp_path)]
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process, folder
    process.kill()
    process.communicate()


def test_a_workflow_of_another_folder_is_refused_and_told_of_the_first(workflow, tmp_path):
    process, folder = workflow
    expected = rf"tiny: results are being written there by .* process {process.pid} on \S+ in "
    with pytest.raises(InputError, match=expected + re.escape(f"{folder}. Wait until it ends")):
        hold_results(tmp_path, ["third", "tiny"], tmp_path)
    assert not list(tmp_path.glob("third/.*"))  # what it held already it gives back
    # Those of one folder, and of other experiments, are none of its business.
    hold_results(tmp_path, ["tiny"], folder)
    hold_results(tmp_path, ["third"], tmp_path)
    process.communicate("")  # it ends by itself
    assert not list(tmp_path.glob("tiny/.*"))
    hold_results(tmp_path, ["tiny"], tmp_path)


def test_a_killed_workflow_refuses_nobody(workflow, tmp_path):
    process, _ = workflow
    process.kill()
    process.wait()
    assert list(tmp_path.glob("tiny/.*"))
    hold_results(tmp_path, ["tiny"], tmp_path)
    assert f"process {os.getpid()} on " in (tmp_path / "tiny/.workflow.lock").read_text()

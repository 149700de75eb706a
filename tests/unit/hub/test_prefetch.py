"""Checkpoints that are on disk now: few, and one on its way."""

import threading

import pytest

from tests.support.stand_in_hub import stand_in_hub
from training_maps.hub.plan import HubRun
from training_maps.hub.prefetch import Downloads
from training_maps.utils.errors import InputError

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
STEPS = (0, 10, 20, 30)
RUN = HubRun(3, "me/net-{seed}", "step{step}", STEPS)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A run of four checkpoints, each a file with its step in it."""
    with stand_in_hub() as hub:
        hub.stand_in(monkeypatch)
        for step in STEPS:
            folder = tmp_path / "there" / str(step)
            folder.mkdir(parents=True)
            (folder / "model.safetensors").write_bytes(b"step %d" % step)
            hub.add("me/net-3", f"step{step}", folder)
        yield hub


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "work" / "downloads"


def on_disk(folder):
    return sorted(path.name for path in folder.iterdir())


def arrives(folder, step):
    """Whether a checkpoint comes that nobody has asked for yet."""
    path = folder / f"step-{step}" / "model.safetensors"
    pause = threading.Event()  # the stand-in has put an end to `time.sleep`
    for _ in range(500):
        if path.is_file():
            return True
        pause.wait(0.01)
    return False


def test_each_comes_as_it_is_with_the_next_on_its_way(hub, folder):
    with Downloads(RUN, folder, STEPS) as downloads:
        assert arrives(folder, 0)
        for step, after in ((0, 10), (10, 20), (20, 30)):
            assert downloads.get(step).path.read_bytes() == b"step %d" % step
            assert arrives(folder, after)
            assert not (folder / f"step-{after + 10}").exists()
        assert downloads.get(30).path.read_bytes() == b"step 30"
    assert not folder.exists()
    assert not folder.parent.exists()  # it was empty
    assert len(hub.downloads()) == len(STEPS)


def test_what_is_there_is_not_fetched_again(hub, folder):
    with Downloads(RUN, folder, STEPS) as downloads:
        first = downloads.get(0)
        assert arrives(folder, 10)
        assert downloads.get(0) is first
        asked = len(hub.downloads())
        assert downloads.get(0).path == first.path
        assert len(hub.downloads()) == asked


def test_only_what_is_kept_stays_and_what_is_on_its_way(hub, folder):
    with Downloads(RUN, folder, STEPS) as downloads:
        for step in (0, 10, 20):
            downloads.get(step)
        assert arrives(folder, 30)
        downloads.keep([0])
        assert on_disk(folder) == ["step-0", "step-30"]
        assert downloads.get(10).path.read_bytes() == b"step 10"  # fetched once more


def test_after_a_bad_end_the_next_job_finds_what_arrived(hub, folder):
    def killed():
        with Downloads(RUN, folder, STEPS) as downloads:
            downloads.get(0)
            assert arrives(folder, 10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert (folder / "step-0" / "model.safetensors").is_file()
    with Downloads(RUN, folder, STEPS[1:]) as downloads:
        assert not (folder / "step-0").exists()  # that one is done with
        downloads.get(10)
    assert not folder.exists()


def test_an_error_comes_where_the_checkpoint_is_asked_for(hub, folder):
    run = HubRun(3, "me/net-{seed}", "step{step}", (0, 15))
    with Downloads(run, folder, (0, 15)) as downloads:
        assert downloads.get(0).path.read_bytes() == b"step 0"
        with pytest.raises(InputError, match=r"seed 3, step 15: .*no such revision"):
            downloads.get(15)
        assert downloads.get(0).path.read_bytes() == b"step 0"


def test_a_run_of_no_steps_fetches_nothing(hub, folder):
    with Downloads(RUN, folder, ()):
        pass
    assert hub.downloads() == []

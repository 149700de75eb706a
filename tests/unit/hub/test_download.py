"""Downloads of single checkpoints from a stand-in of the hub, and what can go wrong with them."""

import logging

import pytest

from tests.support.stand_in_hub import stand_in_hub
from training_maps.hub import download
from training_maps.hub.download import choose_files, fetch_checkpoint
from training_maps.hub.plan import HubRun
from training_maps.utils.errors import InputError

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
TOKEN = "hf_not_a_real_token"


@pytest.fixture
def hub(monkeypatch):
    with stand_in_hub() as hub:
        hub.stand_in(monkeypatch)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture
def told(monkeypatch, caplog):
    """What was logged, by the package and by the libraries it calls."""
    monkeypatch.setattr(logging.getLogger("training_maps"), "propagate", True)
    caplog.set_level(logging.DEBUG)
    return caplog


def checkpoint(folder, **files):
    """A folder with files of that content; `__` in a keyword stands for `.`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


CONTENT = bytes(range(256)) * 4000
RUN = HubRun(3, "me/net-{seed}", "step{step}", (0, 10))


@pytest.fixture
def one(hub, tmp_path):
    folder = checkpoint(tmp_path / "there", model__safetensors=CONTENT, config__json=b"{}")
    hub.add("me/net-3", "step10", folder)
    return hub


def test_a_file_arrives_as_it_is(one, tmp_path):
    downloaded = fetch_checkpoint(RUN, 10, tmp_path / "here")
    assert downloaded.path == tmp_path / "here" / "model.safetensors"
    assert downloaded.path.read_bytes() == CONTENT
    assert (downloaded.repository, downloaded.revision) == ("me/net-3", "step10")
    assert downloaded.commit == one.commit("me/net-3", "step10")
    # Neither the config nor anything else is downloaded.
    (sent,) = one.downloads()
    assert sent.endswith("model.safetensors")


def test_the_token_goes_to_the_hub_and_nowhere_else(one, told, tmp_path):
    one.faults["GET .*/resolve/"] = [500] * 100
    with pytest.raises(InputError) as caught:
        fetch_checkpoint(RUN, 10, tmp_path / "here")
    assert f"Bearer {TOKEN}" in one.tokens
    assert TOKEN not in str(caught.value) + told.text
    assert all(TOKEN.encode() not in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())


@pytest.mark.parametrize("fault", [500, 503, 429, "truncate"])
def test_what_may_pass_is_tried_again(one, told, tmp_path, fault):
    one.faults["GET .*/resolve/"] = [fault, fault]
    assert fetch_checkpoint(RUN, 10, tmp_path / "here").path.read_bytes() == CONTENT


def test_so_are_questions_about_a_repository(one, told, tmp_path):
    one.faults["GET /api/models"] = [500, 502]
    fetch_checkpoint(RUN, 10, tmp_path / "here")
    assert "seed 3, step 10: me/net-3, revision step10: " in told.text
    assert "trying again in 0.0 s" in told.text


@pytest.mark.parametrize("fault", [500, "truncate"])
def test_after_some_tries_one_error_names_what_was_wanted(one, tmp_path, fault):
    one.faults["GET .*/resolve/"] = [fault] * 1000
    with pytest.raises(
        InputError, match=r"^seed 3, step 10: me/net-3, revision step10: .*after 4 tries; run the"
    ):
        fetch_checkpoint(RUN, 10, tmp_path / "here")


def test_nobody_answers(one, tmp_path):
    run = HubRun(3, "me/net-3", "main", (0,), endpoint="http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"seed 3, step 0: me/net-3, revision main: .*4 tries"):
        fetch_checkpoint(run, 0, tmp_path / "here")


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (HubRun(3, "me/nett-3", "main", (10,)), "no such repository, or it is private.*HF_TOKEN"),
        (HubRun(3, "me/net-3", "step11", (10,)), "no such revision; http.*/me/net-3 lists those"),
        (HubRun(3, "me/gated", "main", (10,)), "gated; accept its terms on http.*/me/gated, then"),
        (HubRun(3, "me/net/3", "main", (10,)), "is no repository of the hub"),
    ],
)
def test_what_will_not_pass_is_said_at_once(one, told, tmp_path, run, fault):
    one.gated.add("me/gated")
    with pytest.raises(InputError, match=f"seed 3, step 10: {run.repository}, .*{fault}"):
        fetch_checkpoint(run, 10, tmp_path / "here")
    assert len(one.requests) <= 1
    assert "trying again" not in told.text


@pytest.mark.parametrize(("status", "fault"), [(403, "access is refused; log in"), (418, "418")])
def test_a_server_that_refuses_is_not_asked_again(one, tmp_path, status, fault):
    one.faults["GET /api"] = [status] * 100
    with pytest.raises(InputError, match=fault):
        fetch_checkpoint(RUN, 10, tmp_path / "here")
    assert len(one.requests) == 1


def test_offline(one, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"step 10: .*HF_HUB_OFFLINE is set"):
        fetch_checkpoint(RUN, 10, tmp_path / "here")


def test_without_the_library(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'training-maps\[hub\]'"):
        fetch_checkpoint(RUN, 10, tmp_path / "here")


def test_a_file_that_changed_on_the_way_is_not_taken(one, monkeypatch, tmp_path):
    """The server sends other bytes, as many as it should, and more than once."""
    real = download.file_digest
    digests = iter(["0" * 64])
    monkeypatch.setattr(download, "file_digest", lambda path: next(digests, None) or real(path))
    assert fetch_checkpoint(RUN, 10, tmp_path / "here").path.read_bytes() == CONTENT
    assert len(one.downloads()) == 2
    monkeypatch.setattr(download, "file_digest", lambda path: "0" * 64)
    with pytest.raises(InputError, match="did not arrive whole: it has another SHA-256"):
        fetch_checkpoint(RUN, 10, tmp_path / "here")


def test_a_disk_without_room(one, monkeypatch, tmp_path):
    usage = download.shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"step 10: .*needs 0.0 GB, .*\(--scratch\)"):
        fetch_checkpoint(RUN, 10, tmp_path / "here")
    assert one.downloads() == []


ALL = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
       "pytorch_model.bin.index.json")  # fmt: skip


@pytest.mark.parametrize("first", range(4))
def test_which_format_is_preferred(first):
    there = dict.fromkeys((*ALL[first:], "config.json", "tf_model.h5", "model.onnx"))
    assert choose_files(there, (), "here") == [ALL[first]]


def test_files_that_are_named():
    there = dict.fromkeys(["a.bin", "b.bin", "b.bin.index.json", "b-1.bin", "c.pt"])
    assert choose_files(there, ("*.pt",), "here") == ["c.pt"]
    assert choose_files(there, ("b*",), "here") == ["b.bin.index.json"]
    with pytest.raises(InputError, match=r"here: has none of model.saf.* It has a.bin, b-1"):
        choose_files(there, (), "here")
    with pytest.raises(InputError, match=r"here: has no file that matches \*.npz"):
        choose_files(there, ("*.npz",), "here")
    with pytest.raises(InputError, match=r"3 files match .*: a.bin, b-1.bin, b.bin; expected one"):
        choose_files(there, ("*.bin",), "here")


@pytest.mark.parametrize(
    ("index", "fault"),
    [
        (b"{", "not valid JSON"),
        (b"{}", "is no index of shards"),
        (b'{"weight_map": {"w": 3}}', "3 is no file name"),
        (b'{"weight_map": {}}', "is no index of shards"),
        (b'{"weight_map": {"w": "../../x.safetensors"}}', "leads out of the folder"),
        (b'{"weight_map": {"w": "sub/x.safetensors"}}', "files in other folders"),
        (b'{"weight_map": {"w": "x.safetensors"}}', "lists x.safetensors, which the repository"),
    ],
)
def test_an_index_that_is_none(hub, tmp_path, index, fault):
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "model.safetensors.index.json").write_bytes(index)
    hub.add("me/net-3", "step10", folder)
    with pytest.raises(InputError, match=fault):
        fetch_checkpoint(RUN, 10, tmp_path / "here")

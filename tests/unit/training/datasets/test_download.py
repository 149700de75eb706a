"""Files of data sets are fetched once, checked, and asked for again where that may help."""

import dataclasses
import errno
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.support.dataset_files import digits
from training_maps.training import datasets
from training_maps.training.datasets import (
    DATASETS,
    File,
    data_folder,
    download,
)
from training_maps.training.datasets.download import fetch_files
from training_maps.utils.errors import InputError


def test_the_folder_can_be_moved(tmp_path, monkeypatch):
    assert data_folder() == tmp_path / "data"
    datasets.use_data_folder(None)
    assert data_folder() == tmp_path / "data"
    datasets.use_data_folder(tmp_path / "elsewhere")
    assert data_folder() == tmp_path / "elsewhere"
    assert DATASETS["mnist"].files[0].path.parent == tmp_path / "elsewhere" / "mnist"
    monkeypatch.chdir(tmp_path)
    datasets.use_data_folder("here")
    assert data_folder() == tmp_path / "here"


@pytest.mark.parametrize("value", [None, ""])
def test_the_folder_is_in_the_users_cache_unless_moved(value, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv(download.VARIABLE)
    if value is not None:
        monkeypatch.setenv(download.VARIABLE, value)
    assert data_folder().name == "training-maps"
    assert data_folder().is_relative_to(tmp_path)
    assert not data_folder().exists()  # it is made when something is fetched


def test_files_are_fetched_once(tiny, server, folder, caplog):
    caplog.set_level(logging.INFO, "training_maps")
    read = datasets.load("tiny")
    np.testing.assert_array_equal(read.train_images[:, 0], digits(15)[0][:10])
    assert sorted(server.asked) == ["/images.gz", "/labels.gz"]
    assert "fetching images.gz: megabyte" in caplog.text
    datasets.load.cache_clear()
    again = datasets.load("tiny")
    np.testing.assert_array_equal(again.eval_images, read.eval_images)
    assert len(server.asked) == 2
    assert datasets.load("tiny") is again
    assert sorted(path.name for path in (folder / "tiny").iterdir()) == ["images.gz", "labels.gz"]
    # Others who share the folder may read what pooch alone would make private.
    plain = folder / "plain"
    plain.touch()
    assert (folder / "tiny" / "images.gz").stat().st_mode == plain.stat().st_mode


def test_only_what_is_missing_is_fetched(tiny, server, folder):
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny" / "labels.gz").write_bytes(server.files["/labels.gz"])
    datasets.load("tiny")
    assert server.asked == ["/images.gz"]


def test_two_jobs_may_fetch_at_once(tiny, folder):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fetch_files("Tiny", tiny.files), range(4)))
    assert found == [[folder / file.name for file in tiny.files]] * 4
    assert len(datasets.load("tiny").train_labels) == 10
    assert sorted(path.name for path in (folder / "tiny").iterdir()) == ["images.gz", "labels.gz"]


def test_a_failed_attempt_is_repeated(tiny, server, caplog):
    server.failures = [503, 502]
    datasets.load("tiny")
    assert server.asked == ["/images.gz"] * 3 + ["/labels.gz"]
    assert "the server answered 503 Service Unavailable; trying again" in caplog.text


def test_the_next_address_is_tried(tiny, server, monkeypatch):
    files = tuple(
        dataclasses.replace(file, urls=(server.url("/gone"), *file.urls)) for file in tiny.files
    )
    monkeypatch.setitem(DATASETS, "tiny", dataclasses.replace(tiny, files=files))
    datasets.load("tiny")
    assert server.asked == ["/gone", "/images.gz", "/gone", "/labels.gz"]


def test_a_corrupted_download_is_refused_and_not_kept(tiny, server, folder):
    damaged = bytearray(server.files["/labels.gz"])
    damaged[-1] ^= 1
    server.files["/labels.gz"] = bytes(damaged)
    with pytest.raises(InputError, match="does not have the published checksum") as error:
        datasets.load("tiny")
    assert server.asked == ["/images.gz"] + ["/labels.gz"] * 3
    assert [path.name for path in (folder / "tiny").iterdir()] == ["images.gz"]
    assert tiny.files[1].md5 in str(error.value)
    assert tiny.files[0].md5 not in str(error.value)  # it is there already


def test_without_a_server_one_error_says_what_to_do(tiny, server, folder):
    server.stop()
    server.stop = lambda: None
    with pytest.raises(InputError, match=r"could not be fetched: the connection failed") as error:
        datasets.load("tiny")
    message = str(error.value)
    assert "Connection refused" in message
    for file in tiny.files:
        assert str(folder / file.name) in message
        assert f"{file.size} bytes, MD5 {file.md5}, from {file.urls[0]}" in message
    assert download.VARIABLE in message
    # What it says to do helps: no network is needed for files that are there.
    (folder / "tiny").mkdir(exist_ok=True)
    for file in tiny.files:
        (folder / file.name).write_bytes(server.files[f"/{Path(file.name).name}"])
    assert len(datasets.load("tiny").train_labels) == 10


def test_a_fault_of_this_machine_is_not_retried(tiny, server, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(download, "replace_when_whole", full)
    with pytest.raises(InputError, match=r"images\.gz: the disk is full\. Make room"):
        datasets.load("tiny")
    assert not server.asked


def test_a_wrong_file_is_named_and_left_alone(tiny, server, folder):
    wrong = folder / "tiny" / "images.gz"
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(b"something of the user's")
    with pytest.raises(InputError) as error:
        datasets.load("tiny")
    md5 = hashlib.md5(b"something of the user's").hexdigest()
    assert f"{wrong}: is not the published file: it has 23 bytes and MD5 {md5}" in str(error.value)
    assert f"expected {tiny.files[0].size} bytes and MD5 {tiny.files[0].md5}" in str(error.value)
    assert wrong.read_bytes() == b"something of the user's"
    assert not server.asked


def test_a_folder_in_a_files_place_is_an_error(tiny, folder):
    (folder / "tiny" / "images.gz").mkdir(parents=True)
    with pytest.raises(InputError, match=r"images\.gz: cannot be read \(Is a directory\)"):
        datasets.load("tiny")


def test_progress_is_of_the_files_own_size(caplog, monkeypatch):
    caplog.set_level(logging.INFO, "training_maps")
    monkeypatch.setattr(download, "Progress", partial(download.Progress, interval=0))
    progress = download.DownloadProgress(File("cifar/x.tar.gz", 2_500_000, "", ()))
    for _ in range(2):  # as pooch does, twice: the first attempt broke off
        progress.total = 0  # a server that does not tell the length
        for _ in range(2):
            progress.update(1_000_000)
    progress.update(1_000_000)  # the last chunk, counted as a whole one
    progress.reset()
    progress.update(progress.total)
    progress.close()
    shown = [record.getMessage().split(",")[0] for record in caplog.records]
    one, two = (f"fetching x.tar.gz: megabyte {done} of 2.5" for done in (1, 2))
    assert [line for line in shown if "megabyte 0 " not in line] == [
        one, two, one, two, "fetching x.tar.gz: megabyte 2.5 of 2.5",
    ]  # fmt: skip

"""Data sets: their files are fetched once, checked, and read as they were published."""

import dataclasses
import errno
import hashlib
import http.server
import io
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.support.dataset_files import archive, digits, idx, published
from tests.support.project import ROOT
from training_maps import cli
from training_maps.training import datasets
from training_maps.training.datasets import (
    DATASETS,
    DataSet,
    File,
    Images,
    data_folder,
    download,
    fetch,
)
from training_maps.training.datasets.download import fetch_files
from training_maps.training.datasets.formats import read_mnist_part
from training_maps.utils.errors import InputError

SHARED = ROOT.parent / "shared" / "data"
MNIST_T10K = SHARED / "mnist_t10k"
CIFAR10_JPEG = SHARED / "cifar10_jpeg.npz"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty data folder; nothing cached, no waiting, and no proxy before the local server."""
    monkeypatch.setenv(download.VARIABLE, str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "_PAUSE", 0)
    datasets.load.cache_clear()
    yield tmp_path / "data"
    datasets.load.cache_clear()


@pytest.mark.parametrize("name", DATASETS)
def test_the_registry_and_its_page_agree(name):
    page = (ROOT / "docs" / "data.md").read_text()
    dataset = DATASETS[name]
    assert f"`{name}`" in page
    assert f"{dataset.n_train:,} / {dataset.n_eval:,}" in page
    for file in dataset.files:
        (row,) = [line for line in page.splitlines() if file.md5 in line]
        assert f"`{file.name}`" in row
        assert f"{file.size:,}" in row
        assert len(file.md5) == 32
        assert all(url.startswith("https://") for url in file.urls)
        assert all(url.endswith(Path(file.name).name) for url in file.urls)


def test_every_file_has_a_place_of_its_own():
    files = {file for dataset in DATASETS.values() for file in dataset.files}
    assert len({file.name for file in files}) == len({file.md5 for file in files}) == len(files)


def test_an_unknown_data_set_is_refused():
    for ask in (datasets.load, fetch):
        with pytest.raises(InputError, match=r"no data set 'mnits'.*mnist, .*cifar100.*\.npz"):
            ask("mnits")


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


# Fetching, from a server on this machine


class Server:
    """Serves files over HTTP on this machine, counts requests, and fails where told to."""

    def __init__(self):
        self.files, self.asked, self.failures = {}, [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                status = outer.failures.pop(0) if outer.failures else None
                content = outer.files.get(self.path)
                if status or content is None:
                    self.send_error(status or 404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=partial(self._http.serve_forever, 0.01), daemon=True)
        self._thread.start()

    def url(self, path):
        return f"http://127.0.0.1:{self._http.server_port}{path}"

    def stop(self):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def tiny(server, monkeypatch):
    """A registered data set `tiny` of two files: 10 digits to train on, 5 for evaluation."""
    images, labels = digits(15)
    files = []
    for name, content in (("images.gz", idx(images)), ("labels.gz", idx(labels))):
        server.files[f"/{name}"] = content
        files.append(published(f"tiny/{name}", content, server.url(f"/{name}")))
    entry = DataSet("Tiny", tuple(files), partial(read_mnist_part, n_train=10), 10, 10, 5)
    monkeypatch.setitem(DATASETS, "tiny", entry)
    return entry


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


def test_other_counts_than_published_are_refused(tiny, monkeypatch):
    monkeypatch.setitem(DATASETS, "tiny", dataclasses.replace(tiny, n_train=11))
    with pytest.raises(
        InputError, match=r"hold 10 training and 5 evaluation .* has 11 and 5 of 10"
    ):
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


# The command


@pytest.mark.usefixtures("restore_logging")
def test_the_command_fetches_and_says_what_there_is(tiny, server, tmp_path, capsys):
    output, elsewhere = tmp_path / "manifest.json", tmp_path / "elsewhere"
    images, labels = digits(12)
    own = tmp_path / "own.npz"
    np.savez(own, train_images=images, train_labels=labels, eval_images=images, eval_labels=labels)
    names = ["tiny", str(own), "tiny"]
    arguments = ["fetch", "--dataset", *names, "--data-dir", str(elsewhere)]
    assert cli.main([*arguments, "--output", str(output)]) == 0
    told = capsys.readouterr().err
    assert "tiny (Tiny): 10 training and 5 evaluation images of 10 classes, 1 x 4 x 3" in told
    assert f"the data folder is {elsewhere}" in told
    first, second = json.loads(output.read_text())["data_sets"]
    assert first == {
        "name": "tiny",
        "title": "Tiny",
        "files": [
            {
                "file": f"tiny/{name}",
                "size": len(content),
                "md5": hashlib.md5(content).hexdigest(),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in ((path[1:], server.files[path]) for path in server.files)
        ],
        "image_shape": [1, 4, 3],
        "n_classes": 10,
        "n_train": 10,
        "n_eval": 5,
    }
    assert second["name"] == second["files"][0]["file"] == names[1]
    assert second["n_eval"] == 12
    assert second["files"][0]["sha256"] == hashlib.sha256(own.read_bytes()).hexdigest()
    # The same again, and without a file to write.
    before = output.read_bytes()
    assert cli.main([*arguments, "--output", str(output)]) == 0
    assert cli.main(arguments) == 0
    assert output.read_bytes() == before
    assert len(server.asked) == 2


@pytest.mark.usefixtures("restore_logging")
def test_the_command_writes_nothing_if_something_is_missing(tiny, server, tmp_path, capsys):
    server.files.clear()
    output = tmp_path / "manifest.json"
    assert cli.main(["fetch", "--dataset", "tiny", "--output", str(output)]) == 1
    told = capsys.readouterr().err
    assert "Tiny: images.gz could not be fetched: the server answered 404 Not Found." in told
    assert not output.exists()


# Real data


def test_the_real_test_digits(folder):
    if not MNIST_T10K.is_dir():
        pytest.skip("needs MNIST's test digits in ../shared/data/mnist_t10k")
    (folder / "mnist").mkdir(parents=True)
    for file in DATASETS["mnist_t10k"].files:
        file.path.symlink_to(MNIST_T10K / file.path.name)
        assert file.path.stat().st_size == file.size
    read = datasets.load("mnist_t10k")
    assert isinstance(read, Images)
    assert read.train_images.shape == (8000, 1, 28, 28)
    assert read.eval_images.shape == (2000, 1, 28, 28)
    assert read.train_images.dtype == np.uint8
    assert (read.train_images.min(), read.train_images.max()) == (0, 255)
    assert read.n_classes == 10
    assert read.train_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = np.bincount(read.train_labels) + np.bincount(read.eval_labels)
    assert counts.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]  # published
    # The first digit looks like a 7: a bar above, and a stem that moves left on its way down.
    seven = read.train_images[0, 0] > 127
    rows = np.flatnonzero(seven.any(1))
    assert seven[rows[0] : rows[0] + 4].sum(1).max() >= 12
    middles = [np.flatnonzero(seven[row]).mean() for row in rows[len(rows) // 2 :]]
    assert (np.diff(middles) < 1).all()
    assert middles[-1] < middles[0]
    assert "test digits only" in fetch("mnist_t10k")["title"]


def test_real_images_in_the_official_form_of_cifar10(folder, monkeypatch):
    if not CIFAR10_JPEG.is_file():
        pytest.skip("needs images in ../shared/data/cifar10_jpeg.npz")
    from PIL import Image

    with np.load(CIFAR10_JPEG) as file:
        jpeg, offsets, labels = (file[key] for key in ("jpeg_bytes", "offsets", "labels"))
        train = np.flatnonzero(file["is_test"] == 0)
        chosen = np.random.default_rng(0).permutation(train)[:120]  # they are sorted by class
    decoded = [Image.open(io.BytesIO(jpeg[offsets[i] : offsets[i + 1]])) for i in chosen]
    pixels = np.stack([np.asarray(image.convert("RGB")) for image in decoded])  # (n, 32, 32, 3)
    names = [f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)]
    names.append("cifar-10-batches-bin/test_batch.bin")
    files = {"cifar-10-batches-bin/batches.meta.txt": b"airplane\n"}
    for name, part in zip(names, np.split(np.arange(120), 6), strict=True):
        files[name] = b"".join(
            bytes((labels[chosen[i]],))
            + b"".join(bytes(pixels[i, :, :, colour].ravel()) for colour in range(3))
            for i in part
        )
    content = archive(files)
    official = DATASETS["cifar10"]
    entry = dataclasses.replace(
        official, files=(published("cifar-10-binary.tar.gz", content),), n_train=100, n_eval=20
    )
    monkeypatch.setitem(DATASETS, "cifar10", entry)
    folder.mkdir()
    (folder / "cifar-10-binary.tar.gz").write_bytes(content)
    read = datasets.load("cifar10")
    expected = np.moveaxis(pixels, 3, 1)
    np.testing.assert_array_equal(read.train_images, expected[:100])
    np.testing.assert_array_equal(read.eval_images, expected[100:])
    np.testing.assert_array_equal(read.train_labels, labels[chosen[:100]])
    np.testing.assert_array_equal(read.eval_labels, labels[chosen[100:]])

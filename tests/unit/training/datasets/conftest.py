"""An empty data folder, and a data set on a server of this machine."""

from functools import partial

import pytest

from tests.support.dataset_files import digits, idx, published
from tests.support.file_server import Server
from training_maps.training import datasets
from training_maps.training.datasets import DATASETS, DataSet, download
from training_maps.training.datasets.formats import read_mnist_part


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty data folder; nothing cached, no waiting, and no proxy before the local server."""
    monkeypatch.setenv(download.VARIABLE, str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "_PAUSE", 0)
    datasets.load.cache_clear()
    yield tmp_path / "data"
    datasets.load.cache_clear()


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

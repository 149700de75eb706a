"""Data sets: their files are fetched once, checked, and read as they were published."""

import dataclasses
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.dataset_files import archive, digits, published
from tests.support.project import ROOT
from training_maps import cli
from training_maps.training import datasets
from training_maps.training.datasets import (
    DATASETS,
    Images,
    fetch,
)
from training_maps.utils.errors import InputError

SHARED = ROOT.parent / "shared" / "data"


MNIST_T10K = SHARED / "mnist_t10k"


CIFAR10_JPEG = SHARED / "cifar10_jpeg.npz"


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


def test_other_counts_than_published_are_refused(tiny, monkeypatch):
    monkeypatch.setitem(DATASETS, "tiny", dataclasses.replace(tiny, n_train=11))
    with pytest.raises(
        InputError, match=r"hold 10 training and 5 evaluation .* has 11 and 5 of 10"
    ):
        datasets.load("tiny")


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

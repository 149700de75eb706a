"""Files of data sets, made by hand for tests: byte by byte as the formats say."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile

import numpy as np

from training_maps.training.datasets import File


def idx(array):
    """`array` of uint8 as a gzipped IDX file, byte by byte as the format says."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return gzip.compress(header + array.tobytes())


def archive(files, kind="w:gz", member_type=tarfile.REGTYPE):
    """A tar archive of `files`, contents by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=kind) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.type = len(content), member_type
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def published(name, content, *urls):
    """The registry's entry of a file with `content`."""
    return File(name, len(content), hashlib.md5(content).hexdigest(), urls)


def digits(n=12, seed=0):
    """Images (n, 4, 3) and labels (n,) in which all ten digits occur, the first ten in order."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 10
    return generator.integers(0, 256, (n, 4, 3)).astype(np.uint8), labels.astype(np.uint8)


def image_set(path, shape, n_classes=3, n_train=30, n_eval=12):
    """A .npz file of random images, whose corner pixel gives the class away."""
    generator = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", n_train), ("eval", n_eval)):
        labels = np.arange(n) % n_classes
        images = generator.integers(0, 256, size=(n, *shape), dtype=np.uint8)
        images[:, :, :4, :4] = (labels * 100)[:, None, None, None]
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
    np.savez(path, **arrays)
    return str(path)

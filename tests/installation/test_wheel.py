"""The wheel in bare Pythons: no Rust, no compiler, no OpenBLAS of the system's; beside torch.

`make test-wheel` builds the wheel first. Packages that it needs come from PyPI; where that does not
answer, the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What tests the extension, and nothing that trains or draws.
TESTS = (
    "tests/unit/metrics/test_compute.py",
    "tests/unit/metrics/test_compute_engine.py",
    "tests/unit/metrics/test_compute_runs.py",
    "tests/unit/metrics/test_compute_spectra.py",
    "tests/unit/hmm/test_inference.py",
)
# Pythons from the oldest that is served to the newest that is looked for.
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
BARE = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "OMP_NUM_THREADS": "2"}
BESIDE_TORCH = """
import torch                                     # before the extension, and used around it
import numpy as np
x = torch.randn(300, 200, dtype=torch.float64)
expected = torch.linalg.svdvals(x)
from training_maps import checkpoint_metrics
import training_maps._rust_metrics as extension
found = checkpoint_metrics([x.numpy()])
assert abs(found["lambda_max"] - float(expected[0])) < 1e-9, found
assert torch.equal(torch.linalg.svdvals(x), expected)
print(extension.__file__)
"""


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel that `make wheel` built."""
    found = sorted((ROOT / "dist").glob("*.whl"))
    if not found:
        pytest.skip("there is no wheel in dist/; make wheel builds one")
    return found[-1]


def pythons_of(version: str) -> list[str]:
    """Pythons of this version: this one's, pyenv's, those of the PATH."""
    here = sys.version_info[:2] == tuple(map(int, version.split(".")))
    of_path = shutil.which(f"python{version}")
    return [
        *([sys._base_executable] if here else []),  # type: ignore[attr-defined]
        *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python")),
        *([of_path] if of_path else []),
    ]


@pytest.fixture(scope="session", params=VERSIONS)
def installed(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The Python of an environment in which there is the wheel, and what it needs."""
    folder = tmp_path_factory.mktemp(f"python{request.param}")
    for python in pythons_of(request.param):
        made = subprocess.run([python, "-m", "venv", folder], check=False, capture_output=True)
        if made.returncode == 0:
            break
    else:
        pytest.skip(f"there is no Python {request.param} that makes environments")
    pip = [folder / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "-q",
           "--only-binary", ":all:"]  # fmt: skip
    needed = subprocess.run([*pip, wheel, "pytest", "hypothesis"], check=False, capture_output=True)
    if needed.returncode:
        told = needed.stderr.decode()
        # What is on PyPI for this Python is not for this project to say; the wheel itself is.
        assert "training_maps" not in told.split("ERROR:")[-1], told
        pytest.skip(f"PyPI did not give what the wheel needs: {told[-200:]}")
    return folder / "bin/python"


def test_it_is_for_all_pythons_from_the_oldest_on(wheel: Path) -> None:
    name, _, python, abi, platform = wheel.stem.split("-")
    assert (name, python, abi) == ("training_maps", "cp311", "abi3")
    assert platform.startswith("manylinux_2_")
    assert platform.endswith(f"_{os.uname().machine}")


def test_openblas_is_inside_and_sources_of_rust_are_not(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert any("libopenblas" in name for name in names)
    assert any(name.endswith("_rust_metrics.abi3.so") for name in names)
    assert any(name.endswith("report/html/style.css") for name in names)
    assert not [name for name in names if name.endswith(".rs") or "/target/" in name]


def test_the_extension_s_tests_pass_there(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = subprocess.run(
        [installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
        cwd=tmp_path, env=BARE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert " passed" in done.stdout


def test_runs_are_placed_there(installed: Path, tmp_path: Path) -> None:
    """By the command that a trainer's environment gets, on a map that was calibrated elsewhere."""
    import numpy as np

    from tests.support.placed_runs import metrics_of, small_reference

    small_reference().save(tmp_path / "placing.npz")
    metrics_of(150, np.random.default_rng(0)).to_csv(tmp_path / "new.csv", index=False)
    done = subprocess.run(
        [installed.parent / "training-maps", "place", "--map", "placing.npz", "new.csv"],
        cwd=tmp_path, env=BARE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("new: step 290 ")


@pytest.mark.skipif(find_spec("torch") is None, reason="there is no torch here")
def test_it_works_beside_torch(installed: Path, tmp_path: Path) -> None:
    """Beside the torch of this environment, in one process, where the Python is the same."""
    from importlib.metadata import distribution

    version = subprocess.run(
        [installed, "-c", "import sys; print(sys.version_info[:2])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    if version != str(sys.version_info[:2]):
        pytest.skip(f"the torch that is here is not for Python {version}")
    packages = Path(str(distribution("torch").locate_file("")))
    done = subprocess.run(
        [installed, "-c", BESIDE_TORCH],
        cwd=tmp_path, env={**BARE, "PYTHONPATH": str(packages)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(installed.parents[1]) in done.stdout

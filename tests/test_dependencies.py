"""docs/dependencies.md lists what the project depends on, and all of it may be used."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "dependencies.md").read_text()
PERMISSIVE = {
    "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "Zlib", "Unlicense", "ISC", "Unicode-3.0",
    "Apache-2.0 WITH LLVM-exception", "BSL-1.0", "0BSD", "CC0-1.0",
}  # fmt: skip


def tables(heading):
    """The rows of the tables below a heading of the page, without their headers."""
    text = re.split(r"^## ", PAGE.split(f"## {heading}\n")[1], flags=re.M)[0]
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")]
        for row in re.findall(r"^\|.*", text, re.M)
    ]
    return [
        row for row in rows if row[0] not in ("package", "crate") and not row[0].startswith("--")
    ]


def name(requirement):
    return re.match(r"[A-Za-z0-9_.-]+", requirement)[0]


def test_the_python_packages_are_those_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    rows = tables("Python")
    listed = {row[0] for row in rows}
    assert len(rows) == len(listed)
    needed = {name(text) for texts in (project["dependencies"], *extras.values()) for text in texts}
    assert listed == needed
    for row in rows:
        if len(row) == 4:
            of = {extra for extra, texts in extras.items() if row[0] in map(name, texts)}
            assert set(row[1].split(", ")) == of, row[0]


def test_the_crates_are_those_of_the_cargo_files():
    needed = set()
    for file in (ROOT / "rust_metrics").glob("*/Cargo.toml"):
        cargo = tomllib.loads(file.read_text())
        for section in ("dependencies", "dev-dependencies", "build-dependencies"):
            for crate, says in cargo.get(section, {}).items():
                if not (isinstance(says, dict) and "path" in says):
                    needed.add(crate)
    listed = [row[0] for row in tables("Rust")]
    assert sorted(listed) == sorted(needed)


def test_every_crate_is_from_cargo_s_own_registry_and_under_a_permissive_licence():
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not installed")
    done = subprocess.run(
        ["cargo", "metadata", "--offline", "--locked", "--format-version", "1",
         "--manifest-path", str(ROOT / "rust_metrics" / "Cargo.toml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"cargo has not fetched the crates: {done.stderr[-200:]}")
    packages = json.loads(done.stdout)["packages"]
    assert len(packages) > 50
    # What Cargo calls its own registry, told by a crate that is nowhere else; our crates have none.
    (registry,) = {p["source"] for p in packages if p["name"] == "rayon"}
    assert registry.startswith("registry+")
    for package in packages:
        assert package["source"] in (None, registry), package
        licence = package["license"].replace("/", " OR ")
        alternatives = [part.strip("() ") for part in licence.split(" OR ")]
        allowed = any(
            {part.strip("() ") for part in alternative.split(" AND ")} <= PERMISSIVE
            for alternative in alternatives
        )
        assert allowed, f"{package['name']}: {package['license']}"

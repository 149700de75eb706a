"""docs/dependencies.md lists what the project depends on, and all of it may be used."""

import json
import re
import shutil
import subprocess
import tomllib

import pytest
from packaging.version import Version
from tools import sbom

from tests.support.project import ROOT
from training_maps.runs.torch_format import SAFE_SINCE

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
    for file in sorted((ROOT / "rust_metrics").glob("*/Cargo.toml")):
        cargo = tomllib.loads(file.read_text())
        for section in ("dependencies", "dev-dependencies", "build-dependencies"):
            for crate, says in cargo.get(section, {}).items():
                if not (isinstance(says, dict) and "path" in says):
                    needed.add(crate)
    listed = [row[0] for row in tables("Rust")]
    assert sorted(listed) == sorted(needed)


def pins():
    """The versions that are pinned, by package or crate; of crates that are there twice, both."""
    found = {}
    for file in ("requirements.lock", "requirements-slurm.lock"):
        for line in (ROOT / file).read_text().split():
            package, _, pinned = line.partition("==")
            found.setdefault(package.lower(), []).append(pinned)
    lock = tomllib.loads((ROOT / "rust_metrics" / "Cargo.lock").read_text())
    for crate in lock["package"]:
        found.setdefault(crate["name"].lower(), []).append(crate["version"])
    return found


def floors():
    """The oldest versions of the direct dependencies that may be installed, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = sum(project["optional-dependencies"].values(), project["dependencies"])
    found = {name(text): text.partition(">=")[2] for text in texts if ">=" in text}
    for file in sorted((ROOT / "rust_metrics").glob("*/Cargo.toml")):
        for crate, says in tomllib.loads(file.read_text()).get("dependencies", {}).items():
            says = says if isinstance(says, dict) else {"version": says}
            if "version" in says and crate not in found:  # numpy is a crate too
                found[crate] = says["version"]
    return found


def test_neither_pins_nor_oldest_versions_have_the_flaws_that_are_known():
    pinned, oldest = pins(), floors()
    rows = tables("Audits")
    assert len(rows) > 10
    for package, _, _, fixed in rows:
        assert pinned[package.lower()], package
        for one in pinned[package.lower()]:
            assert Version(one) >= Version(fixed), package
        if package in oldest:
            assert Version(oldest[package]) >= Version(fixed), package
    assert {"torch", "pyarrow", "memmap2", "pyo3"} <= {row[0] for row in rows} & set(oldest)
    assert oldest["torch"] == SAFE_SINCE


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


def test_the_bill_of_materials_has_every_pin_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sbom", str(tmp_path / "sbom.cdx.json")])
    sbom.main()
    made = json.loads((tmp_path / "sbom.cdx.json").read_text())
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    listed = [
        (part["purl"].split("/")[0], part["name"], part["version"]) for part in made["components"]
    ]
    assert len(set(listed)) == len(listed)
    pins = {
        ("pkg:pypi", *line.split(";")[0].strip().split("=="))
        for lock in ROOT.glob("requirements*.lock")
        for line in lock.read_text().splitlines()
        if "==" in line
    }
    crates = tomllib.loads((ROOT / "rust_metrics/Cargo.lock").read_text())["package"]
    foreign = {
        ("pkg:cargo", crate["name"], crate["version"]) for crate in crates if "source" in crate
    }
    assert set(listed) == pins | foreign
    assert all("hashes" in part for part in made["components"] if "cargo" in part["purl"])

"""A bill of materials: every package and crate that is pinned, for tools that look up known flaws.

    python -m tools.sbom sbom.cdx.json

CycloneDX, as JSON, made of the lock files. The licences of Python's packages are those that the
environment's own copies state.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from training_maps.utils.files import replace_when_whole

ROOT = Path(__file__).parents[1]
LOCKS = sorted(ROOT.glob("requirements*.lock"))


def bill() -> Bom:
    """The bill: this project, its Python packages and its Rust crates."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    itself = Component(
        name=project["name"], version=project["version"], type=ComponentType.APPLICATION,
        bom_ref=project["name"], purl=PackageURL("pypi", name=project["name"]),
    )  # fmt: skip
    bom = Bom(components=[*_packages(), *_crates()])
    bom.metadata.component = itself
    bom.register_dependency(itself, bom.components)
    return bom


def _packages() -> Iterator[Component]:
    """Python's packages, each once."""
    pins = {line for lock in LOCKS for line in lock.read_text().split("\n") if "==" in line}
    for pin in sorted(pins, key=str.lower):
        name, version = pin.split(";")[0].strip().split("==")
        yield _component("pypi", name, version, _licence(name, version))


def _crates() -> Iterator[Component]:
    """Rust's crates with their checksums; this project's own have none and are left out."""
    lock = tomllib.loads((ROOT / "rust_metrics" / "Cargo.lock").read_text())
    for crate in lock["package"]:
        if "checksum" in crate:
            digest = HashType(alg=HashAlgorithm.SHA_256, content=crate["checksum"])
            yield _component("cargo", crate["name"], crate["version"], hashes=[digest])


def _component(
    kind: str,
    name: str,
    version: str,
    licence: str | None = None,
    hashes: list[HashType] | None = None,
) -> Component:
    purl = PackageURL(kind, name=name, version=version)
    licences = [LicenseFactory().make_from_string(licence)] if licence else []
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl),
        hashes=hashes or [], licenses=licences,
    )  # fmt: skip


def _licence(name: str, version: str) -> str | None:
    """The SPDX expression that the installed copy of a package states."""
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return None
    return said.get("License-Expression") if said["Version"] == version else None


def main() -> None:
    """Write the bill to the file that is named."""
    if len(sys.argv) != 2:
        raise SystemExit("python -m tools.sbom FILE.json")
    made = make_outputter(bill(), OutputFormat.JSON, SchemaVersion.V1_6)
    with replace_when_whole(sys.argv[1]) as aside:
        aside.write_text(made.output_as_string(indent=2) + "\n", encoding="utf-8")
    print(f"{sys.argv[1]}: CycloneDX 1.6")


if __name__ == "__main__":
    main()

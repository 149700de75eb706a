"""What a release changes by hand, in several files, says the same in each."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_all_files_give_the_same_version():
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    cargo = tomllib.loads((ROOT / "rust_metrics/Cargo.toml").read_text())["workspace"]["package"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert python == cargo["version"] == citation["version"]


def test_all_files_give_the_same_licence():
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    cargo = tomllib.loads((ROOT / "rust_metrics/Cargo.toml").read_text())["workspace"]["package"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert python == cargo["license"] == citation["license"]

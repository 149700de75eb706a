"""Every module has its tests where its name says: `tests/unit` mirrors the package.

`FOLDER/MODULE.py` is tested by `tests/unit/FOLDER/test_MODULE.py`. Where that would be too long, or
runs in a manner of its own, there are `test_MODULE_WHAT.py` beside it. The face of a folder, its
`__init__`, is tested by `test_FOLDER.py` inside it. Properties across modules are in
`tests/properties`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import ROOT

PACKAGE, TESTS = ROOT / "python" / "training_maps", ROOT / "tests" / "unit"
# Commands are thin: what one computes is tested beside the function that it calls, and all together
# in commands/test_commands.py. Those with more to them than options have a file of their own.
TESTED_ELSEWHERE = ("commands",)


def modules() -> list[Path]:
    """All modules but faces, as paths in the package."""
    files = sorted(PACKAGE.rglob("*.py"))
    return [file.relative_to(PACKAGE) for file in files if file.name != "__init__.py"]


@pytest.mark.parametrize(
    "module",
    [module for module in modules() if module.parts[0] not in TESTED_ELSEWHERE],
    ids=str,
)
def test_every_module_has_its_tests(module: Path) -> None:
    assert (TESTS / module.parent / f"test_{module.name}").is_file()


def test_every_test_file_is_of_a_module() -> None:
    named = {(module.parent, module.stem) for module in modules()}
    lost = []
    for file in sorted(TESTS.rglob("test_*.py")):
        folder = file.parent.relative_to(TESTS)
        name = file.stem.removeprefix("test_")
        parts = name.split("_")
        known = {"_".join(parts[:n]) for n in range(1, len(parts) + 1)}
        if name != folder.name and not any((folder, one) in named for one in known):
            lost.append(str(file.relative_to(TESTS)))
    assert lost == []

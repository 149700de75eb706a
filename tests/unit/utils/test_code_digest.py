"""Every module that decides a stage's results counts among that stage's sources."""

import ast
from pathlib import Path

import pytest

import training_maps
from tests.support.project import ROOT
from training_maps.cli import STAGES
from training_maps.utils.code_digest import (
    PLUMBING,
    STAGE_MODULES,
    STAGE_RUST,
    _rust_files,
    stage_digest,
    stage_files,
)

PACKAGE = Path(training_maps.__file__).parent
RUST = ROOT / "rust_metrics"


def imports(path):
    """The files of the package that the module at `path` imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("training_maps"):
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("training_maps.")]
        for name in names:
            part = PACKAGE.joinpath(*name.split(".")[1:])
            for file in (part.with_suffix(".py"), part / "__init__.py"):
                if file.is_file() and file != PACKAGE / "__init__.py":
                    found.add(file)
    return found


def closure(path, stop):
    """All files that `path` imports, and what they import, not looking beyond `stop`."""
    seen, new = set(), {path}
    while new:
        file = new.pop()
        seen.add(file)
        new |= imports(file) - seen - stop
    return seen


ORDER = list(STAGE_MODULES)  # a stage comes after the stages whose results it reads


def python_files(patterns):
    return {file for file in stage_files(patterns) if file.suffix == ".py"}


@pytest.mark.parametrize("stage", ORDER)
def test_what_a_stage_imports_is_listed_for_it_or_for_an_earlier_one(stage):
    needed = closure(PACKAGE / "commands" / f"{stage}.py", python_files(PLUMBING))
    listed = [python_files(STAGE_MODULES[name]) for name in ORDER[: ORDER.index(stage) + 1]]
    if stage == "train":
        # Its rule counts the metrics stage's code too, where training computes metrics itself.
        needed -= python_files(STAGE_MODULES["metrics"])
    if stage not in ("figures", "report", "compare"):
        # A map can draw itself in a notebook; no stage makes it do so.
        needed -= python_files(("figures/**", "results"))
    # Faces hand names on and hold no code.
    faces = {
        file for file in needed if file.name == "__init__.py" and file.with_suffix(".pyi").exists()
    }
    assert not needed - faces - set().union(*listed)


@pytest.mark.parametrize("stage", ORDER)
def test_nothing_is_listed_that_a_stage_does_not_import(stage):
    starts = [PACKAGE / "commands" / f"{stage}.py"]
    if stage == "train":  # tasks are imported by name, and count by name
        starts += PACKAGE.glob("training/tasks/*.py")
    needed = set().union(*(closure(start, set()) for start in starts))
    folders = {file for file in python_files(STAGE_MODULES[stage]) if file.parent != PACKAGE}
    assert not python_files(STAGE_MODULES[stage]) - needed - folders


def test_every_command_is_a_stage():
    commands = {path.stem for path in (PACKAGE / "commands").glob("*.py")} - {"__init__"}
    assert commands == set(STAGE_MODULES) == set(STAGES)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one module, whose stage is `train`."""
    monkeypatch.setattr("training_maps.utils.code_digest._PACKAGE", tmp_path)
    monkeypatch.setitem(STAGE_MODULES, "train", ("one",))
    return tmp_path / "one.py"


def test_comments_docstrings_and_layout_do_not_count(package):
    package.write_text('"""A module."""\n\n\ndef f(x):\n    """Double."""\n    return 2 * x\n')
    before = stage_digest("train")
    package.write_text("def f( x ):\n    # twice\n    return 2*x\n")
    assert stage_digest("train") == before


def test_code_counts(package):
    package.write_text("def f(x):\n    return 2 * x\n")
    before = stage_digest("train")
    package.write_text("def f(x):\n    return 3 * x\n")
    assert stage_digest("train") != before
    package.write_text('def f(x):\n    y = "not a docstring"\n    return 2 * x\n')
    assert stage_digest("train") != before


@pytest.fixture
def rust(tmp_path):
    """The files of the Rust workspace that decide results."""
    names = ("core/src/lib.rs", "hmm/src/lib.rs", "python/src/lib.rs", "python/src/hmm.rs")
    for name in (*names, "Cargo.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("fn f() {}")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("core/src/lib.rs", "metrics"),
        ("python/src/lib.rs", "metrics"),
        ("Cargo.lock", "metrics"),
        ("hmm/src/lib.rs", "hmm"),
        ("python/src/hmm.rs", "hmm"),
    ],
)
def test_rust_counts_for_the_one_stage_that_computes_with_it(rust, name, stage):
    before = {stage: stage_digest(stage, rust=rust) for stage in STAGE_RUST}
    (rust / name).write_text("fn g() {}")
    changed = {stage for stage in STAGE_RUST if stage_digest(stage, rust=rust) != before[stage]}
    assert changed == {stage}
    assert stage_digest(stage) not in (before[stage], stage_digest(stage, rust=rust))


def test_the_rust_of_the_project_is_where_the_stages_look():
    files = {stage: _rust_files(stage, RUST) for stage in STAGE_RUST}
    every = {*RUST.glob("*/src/**/*.rs"), RUST / "Cargo.lock"}
    assert set().union(*files.values()) == every
    assert sum(map(len, files.values())) == len(every)


def test_a_folder_without_the_rust_of_a_stage_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no Rust source of the stage hmm"):
        stage_digest("hmm", rust=tmp_path)


def test_a_module_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError, match="no_such_module"):
        stage_files(("no_such_module",))

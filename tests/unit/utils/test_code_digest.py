"""Every module that decides a stage's results counts among that stage's sources."""

import ast
import functools
import json
import re
import shutil
from pathlib import Path

import pytest

import training_maps
from tests.support.project import ROOT
from training_maps.cli import STAGES
from training_maps.utils import code_digest
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


@functools.cache
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
        needed -= python_files(("figures/**", "results", "result_files"))
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


# What each rule's `code` is, by the stage that its command runs.
CODE_OF_RULES = {
    stage: code
    for file in (ROOT / "workflow/rules").glob("*.smk")
    for code, stage in re.findall(
        r'^ *code=(.*),\n *shell:\n *"training-maps (\w+) ', file.read_text(), re.M
    )
}

# Stages that are only called by hand.
BY_HAND = {"inspect", "layers", "convert", "open", "spread", "place", "watch"}
# Stages that do another one's work too, and read nothing of what it writes.
WITH_CODE_OF = {"hub": "metrics", "half": "hmm"}


@pytest.mark.parametrize(
    "stage",
    sorted(set(STAGES) - BY_HAND - {"describe_model"}),
)
def test_a_stage_s_rule_has_the_digest_of_its_code(stage):
    """So that it runs again when that changes: tests/workflow/test_rerunning.py."""
    code = CODE_OF_RULES[stage]
    if stage == "train":  # its digest depends on the task; tests/workflow/test_rerunning.py has it
        assert code == "code"
    elif stage in STAGE_RUST:
        assert code == f'stage_digest("{stage}", rust=RUST)'
    elif stage in WITH_CODE_OF:
        assert code == f'stage_digest("{stage}") + {CODE_OF_RULES[WITH_CODE_OF[stage]]}'
    else:
        assert code == f'stage_digest("{stage}")'


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


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A file of its own for digests that are kept, and a function that forgets what was read."""
    monkeypatch.setattr(code_digest, "_KEPT", tmp_path / "cache" / "kept.json")

    def forget():
        code_digest._read_kept.cache_clear()
        code_digest._meaning_of_module.cache_clear()

    forget()
    yield forget
    forget()


def test_a_digest_is_kept_until_a_byte_changes(package, kept, monkeypatch):
    package.write_text("x = 1\n")
    before = stage_digest("train")
    kept()
    with monkeypatch.context() as patched:
        patched.setattr(code_digest.ast, "parse", lambda content: 1 / 0)
        assert stage_digest("train") == before
        package.write_text("x = 2\n")
        with pytest.raises(ZeroDivisionError):
            stage_digest("train")
    assert stage_digest("train") != before
    package.write_text("x = 1  # as before\n")
    assert stage_digest("train") == before


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 1}', "{"])
def test_what_is_kept_may_be_damaged_or_not_to_be_written(package, kept, content):
    package.write_text("x = 1\n")
    before = stage_digest("train")
    code_digest._KEPT.write_text(content)
    kept()
    assert stage_digest("train") == before
    shutil.rmtree(code_digest._KEPT.parent)
    code_digest._KEPT.parent.write_text("a file, where a folder should be")
    kept()
    assert stage_digest("train") == before


def test_no_more_digests_are_kept_than_the_newest(package, kept, monkeypatch):
    monkeypatch.setattr(code_digest, "_MOST_KEPT", 2)
    for number in range(4):
        package.write_text(f"x = {number}\n")
        newest = stage_digest("train")
    found = json.loads(code_digest._KEPT.read_text())
    assert len(found) == 2
    assert list(found.values())[-1] == newest


def test_code_counts(package):
    package.write_text("def f(x):\n    return 2 * x\n")
    before = stage_digest("train")
    package.write_text("def f(x):\n    return 3 * x\n")
    assert stage_digest("train") != before
    package.write_text('def f(x):\n    y = "not a docstring"\n    return 2 * x\n')
    assert stage_digest("train") != before


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the package, which the digests are of."""
    folder = tmp_path_factory.mktemp("copied") / PACKAGE.name
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training_maps.utils.code_digest._PACKAGE", folder)
        yield folder


def digests():
    """The digest of each stage, and of the training of two tasks."""
    found = {stage: stage_digest(stage) for stage in ORDER}
    return found | {
        f"train {task}": stage_digest("train", task=task) for task in ("sparse_parities", "cifar")
    }


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        ("training/networks", {"train", "train sparse_parities", "train cifar"}),
        ("training/models/mlp", {"train sparse_parities"}),
        ("training/models/resnet", {"train cifar"}),
        ("training/tasks/sparse_parities", {"train sparse_parities"}),
        ("metrics/compute", {"metrics", "inspect", "layers"}),
        ("hmm/gaussian", {"hmm"}),
        ("model_selection/stability", {"map"}),
        ("analysis/semantics/regression", {"semantics"}),
        ("figures/style", {"figures", "report", "compare"}),
        ("cli", set()),
    ],
)
def test_a_changed_line_changes_the_digests_of_its_stages_alone(copied, module, stages):
    source = copied / f"{module}.py"
    content, before = source.read_text(), digests()
    try:
        source.write_text(content + "\n\n# a comment changes nothing\n")
        assert digests() == before
        source.write_text(content + "\n_changed = 1\n")
        after = digests()
    finally:
        source.write_text(content)
    assert {stage for stage, digest in after.items() if digest != before[stage]} == stages


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
    fuzzers = set(RUST.glob("fuzz/**/*.rs"))  # they test the engine, and are no part of it
    every = {*RUST.glob("*/src/**/*.rs"), RUST / "Cargo.lock"} - fuzzers
    assert set().union(*files.values()) == every
    assert sum(map(len, files.values())) == len(every)


def test_a_folder_without_the_rust_of_a_stage_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no Rust source of the stage hmm"):
        stage_digest("hmm", rust=tmp_path)


def test_a_module_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError, match="no_such_module"):
        stage_files(("no_such_module",))

"""Which code makes which result: a digest of each stage's sources.

The workflow gives a stage's digest to its rule, so that a change in a stage's code reruns that
stage and what follows, and nothing before it. Comments, docstrings and layout do not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

# Sentences are part of what a stage writes.
WORDING = "utils/wording"
NOTES = "utils/notes"
# So are the columns of tables.
TABLES = "result_tables"
# The forms that checkpoints have.
FORMS = (
    "runs/derived_weights",
    "runs/formats",
    "runs/harmless_types",
    "runs/hdf5_format",
    "runs/lora",
    "runs/lora_base",
    "runs/msgpack_format",
    "runs/other_formats",
    "runs/torch_format",
)
# The modules and folders whose code decides what a stage's results are: `folder/*` is what lies in
# a folder, `folder/**` what lies below it too. What an earlier stage lists need not be named again:
# a change in it reruns that stage, and this one after it. PLUMBING is what all stages stand on: it
# carries results without shaping them, and a change there reruns nothing.
STAGE_MODULES: dict[str, tuple[str, ...]] = {
    "fetch": ("commands/fetch", "training/datasets/*"),
    "train": ("commands/train", "training/*", "training/tasks/__init__", "runs/checkpoints"),
    "collect": ("commands/collect", "runs/discovery", "runs/checkpoints"),
    "tables": ("commands/tables", "runs/tables/*", "runs/training_logs", "utils/numbers"),
    "metrics": ("commands/metrics", "metrics/*", *FORMS),
    "describe_model": ("commands/describe_model",),
    "inspect": ("commands/inspect", "metrics/*", *FORMS),
    "hub": ("commands/hub", "hub/*", "runs/checkpoints"),
    "observations": (
        "commands/observations",
        "hmm/log_columns",
        "hmm/observations",
        "hmm/standards",
        NOTES,
    ),
    "hmm": (
        "commands/hmm",
        "hmm/*",
        "model_selection/fit",
        "model_selection/fitted",
        "model_selection/restarts",
    ),
    # Beside the hmm stage's code, which its rule counts too: it reads nothing of that stage.
    "half": ("commands/half", "reproducibility/*", "model_selection/criteria", "structure/*"),
    "structure": (
        "commands/structure",
        "structure/*",
        "reproducibility/*",
        "analysis/reproducibility/structure",
        "analysis/reproducibility/agreement",
        "model_selection/criteria",
        "stats/agreement",
        WORDING,
    ),
    "map": (
        "commands/map",
        "model_selection/*",
        "training_map/*",
        "stats/agreement",
        "stats/mean_interval",
        WORDING,
        TABLES,
    ),
    "convert": ("commands/convert",),
    "open": ("commands/open",),
    # In place of the map stage, so its modules are named again.
    "state_paths": ("commands/state_paths", "training_map/*", WORDING, NOTES, TABLES),
    "forks": (
        "commands/forks",
        "analysis/forks",
        "stats/mean_interval",
        "stats/permutation_test",
        "runs/training_logs",
    ),
    "phase_transitions": ("commands/phase_transitions", "analysis/phases/*"),
    "semantics": (
        "commands/semantics",
        "analysis/semantics/*",
        "stats/cross_validation",
        "stats/least_squares",
        "stats/tobit",
    ),
    "reproducibility": ("commands/reproducibility", "analysis/reproducibility/*"),
    "dissimilarity": (
        "commands/dissimilarity",
        "analysis/dissimilarity",
        "stats/optimal_transport",
    ),
    "outliers": ("commands/outliers", "analysis/outliers"),
    "spread": ("commands/spread", "analysis/dispersion"),
    "sensitivity_variant": ("commands/sensitivity_variant", "analysis/sensitivity/reanalysis"),
    "sensitivity": ("commands/sensitivity", "analysis/sensitivity/*"),
    "early_warning": ("commands/early_warning", "analysis/early_warning/*"),
    "summary": (
        "commands/summary",
        "results",
        "report/summary",
        "report/delays",
        "report/headline",
    ),
    "figures": ("commands/figures", "figures/**"),
    "report": ("commands/report", "report/**", "figures/**"),
    "compare": ("commands/compare", "report/**", "figures/**"),
    "calibrate": (
        "commands/calibrate",
        "placing/*",
        "hmm/predictive",
        "hmm/standards",
        "figures/map/*",
    ),
    "place": ("commands/place", "runs/journal"),
    "watch": ("commands/watch",),
}
# The Rust sources of the stages that compute in the extension, below `rust_metrics`. The binding's
# files are the metrics' but for the one of hidden Markov models, whose crate has no dependencies
# that shape a result.
STAGE_RUST: dict[str, tuple[str, ...]] = {
    "metrics": ("core/src/**/*.rs", "python/src/**/*.rs", "Cargo.lock"),
    "hmm": ("hmm/src/**/*.rs", "python/src/hmm.rs"),
}
PLUMBING = (
    "cli",
    "config/*",
    "settings/*",
    "analysis/sensitivity/variants",
    "utils/__init__",
    "utils/code_digest",
    "utils/errors",
    "utils/files",
    "utils/interrupts",
    "utils/locks",
    "utils/progress",
    "utils/seeds",
)
# The fields of a syntax tree that hold statements, or what holds statements.
_STATEMENT_FIELDS = ("body", "orelse", "finalbody", "handlers", "cases")
_SOURCES = (".py", ".j2", ".css", ".js")


def stage_digest(stage: str, task: str | None = None, rust: Path | None = None) -> str:
    """A digest of the code behind `stage`.

    Args:
        stage: a key of `STAGE_MODULES`.
        task: for "train": the task, whose own module belongs to the stage, and so do the modules
            that it imports, such as its network's.
        rust: for the stages of `STAGE_RUST`: the folder of the Rust sources.

    Returns:
        Sixteen hexadecimal digits.
    """
    files = set(stage_files(STAGE_MODULES[stage]))
    if task:
        files |= _with_imports(_PACKAGE / "training/tasks" / f"{task}.py") - set(
            stage_files(PLUMBING)
        )
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode())
        digest.update(_meaning(path))
    if rust is not None:
        for path in _rust_files(stage, rust):
            digest.update(path.relative_to(rust).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def stage_files(patterns: tuple[str, ...]) -> list[Path]:
    """The files of the package that `patterns` name: modules, or what is in or below a folder."""
    files: set[Path] = set()
    for pattern in patterns:
        name = pattern.replace("**", "**/*") if pattern.endswith("*") else f"{pattern}.py"
        found = [path for path in _PACKAGE.glob(name) if path.suffix in _SOURCES]
        if not found:
            raise FileNotFoundError(f"no source of the package is called {pattern}")
        files.update(found)
    return sorted(files)


def _rust_files(stage: str, rust: Path) -> list[Path]:
    """The Rust sources of a stage in the folder `rust`."""

    def matched(name: str) -> set[Path]:
        return {path for pattern in STAGE_RUST[name] for path in rust.glob(pattern)}

    files = matched(stage) - (matched("hmm") if stage == "metrics" else set())
    if not files:
        raise FileNotFoundError(f"{rust} holds no Rust source of the stage {stage}")
    return sorted(files)


def _with_imports(path: Path) -> set[Path]:
    """A module of the package, and all modules of it that it imports, directly or not."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += _imports(file)
    return seen


def _imports(path: Path) -> list[Path]:
    """The modules of the package that the module at `path` names in an import, anywhere in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    files = []
    for name in names:
        if name.startswith(f"{_PACKAGE.name}."):
            part = _PACKAGE.joinpath(*name.split(".")[1:])
            files += [part.with_suffix(".py"), part / "__init__.py"]
    return [file for file in files if file.is_file()]


def _meaning(path: Path) -> bytes:
    """What a source says to the interpreter: a module's syntax tree without its docstrings."""
    content = path.read_bytes()
    return _meaning_of_module(content) if path.suffix == ".py" else content


@functools.cache
def _meaning_of_module(content: bytes) -> bytes:
    """A module's syntax tree; made once, as a process plans many stages, and they share modules."""
    tree = ast.parse(content)
    left: list[ast.AST] = [tree]
    while left:  # of the tree, only what can hold a definition: expressions are most of it
        node = left.pop()
        for field in _STATEMENT_FIELDS:
            left += getattr(node, field, ())
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return ast.dump(tree).encode()

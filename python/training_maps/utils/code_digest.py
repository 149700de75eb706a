"""Which code makes which result: a digest of each stage's sources.

The workflow gives a stage's digest to its rule, so that a change in a stage's code reruns that
stage and what follows, and nothing before it. Comments, docstrings and layout do not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
from contextlib import suppress
from importlib.util import cache_from_source
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
    "layers": ("commands/layers", "metrics/*", *FORMS),
    "inspect": ("commands/inspect", "metrics/*", *FORMS, WORDING),
    "hub": ("commands/hub", "hub/*", "runs/checkpoints"),
    "observations": (
        "commands/observations",
        "hmm/layer_columns",
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
        "utils/threads",
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
        "analysis/fast_and_slow",
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
    "layer_changes": ("commands/layer_changes", "analysis/layer_changes"),
    "outliers": ("commands/outliers", "analysis/outliers", "stats/optimal_transport"),
    "spread": ("commands/spread", "analysis/dispersion", "analysis/dissimilarity"),
    "sensitivity_variant": ("commands/sensitivity_variant", "analysis/sensitivity/reanalysis"),
    "sensitivity": ("commands/sensitivity", "analysis/sensitivity/*"),
    "early_warning": ("commands/early_warning", "analysis/early_warning/*"),
    "summary": (
        "commands/summary",
        "results",
        "result_files",
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
# Where digests are kept from one process to the next, as Python keeps compiled modules: planning a
# workflow asks for all stages', which takes half a second to compute. The newest so many are kept.
_KEPT = Path(cache_from_source(__file__)).with_suffix(".json")
_MOST_KEPT = 500


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
    sources = {path.relative_to(_PACKAGE).as_posix(): path.read_bytes() for path in sorted(files)}
    other = {}
    if rust is not None:
        other = {p.relative_to(rust).as_posix(): p.read_bytes() for p in _rust_files(stage, rust)}
    return _kept_digest(sources, other)


def _kept_digest(sources: dict[str, bytes], other: dict[str, bytes]) -> str:
    """The digest of a stage's sources of the package, and other ones: kept, if it was made before.

    It is kept by all that decides it, byte by byte, this module's own text included.
    """
    exact = hashlib.sha256(Path(__file__).read_bytes())
    for name, content in (*sources.items(), *other.items()):
        exact.update(f"{name}\n{len(content)}\n".encode() + content)
    key = exact.hexdigest()
    kept = _read_kept()
    if key not in kept:
        digest = hashlib.sha256()
        for name, content in sources.items():
            digest.update(name.encode())
            digest.update(_meaning_of_module(content) if name.endswith(".py") else content)
        for name, content in other.items():
            digest.update(name.encode() + content)
        kept[key] = digest.hexdigest()[:16]
        _keep(kept)
    return kept[key]


@functools.cache
def _read_kept() -> dict[str, str]:
    """The digests that are kept; none where the file is missing or damaged."""
    with suppress(OSError, ValueError):
        kept = json.loads(_KEPT.read_text())
        if isinstance(kept, dict) and all(isinstance(value, str) for value in kept.values()):
            return kept
    return {}


def _keep(kept: dict[str, str]) -> None:
    """Keep digests, where the package's folder can be written to."""
    aside = _KEPT.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        _KEPT.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(dict(list(kept.items())[-_MOST_KEPT:])))
        aside.replace(_KEPT)


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


@functools.cache
def _meaning_of_module(content: bytes) -> bytes:
    """What a module says to the interpreter: its syntax tree without docstrings.

    Made once, as a process plans many stages, and they share modules.
    """
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

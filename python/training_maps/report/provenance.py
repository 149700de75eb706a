"""What made a report: versions, commit, machine and date, so that it can be made again."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from training_maps.results import ExperimentResults
from training_maps.utils.files import package_version, table_metadata

_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "hmmlearn", "matplotlib")
# What an experiment's folder may hold beside the page, in the order in which people ask for it.
_BESIDE = (
    "training_map.json",
    "state_paths.csv",
    "run_paths.csv",
    "convergence.csv",
    "coefficients.csv",
    "delays.csv",
    "forks.json",
    "phase_transitions.csv",
    "dissimilarity.csv",
    "outliers.csv",
    "hmm/model_selection.csv",
    "summary.json",
)
# The files that a figure is drawn from.
_DRAWN_FROM = {
    "convergence_times": ("convergence.csv",),
    "dissimilarity": ("dissimilarity.csv",),
    "forks": ("forks.json",),
    "layers": ("layer_changes.parquet",),
    "phase_transitions": ("phase_transitions.csv",),
    "regression": ("coefficients.csv", "outcomes.csv"),
    "model_selection": ("hmm/model_selection.csv",),
}


def provenance(results: ExperimentResults) -> list[tuple[str, str]]:
    """Name and text of what one must know to make the page again, as far as it is known."""
    rows = [("training-maps", package_version())]
    commit = git_commit(Path(__file__))
    rows += [("commit", commit)] if commit else []
    rows += [("trained with torch", trained) for trained in [_torch(results)] if trained]
    made = (results.folder / "training_map.json").stat().st_mtime
    when = datetime.fromtimestamp(made, tz=UTC)
    rows += [
        ("map made on", f"{when:%Y-%m-%d %H:%M} UTC"),
        ("platform", f"{platform.platform(terse=True)}, {platform.machine()}"),
        ("Python", platform.python_version()),
        ("packages", ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)),
    ]
    return rows


@cache
def git_commit(file: Path) -> str:
    """The commit of the checkout that a file belongs to, marked if its folder differs; "" of none.

    A package that is installed among others may lie below a repository that is not its own.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(file.parent), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    if not git("ls-files", "--", file.name):
        return ""
    commit = git("rev-parse", "--short=12", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "..")
    return f"{commit} with changes" if commit and changed else commit


def _torch(results: ExperimentResults) -> str:
    """The version of torch that trained the first run; "" where it is not known."""
    seed = results.seeds[0]
    for name in ("training_log.parquet", "metrics.parquet"):
        file = results.folder / "runs" / f"seed-{seed}" / name
        if file.is_file() and (torch := table_metadata(file).get("torch")):
            return str(torch)
    return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def files_beside(folder: Path) -> list[str]:
    """The files of results that lie beside the page."""
    return [name for name in _BESIDE if (folder / name).is_file()]


def files_of_figures(folder: Path) -> dict[str, list[str]]:
    """By figure, the files that it is drawn from, of those that are there."""
    return {
        name: [file for file in files if (folder / file).is_file()]
        for name, files in _DRAWN_FROM.items()
    }


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as pairs of a dotted key and a value's text."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{key}", str(value)


def changed_settings(
    settings: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """The settings that are not as their defaults; none where defaults are not known."""
    usual = dict(flat(defaults))
    return [(key, text) for key, text in flat(settings) if usual and usual.get(key) != text]

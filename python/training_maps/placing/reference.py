"""What a map must keep so that new runs can be placed on it, in one file: `placing.npz`.

The map's runs in a scale that is theirs (the mean of their means, and their mean deviation within a
run), never the new run's; the model as it is in that scale; and what is usual among the runs. The
file is all that a new run needs: it may be copied to where that trains.
"""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_maps.hmm.base import HMM
from training_maps.hmm.standards import Standards
from training_maps.model_selection.fitted import model_from, parameter_arrays
from training_maps.placing.forecast import Forecast, Regressions
from training_maps.placing.usual import Usual
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, replace_when_whole
from training_maps.utils.numbers import Floats
from training_maps.utils.wording import plural

# What the drawing of a map is made of.
_ELEMENTS = frozenset(("svg", "g", "path", "circle", "rect", "text", "tspan", "title"))
_ATTRIBUTES = frozenset(
    ("class", "viewBox", "role", "aria-label", "style", "data-edge", "data-state", "d", "cx", "cy",
     "r", "x", "y", "width", "height", "text-anchor")
)  # fmt: skip

#: The file in a map's folder.
FILE = "placing.npz"
# Of the file's arrays. Another version is made anew.
VERSION = 1


@dataclass(frozen=True, eq=False)
class Reference:
    """What new runs are placed by: M runs of a map, or a sample of them, at T steps, in d metrics.

    Attributes:
        training_map: the map's dict (`training_map.json`).
        forks: the map's states at which runs part ways.
        metrics: names of the d metrics.
        standards: mean and deviation of each, common to the map's runs.
        seeds: (M,) of the runs.
        steps: (T,) at which half of the runs or more have a checkpoint.
        scored: (M, T, d) z-scored metrics; NaN where one is missing.
        hmm: the map's model in this scale.
        degrees: degrees of freedom of its noise.
        whitening: (d, d) of metrics for distances (`placing.position`).
        usual: what is usual among the runs.
        forecast: what an outcome is predicted from; None where the runs have none.
        settings: what made the file.
    """

    training_map: Mapping[str, Any]
    forks: tuple[int, ...]
    metrics: tuple[str, ...]
    standards: Standards
    seeds: NDArray[np.int64]
    steps: NDArray[np.int64]
    scored: Floats
    hmm: HMM
    degrees: float
    whitening: Floats
    usual: Usual
    forecast: Forecast | None
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The experiment's name."""
        return str(self.training_map["experiment"] or "the map")

    @property
    def n_runs(self) -> int:
        """Number of the map's runs."""
        return len(self.seeds)

    @property
    def runs_told(self) -> str:
        """ "the map's 40 runs"; "1000 of the map's 8000 runs" where a sample of them is kept."""
        of_map = int(self.settings.get("runs_of_map", self.n_runs))
        sample = f"{self.n_runs} of " if self.n_runs < of_map else ""
        return f"{sample}the map's {plural(of_map, 'run')}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as npz without pickles."""
        told = {
            "version": VERSION,
            "training_map": dict(self.training_map),
            "forks": list(self.forks),
            "metrics": list(self.metrics),
            "degrees": self.degrees if np.isfinite(self.degrees) else None,
            "limit": self.usual.limit,
            "by_rank": self.usual.by_rank,
            "forecast": None if self.forecast is None else dict(self.forecast.about),
            "made_by": made_by(**self.settings),
        }
        arrays: dict[str, Any] = {
            "standards": np.array([getattr(self.standards, f.name) for f in fields(Standards)]),
            **{name: getattr(self, name) for name in ("seeds", "steps", "scored", "whitening")},
            **{f"hmm_{name}": array for name, array in parameter_arrays(self.hmm).items()},
            "hmm_model": np.array(self.hmm.name),
            **{f"usual_{n}": getattr(self.usual, n) for n in ("centre", "spread", "size", "runs")},
            **({} if self.forecast is None else _of_forecast(self.forecast)),
        }
        with replace_when_whole(path) as aside, aside.open("wb") as file:
            np.savez_compressed(file, told=np.array(json.dumps(told)), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Reference:
        """Read what `save` wrote: the file, or the folder of a map that has it.

        Raises:
            InputError: if there is none, or it is broken or of another version; what to do is said.
        """
        path = Path(path)
        file = path / FILE if path.is_dir() else path
        again = f"make it with 'training-maps calibrate --map {file.parent}'"
        if not file.exists():
            raise InputError(_nothing_to_place_by(path, again))
        try:
            with np.load(file, allow_pickle=False) as saved:
                told = json.loads(str(saved["told"]))
                version = told["version"]
                if version == VERSION:
                    return cls._of(told, {name: saved[name] for name in saved.files})
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
        except (ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{file}: is not whole ({error}); {again}") from error
        raise InputError(
            f"{file}: was made by another version of training-maps (format {version}, expected "
            f"{VERSION}); {again}"
        )

    @classmethod
    def _of(cls, told: Mapping[str, Any], saved: Mapping[str, NDArray[Any]]) -> Reference:
        """What a file's arrays say."""
        hmm = {k.removeprefix("hmm_"): v for k, v in saved.items() if k.startswith("hmm_")}
        about = told["forecast"]
        usual = {name: saved[f"usual_{name}"] for name in ("centre", "spread", "size", "runs")}
        return cls(
            training_map=_harmless(told["training_map"]),
            forks=tuple(told["forks"]),
            metrics=tuple(told["metrics"]),
            standards=Standards(*saved["standards"]),
            **{name: saved[name] for name in ("seeds", "steps", "scored", "whitening")},
            hmm=model_from(hmm),
            degrees=np.inf if told["degrees"] is None else told["degrees"],
            usual=Usual(limit=told["limit"], by_rank=told["by_rank"], **usual),
            forecast=None if about is None else _forecast(about, saved),
            settings=told["made_by"],
        )


_OF_REGRESSIONS = ("weights", "constant", "errors", "slow_limit")


def _of_forecast(forecast: Forecast) -> dict[str, Any]:
    """A forecast's arrays."""
    return {
        "outcome": forecast.outcome,
        "censored": forecast.censored,
        "outcome_unit": np.array([forecast.unit, forecast.slow_after]),
        **{
            f"{which}_{name}": np.asarray(getattr(getattr(forecast, which), name))
            for which in ("any", "open")
            for name in _OF_REGRESSIONS
        },
    }


def _forecast(about: Mapping[str, Any], saved: Mapping[str, NDArray[Any]]) -> Forecast:
    """The forecast of a file's arrays."""
    fitted = {}
    for which in ("any", "open"):
        weights, constant, errors, limit = (saved[f"{which}_{name}"] for name in _OF_REGRESSIONS)
        fitted[which] = Regressions(weights, constant, errors, float(limit))
    unit, slow_after = saved["outcome_unit"].tolist()
    return Forecast(about, saved["outcome"], saved["censored"], unit, slow_after, **fitted)


def _harmless(training_map: Mapping[str, Any]) -> Mapping[str, Any]:
    """The map, if its drawing holds shapes and text alone, as pages show it as it is.

    Raises:
        ValueError: if it holds anything else: whoever made the file may mean no good.
    """
    drawn = training_map.get("svg")
    if not drawn:
        return training_map
    if "<!" in drawn or "<?" in drawn:
        raise ValueError("the map's drawing is no plain SVG")
    try:
        parts = list(ElementTree.fromstring(drawn).iter())
    except ElementTree.ParseError as error:
        raise ValueError(f"the map's drawing is no SVG, {error}") from error
    for part in parts:
        name = part.tag.removeprefix("{http://www.w3.org/2000/svg}")
        strange = sorted(set(part.attrib) - _ATTRIBUTES)
        if name not in _ELEMENTS or strange:
            told = ", ".join([name, *strange])
            raise ValueError(f"the map's drawing has what no map has: {told}")
    return training_map


def _nothing_to_place_by(path: Path, again: str) -> str:
    """Why a folder or file has nothing to place runs by, and what to do."""
    if not path.exists():
        return f"{path}: does not exist; expected the folder of a map, such as results/mnist"
    if not (path / "training_map.json").exists():
        return f"{path}: has no training_map.json; expected the folder of a map (results/NAME)"
    return (
        f"{path}: cannot place runs, as it has no {FILE} (maps made before version 0.2 have none); "
        f"{again}"
    )

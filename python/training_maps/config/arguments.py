"""Settings as options of a stage's command, and back: a rule passes what a stage is told in one go.

Each option is made from the setting's declaration: its name, type, choices, limits, default and
meaning. `STAGES` says which settings a stage is told; a change of another one reruns nothing there.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training_maps.model_selection.criteria import FOUND_AGAIN
from training_maps.settings.fields import check_limits, defaults_of, fields_schema
from training_maps.settings.sections import (
    EarlyWarningSettings,
    FiguresSettings,
    FitSettings,
    ForksSettings,
    HmmSettings,
    MetricsSettings,
    ObservationsSettings,
    PhaseTransitionsSettings,
    ReproducibilitySettings,
    SelectionSettings,
    SemanticsSettings,
    TrainingMapSettings,
)
from training_maps.utils.errors import InputError
from training_maps.utils.seeds import format_seeds

#: Files that several stages read: what stands for one in a command's help, and what it is.
INPUTS = {
    "observations": ("FILE", "the observations, as the stage observations writes them"),
    "state-paths": ("CSV", "each run's states: seed, step, state"),
    "training-map": ("JSON", "the map, training_map.json"),
    "regression": ("JSON", "the regression on the states, regression.json"),
    "outcomes": ("CSV", "each run's outcome"),
}
# A half of the runs is fitted as all of them are, but as often and from the seed that its own
# section says.
_OF_HALVES = ("restarts", "random_state")
_AS_ALL_RUNS = tuple(key for key in defaults_of(FitSettings) if key not in _OF_HALVES)
# Whether layers are kept is said by the file that they are written to.
_OF_CHECKPOINTS = ("non_finite", "columns", "unreadable")
_OF_BEGINNINGS = (
    "restarts",
    "covariance_floor",
    "minimum_stay",
    "stay_prior",
    "max_iterations",
    "tolerance",
)
#: By stage: section of the config, the class that has the keys, and which of them (empty: all).
STAGES: dict[str, tuple[tuple[str, type, tuple[str, ...]], ...]] = {
    "metrics": (("metrics", MetricsSettings, _OF_CHECKPOINTS),),
    "hub": (("metrics", MetricsSettings, _OF_CHECKPOINTS),),
    "observations": (
        ("observations", ObservationsSettings, ()),
        ("metrics", MetricsSettings, ("non_finite",)),
    ),
    "hmm": (("hmm", FitSettings, ()),),
    "half": (
        # Not the number of halves: each is as it is, however many there are.
        ("reproducibility", ReproducibilitySettings, _OF_HALVES),
        ("hmm", HmmSettings, ("n_states", "model", *_AS_ALL_RUNS)),
        ("observations", ObservationsSettings, ("validation_share",)),
    ),
    "structure": (("hmm", SelectionSettings, ("n_states", "model")),),
    "map": (("hmm", SelectionSettings, ()), ("training_map", TrainingMapSettings, ())),
    "reproducibility": (("hmm", SelectionSettings, ("criterion", "aggregate")),),
    "semantics": (("semantics", SemanticsSettings, ()),),
    "forks": (("forks", ForksSettings, ()),),
    "phase_transitions": (("phase_transitions", PhaseTransitionsSettings, ()),),
    "sensitivity_variant": (("hmm", HmmSettings, ()),),
    "early_warning": (
        ("early_warning", EarlyWarningSettings, ()),
        # The covariance's shape and the number of states are those of the model that was chosen.
        ("hmm", FitSettings, _OF_BEGINNINGS),
    ),
    "figures": (("figures", FiguresSettings, ()),),
}
_READERS: dict[str, Callable[[str], Any]] = {"integer": int, "number": float, "string": str}


def options_of(stage: str, settings: Mapping[str, Any]) -> list[str]:
    """What a stage is told of an experiment's settings, as options of its command.

    Args:
        stage: a key of `STAGES`.
        settings: the experiment's settings, by section.

    Returns:
        The options' words. What is null is left out, and so is a mapping that is empty.
    """
    if stage == "half" and settings["hmm"]["criterion"] == FOUND_AGAIN:
        settings = _for_halves(settings)
    words: list[str] = []
    for section, cls, only in STAGES[stage]:
        for key, schema in _parts(cls, only).items():
            words += _words(key, schema, settings[section][key])
    return words


def _for_halves(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of halves that are compared with each other: no run of theirs chooses a model.

    So none is held out, and no split is made anew: halves are small, and agree far more often where
    all of their runs are fitted. Of other criteria, a half is fitted as all runs are.
    """
    return {
        **settings,
        "hmm": {**settings["hmm"], "resplits": 0},
        "observations": {**settings["observations"], "validation_share": 0.0},
    }


def add_inputs(parser: argparse.ArgumentParser, *names: str) -> None:
    """Declare files that several stages read, each of which must be given, by names of `INPUTS`."""
    for name in names:
        metavar, meaning = INPUTS[name]
        parser.add_argument(f"--{name}", type=Path, required=True, metavar=metavar, help=meaning)


def add_base(parser: argparse.ArgumentParser) -> None:
    """Declare where the base of adapters is, which several commands read."""
    parser.add_argument(
        "--base",
        metavar="PATH",
        help="of adapters of LoRA, the checkpoint that they act beside, so that what counts is "
        "both; auto for the one that adapter_config.json names (default: the adapter alone)",
    )


def add_layers_output(parser: argparse.ArgumentParser) -> None:
    """Declare the option that names the table of layers."""
    parser.add_argument(
        "--layers", type=Path, metavar="PARQUET",
        help="output, if wanted: the metrics of each weight matrix by itself, a row for each "
        "checkpoint and matrix",
    )  # fmt: skip


def add_no_halves(parser: argparse.ArgumentParser) -> None:
    """Add `--no-halves` to a command's parser."""
    parser.add_argument(
        "--no-halves",
        action="store_true",
        help="pass over what halves of the runs said before (reproducibility.halves is 0)",
    )


def add_time(parser: argparse.ArgumentParser) -> None:
    """Add `--time epoch|step` to a command's parser."""
    parser.add_argument(
        "--time",
        choices=("epoch", "step"),
        default="epoch",
        help="time axis (default: epoch; steps are used where a run has no log of epochs)",
    )


def add_options(parser: argparse.ArgumentParser, stage: str) -> None:
    """Declare an option for each setting that the stage is told."""
    for section, cls, only in STAGES[stage]:
        group = parser.add_argument_group(f"settings ({section})")
        for key, schema in _parts(cls, only).items():
            group.add_argument(_option(key), dest=key, **_declaration(key, schema))


def read_options(arguments: argparse.Namespace, stage: str) -> dict[str, Any]:
    """The settings that the options of `add_options` say, by key.

    Raises:
        InputError: naming the option, if a value is beyond its limits.
    """
    settings = {}
    for _, cls, only in STAGES[stage]:
        for key, schema in _parts(cls, only).items():
            value = getattr(arguments, key)
            if _is_mapping(schema) and value is not None:
                value = _mapping(key, schema, value)
            check_limits(_option(key), schema, value)
            settings[key] = value
    return settings


def assignments(settings: Mapping[str, Any]) -> list[str]:
    """Settings as NAME=VALUE for a command, values as YAML writes them."""
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in settings.items()
    ]


@functools.cache
def _parts(cls: type, only: tuple[str, ...]) -> Mapping[str, Mapping[str, Any]]:
    """The schema of each key that is told; asked for once a job, of which there are thousands."""
    parts = fields_schema(cls)["properties"]
    return {key: parts[key] for key in only or parts}


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", "string")
    return [types] if isinstance(types, str) else list(types)


def _is_mapping(schema: Mapping[str, Any]) -> bool:
    return "object" in _types(schema)


def _is_numbers(schema: Mapping[str, Any]) -> bool:
    """Whether a list of whole numbers may be written as text, such as 1-8."""
    return "string" in schema.get("items", {}).get("type", ()) and "integer" in _types(schema)


def _words(key: str, schema: Mapping[str, Any], value: Any) -> list[str]:
    option = _option(key)
    if value is None:
        return []
    if isinstance(value, bool):
        return [option if value else f"--no-{option[2:]}"]
    if isinstance(value, Mapping):
        named = schema.get("required")
        texts = [str(value[name]) for name in named] if named else assignments(value)
        return [option, *texts] if texts else []
    if _is_numbers(schema):
        value = format_seeds(value) if isinstance(value, list) else value
    elif "array" in _types(schema):
        return [option, *([value] if isinstance(value, str) else map(str, value))]
    # A value that begins with '-' would be read as another option.
    return [f"{option}={value}"] if str(value).startswith("-") else [option, str(value)]


def _declaration(key: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """What `add_argument` is told: how the option is read, its default and its help."""
    default, types = schema["default"], _types(schema)
    told = "none" if default in (None, [], {}) else default
    if isinstance(told, list):
        told = " ".join(map(str, told))
    text = f"{schema['description']} (default: {told})".replace("%", "%%")
    if "boolean" in types:
        return {"action": argparse.BooleanOptionalAction, "default": default, "help": text}
    declared: dict[str, Any] = {"default": default, "help": text}
    if _is_numbers(schema):
        return {**declared, "metavar": key.upper()}
    if _is_mapping(schema):
        names = schema.get("required")
        if names:
            return {**declared, "nargs": len(names), "metavar": tuple(map(str.upper, names))}
        return {**declared, "nargs": "*", "metavar": "NAME=VALUE"}
    part = schema
    if "array" in types:
        part = schema["items"]
        declared["nargs"] = "+" if schema.get("minItems") else "*"
        declared["default"] = [default] if isinstance(default, str) else default
    if "enum" in part:
        declared["choices"] = [choice for choice in part["enum"] if choice is not None]
        return declared
    kind = next(kind for kind in _types(part) if kind in _READERS)
    return {**declared, "type": _READERS[kind], "metavar": key.rpartition("_")[2].upper()}


def _mapping(key: str, schema: Mapping[str, Any], texts: Any) -> dict[str, Any]:
    """The mapping that an option's words say: one value for each name, or NAME=VALUE."""
    if isinstance(texts, Mapping):
        return dict(texts)  # the default
    if schema.get("required"):
        return dict(zip(schema["required"], texts, strict=True))
    import yaml

    settings = {}
    for text in texts:
        name, separator, value = text.rpartition("=")
        if not (separator and name):
            raise InputError(f"{_option(key)} {text}: expected NAME=VALUE")
        settings[name] = yaml.safe_load(value)
    return settings

"""Broken configs by the thousand: every kind of slip that we could think of, drawn by a seed.

What is broken is derived from the schema (types, limits, choices) and from the experiments' own
files (keys, task settings), so that a new key is covered without a word here.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.project import ROOT
from training_maps.config.schema import load_schema
from training_maps.config.sources import foreign_keys
from training_maps.training.tasks import settings_schema

SCHEMA = load_schema()
Settings = dict[str, Any]

#: Experiments of every source, each of which is accepted as it is, in the folder of `make_world`.
BROUGHT: dict[str, Settings] = {
    "checkpoints": {
        "source": "checkpoints",
        "checkpoints": {"path": "runs/seed{seed}/step_{step}.safetensors"},
    },
    "metrics": {"source": "metrics", "tables": {"path": "history.csv"}},
    "state_paths": {"source": "state_paths", "state_paths": {"path": "paths.csv"}},
    "hub": {"source": "hub", "seeds": "0-2", "hub": {"preset": "polypythias", "size": "160m"}},
}


@dataclasses.dataclass(frozen=True)
class Broken:
    """A job that must be refused.

    Attributes:
        kind: the generator's name.
        config: what config.yaml holds: settings, or bytes.
        files: what files in the folder hold besides.
        names: of these the message has one: the key or the file at fault.
    """

    kind: str
    config: Settings | bytes
    files: Mapping[str, bytes]
    names: tuple[str, ...]


def make_world(folder: Path) -> None:
    """The experiments of the project, and small runs that exist already."""
    (folder / "experiments").mkdir()
    (folder / "own").mkdir()
    for file in (ROOT / "experiments").glob("*.yaml"):
        (folder / "experiments" / file.name).write_bytes(file.read_bytes())
    for seed in range(3):
        (folder / "runs" / f"seed{seed}").mkdir(parents=True)
        for step in range(12):
            (folder / "runs" / f"seed{seed}" / f"step_{step}.safetensors").touch()
    rows = [(seed, step) for seed in range(3) for step in range(12)]
    (folder / "history.csv").write_text(
        "seed,step,l2,val\n" + "".join(f"{seed},{step},{step}.5,1\n" for seed, step in rows)
    )
    (folder / "paths.csv").write_text(
        "seed,step,state\n" + "".join(f"{seed},{step},{step // 6}\n" for seed, step in rows)
    )
    (folder / "outcomes.csv").write_text("seed,score\n0,1.5\n1,2.5\n2,0.5\n")
    (folder / "br{a}ce.csv").write_bytes((folder / "history.csv").read_bytes())
    (folder / "latin1.csv").write_bytes(b"seed,step,state\n0,0,\xe9\n")
    (folder / "file").touch()


def broken_configs(kind: str, n: int, seed: int = 0) -> Iterator[Broken]:
    """`n` broken jobs of one of `KINDS`."""
    draw = random.Random(f"{kind} {seed}")
    for _ in range(n):
        yield dataclasses.replace(KINDS[kind](draw), kind=kind)


def _experiments() -> dict[str, Settings]:
    found = {
        path.stem: yaml.safe_load(path.read_text())
        for path in sorted((ROOT / "experiments").glob("*.yaml"))
    }
    return {
        name: own
        for name, own in found.items()
        if own.get("source", "training") in ("training", "hub") and "experiments" not in own
    }


EXPERIMENTS = _experiments()


def _base(draw: random.Random) -> Settings:
    """The settings of an experiment that is right: one of the project's, or of existing runs."""
    if draw.random() < 0.5:
        return copy.deepcopy(BROUGHT[draw.choice(sorted(BROUGHT))])
    name = draw.choice(sorted(EXPERIMENTS))
    own = copy.deepcopy(EXPERIMENTS[name])
    if "extends" in own:
        own["extends"] = name  # as seen from own/
    return own


def _source(settings: Settings) -> str:
    while "source" not in settings and "extends" in settings:
        settings = EXPERIMENTS[settings["extends"]]
    return settings.get("source", "training")


def _task(settings: Settings) -> str | None:
    while "task" not in settings.get("training", {}) and "extends" in settings:
        settings = EXPERIMENTS[settings["extends"]]
    return settings.get("training", {}).get("task")


def _put(settings: Settings, path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        settings = settings.setdefault(key, {})
    settings[path[-1]] = value


def _job(
    draw: random.Random, settings: Settings, change: Callable[[Settings], None], *names: str
) -> Broken:
    """The change in the experiment's own file, in a file that extends it, or in config.yaml."""
    config: Settings = {"experiments": ["own/broken.yaml"]}
    files = {}
    where = draw.choice(["file", "extending", "config"])
    if where == "file":
        change(settings)
    elif where == "extending":
        files["own/base.yaml"] = yaml.safe_dump(settings).encode()
        settings = {"extends": "base.yaml"} | (
            {"source": settings["source"]} if "source" in settings else {}
        )
        change(settings)
    else:
        change(config)
    files["own/broken.yaml"] = yaml.safe_dump(settings, allow_unicode=True).encode()
    return Broken("", config, files, names)


def _own(settings: Settings, names: tuple[str, ...]) -> Broken:
    """The settings in the experiment's own file."""
    text = yaml.safe_dump(settings, allow_unicode=True).encode()
    return Broken("", {"experiments": ["own/broken.yaml"]}, {"own/broken.yaml": text}, names)


def _leaves(settings: Settings) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every key that the experiment may say something about, with its schema."""

    def walk(schema: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Any]:
        for key, part in schema["properties"].items():
            if "properties" in part:
                yield from walk(part, (*path, key))
            yield (*path, key), part

    source = _source(settings)
    found = [
        (path, part)
        for path, part in walk(SCHEMA["$defs"]["experiment"], ())
        if path[0] not in ("extends", "description", "source")
        and not foreign_keys({path[0]: {path[1]: 1} if len(path) > 1 else {}}, source)
    ]
    task = _task(settings)
    if task and source == "training":
        found += list(walk(settings_schema(task), ("training", "task_settings")))
    return found


_VALUES: tuple[tuple[str, Any], ...] = (
    ("string", "seven"), ("string", "日本語 ☃"), ("string", "x; rm -rf /"), ("boolean", True),
    ("integer", 3), ("number", 0.37), ("array", [{"a": 1}]), ("array", [[1, 2], None]),
    ("object", {"no such key": 1}), ("null", None), ("date", datetime.date(2024, 2, 29)),
    ("bytes", b"\x00\x01"),
)  # fmt: skip


def wrong_type(draw: random.Random) -> Broken:
    """A value of a type that the key does not take."""
    settings = _base(draw)
    path, part = draw.choice(_leaves(settings))
    types = part.get("type", [])
    allowed = {types} if isinstance(types, str) else set(types)
    allowed |= {"integer"} if "number" in allowed else set()
    if "enum" in part:
        allowed = {"null"} if None in part["enum"] else set()
    values = [value for kind, value in _VALUES if kind not in allowed]
    value = draw.choice(values)
    return _job(draw, settings, lambda s: _put(s, path, value), *_names(path))


def _names(path: tuple[str, ...]) -> tuple[str, str]:
    """How messages name a key; a task's own settings are checked by themselves."""
    return ".".join(path), f"{'.'.join(path[:-1])}: {path[-1]}"


def out_of_range(draw: random.Random) -> Broken:
    """A value of the right type beyond a limit of the schema, or no number at all."""
    settings = _base(draw)
    cases = [(path, value) for path, part in _leaves(settings) for value in _beyond(part)]
    path, value = draw.choice(cases)
    return _job(draw, settings, lambda s: _put(s, path, value), *_names(path))


def _beyond(part: Mapping[str, Any]) -> Iterator[Any]:
    types = part.get("type", [])
    types = [types] if isinstance(types, str) else types
    if "minimum" in part:
        yield from (part["minimum"] - 1, -(10**25))
    if "maximum" in part:
        yield part["maximum"] + 1
    if "exclusiveMinimum" in part:
        yield from (part["exclusiveMinimum"], part["exclusiveMinimum"] - 0.5)
    if "exclusiveMaximum" in part:
        yield part["exclusiveMaximum"]
    if "number" in types:
        yield from (float("nan"), float("inf"), float("-inf"), "1e999", "nan", 10**400)
    if "integer" in types and "string" not in types:
        yield from (2**32, 10**30, 2.5, "9" * 5000, "0x10")
    if "minLength" in part:
        yield ""
    if "array" in types and part.get("minItems"):
        yield []
    if "array" in types and part.get("uniqueItems"):
        yield ["l2", "l2"]
    if "pattern" in part:
        yield from ("a b", "$(touch x)", "../../x")
    if "not" in part:
        yield 4
    if "enum" in part:
        yield from ("", "no such choice", "$(touch x)")


def typo(draw: random.Random) -> Broken:
    """A key, at any level, that is nearly one."""
    settings = _base(draw)
    path, _ = draw.choice(_leaves(settings))
    key = path[-1]
    at = draw.randrange(len(key))
    slips = [
        key[:at] + key[at + 1 :],
        key[:at] + key[at] + key[at:],
        key.replace("_", "-"),
        key.upper(),
        key + " ",
        key.replace("a", "\N{CYRILLIC SMALL LETTER A}"),
        key + "s",
        "?" + key,
    ]
    siblings = {other[-1] for other, _ in _leaves(settings) if other[:-1] == path[:-1]}
    top = set(SCHEMA["properties"]) | {"extends", "description"} if len(path) == 1 else set()
    slips = [slip for slip in slips if slip and slip not in siblings | top]
    slip = draw.choice(slips)
    return _job(draw, settings, lambda s: _put(s, (*path[:-1], slip), None), slip)


def unknown_name(draw: random.Random) -> Broken:
    """A task, a metric, a preset or an experiment that there is not."""
    name = draw.choice(["no_such", "l2 ", "L2", "eval_acuracy", "'; DROP TABLE", "../x", "ℓ₂"])
    training = EXPERIMENTS["sparse_parities"]
    cases: list[tuple[Settings, tuple[str, ...], Any]] = [
        (training, ("training", "task"), name),
        (training, ("metrics", "columns"), [name]),
        (BROUGHT["checkpoints"], ("metrics", "columns"), ["paper", name]),
        (training, ("observations", "metrics"), ["l2", name]),
        (training, ("observations", "log_columns"), [name]),
        (training, ("semantics", "column"), name),
        (training, ("sensitivity", "subsets"), {"mine": [name]}),
        (BROUGHT["hub"], ("hub", "preset"), name),
        (BROUGHT["hub"], ("hub", "repository"), f"org/{{{name}}}"),
        (training, ("extends",), name),
    ]
    settings, path, value = draw.choice(cases)
    settings = copy.deepcopy(settings)
    _put(settings, path, value)
    return _own(settings, (".".join(path), "broken.yaml", name))


_BAD_SEEDS: tuple[Any, ...] = (
    "3-1", "0-", "-1", -1, "a", "1,1", "0-5,3", [0, 0], [0, "0-3"], "0-999999999", [], "", " ", ",",
    [1.5], 1.5, [True], [None], {"from": 0}, None, 10**30, "9" * 5000, "1;2", "$(touch x)", "0..9",
    "\N{ARABIC-INDIC DIGIT THREE}", "1\n2\nx", "4294967296", [4294967296], "0-1-2", "1e3", "0x1",
    "all of them", datetime.date(2024, 1, 1),
)  # fmt: skip


def bad_numbers(draw: random.Random) -> Broken:
    """Seeds, numbers of states or steps that are no such list."""
    path, base = draw.choice(
        [
            (("seeds",), EXPERIMENTS["sparse_parities"]),
            (("seeds",), BROUGHT["checkpoints"]),
            (("seeds",), BROUGHT["metrics"]),
            (("hmm", "n_states"), EXPERIMENTS["mnist"]),
            (("hub", "steps"), BROUGHT["hub"]),
        ]
    )
    bad = [*_BAD_SEEDS]
    if path == ("hub", "steps"):
        bad = [value for value in bad if value not in (None, "4294967296", [4294967296])]
        bad += ["0-10:0", "5-1:1", "0-10:", ":5"]
    if path == ("hmm", "n_states"):
        bad += [0, "0-3", "1-5000"]
    value = draw.choice(bad)
    settings = copy.deepcopy(base)
    return _job(draw, settings, lambda s: _put(s, path, value), ".".join(path))


def _contradictions() -> list[tuple[Settings, Settings, str]]:
    """A base, what is said besides, and what the message names."""
    training = EXPERIMENTS["sparse_parities"]
    checkpoints, hub = BROUGHT["checkpoints"], BROUGHT["hub"]
    metrics, paths = BROUGHT["metrics"], BROUGHT["state_paths"]
    table = {"path": "outcomes.csv", "column": "score"}
    return [
        (training, {"checkpoints": {"path": "{seed}/{step}"}}, "checkpoints"),
        (training, {"training_log": {"path": "a.csv"}}, "training_log"),
        (training, {"hub": {"size": "70m"}}, "hub"),
        (training, {"seeds": "all"}, "seeds"),
        (training, {"training": {"length": 20}}, "training.length"),
        (training, {"training": {"length": 2**31 - 1, "checkpoint_every": 1}}, "training.length"),
        (training, {"training": {"stop_after": 5}}, "training.stop_after"),
        (training, {"training": {"precision": "bfloat16"}}, "training.precision"),
        (training, {"training": {"task_settings": {"n_bits": 2}}}, "n_relevant_bits"),
        (training, {"observations": {"max_checkpoints": 5}}, "observations.max_checkpoints"),
        (training, {"metrics": {"columns": ["l2"]}, "observations": {"metrics": ["l1"]}},
         "observations.metrics"),
        (training, {"semantics": {"outcome": "table"}}, "semantics"),
        (training, {"semantics": {"table": table}}, "semantics.table"),
        (training, {"semantics": {"outcome": "final", "column": "loss"}}, "semantics.column"),
        (training, {"sensitivity": {"subsets": {"authors_l1": ["l1"]}, "authors_subsets": True}},
         "authors_l1"),
        (checkpoints, {"training": {"task": "mnist"}}, "training.task"),
        (checkpoints, {"tables": {"path": "history.csv"}}, "tables"),
        (checkpoints, {"observations": {"log_columns": ["gradient_norm"]}}, "log_columns"),
        (metrics, {"metrics": {"columns": ["l2"]}}, "metrics.columns"),
        (metrics, {"parameters": {"weights": ["*"]}}, "parameters"),
        (metrics, {"sensitivity": {"leave_one_out": True}}, "sensitivity.leave_one_out"),
        (metrics, {"tables": {"metrics": ["l2"]}, "observations": {"metrics": ["l1"]}},
         "observations.metrics"),
        (paths, {"hmm": {"restarts": 3}}, "hmm"),
        (paths, {"seeds": "2-5"}, "seeds 3-5"),
        (hub, {"hub": {"repository": "org/{seed}-{step}"}}, "hub.repository"),
        (hub, {"hub": {"size": None}}, "hub.size"),
        (hub, {"hub": {"preset": None}}, "hub.repository"),
        (hub, {"seeds": "0-12"}, "hub.preset"),
        (hub, {"hub": {"steps": "0-4000:1000"}}, "hub.steps"),
    ]  # fmt: skip


def contradiction(draw: random.Random) -> Broken:
    """Settings that are each right and cannot be together."""
    base, besides, name = draw.choice(_contradictions())
    settings = copy.deepcopy(base)
    for section, value in besides.items():
        if isinstance(value, dict):
            for key, part in value.items():
                _put(settings, (section, key), part)
        else:
            settings[section] = value
    return _own(settings, (name,))


def missing_file(draw: random.Random) -> Broken:
    """Files and runs that are not there, or are not what they are to be."""
    name = draw.choice(["missing.csv", "no such folder/a.csv", "own", "zażółć.csv", "x" * 300])
    table = {"outcome": "table", "table": {"path": name, "column": "score"}}
    lacks = {"outcome": "table", "table": {"path": "outcomes.csv", "column": "scor"}}
    training = EXPERIMENTS["sparse_parities"]
    digits = {"task": "mnist", "task_settings": {"dataset": f"{name}.npz"}}
    cases: list[tuple[Settings, tuple[str, ...]]] = [
        ({"source": "state_paths", "state_paths": {"path": name}}, (name,)),
        ({"source": "state_paths", "state_paths": {"path": "outcomes.csv"}}, ("outcomes.csv",)),
        ({"source": "state_paths", "state_paths": {"path": "latin1.csv"}}, ("latin1.csv",)),
        ({"source": "metrics", "tables": {"path": f"{{seed}}/{name}"}}, (name, "tables")),
        ({"source": "metrics", "tables": {"path": f"{name}.csv"}}, (name,)),
        ({"source": "metrics", "tables": {"path": "paths.csv", "seed": "run"}}, ("'run'",)),
        ({"source": "checkpoints", "checkpoints": {"path": f"{{seed}}/{name}"}}, ("{step}",)),
        ({"source": "checkpoints", "checkpoints": {"path": f"{name}/{{seed}}/{{step}}.pt"}},
         (name,)),
        ({"source": "metrics", "tables": {"path": "br{a}ce.csv"}}, ("br{a}ce.csv",)),
        ({**BROUGHT["metrics"], "training_log": {"path": f"{name}.csv"}}, (name,)),
        ({**BROUGHT["checkpoints"], "seeds": "0-9"}, ("seeds 3-9",)),
        ({**BROUGHT["state_paths"], "semantics": table}, (name,)),
        ({**BROUGHT["state_paths"], "semantics": lacks}, ("scor",)),
        ({**training, "training": digits}, (name,)),
    ]  # fmt: skip
    settings, names = draw.choice(cases)
    names = tuple(name[:20] for name in names)
    return _own(settings, names)


_NOT_YAML: tuple[bytes, ...] = (
    b"", b"\n\n", b"# nothing but this\n", b"---\n", b"hmm: [", b"hmm: {restarts: 3", b"a: 'b",
    b"\thmm: 3\n", b"hmm:\n\trestarts: 3\n", b"a: b: c\n", b"- hmm\nseeds: 3\n", b"just words\n",
    b"3\n", b"[1, 2]\n", b"- a\n- b\n", b"a: 1\n---\nb: 2\n", b"\xff\xfeh\x00m\x00", b"\x00" * 50,
    b"a: \x07\n", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04" + bytes(60), b"{" * 3000, b"[" * 100_000,
    b"a: &a [*a]\n", b"a: &a {b: 1}\nc: *a\n", b"<<: {a: 1}\n", b"a: !!python/name:os.system\n",
    b"a: !!python/object/apply:os.system [touch pwned]\n", b"a: !custom 1\n", b"? [a, b]\n: 1\n",
    b"seeds: 1\nseeds: 2\n", b"hmm: {restarts: 1, restarts: 2}\n", b"a: 2024-13-45\n",
    b"seeds: {{ jinja }}\n", b"%YAML 9.9\n---\na: 1\n", b"null\n", b"~: 1\n",
    b"true: 1\n", b"1: 2\n",
    b"__use_yte__: true\nseeds: 1\n", b'?__import__("os").system("touch pwned"): 1\n',
    b"&a a: *a\n", b"a: 1\n\xc3\x28\n", b"seeds: " + b"9" * 5000 + b"\n",
)  # fmt: skip


def not_yaml(draw: random.Random) -> Broken:
    """An experiment's file, or config.yaml, that is no YAML, or none that we read."""
    text = draw.choice(_NOT_YAML)
    if draw.random() < 0.3:
        text = yaml.safe_dump(_base(draw)).encode() + b"\n" + draw.choice(_NOT_YAML[4:13])
    if draw.random() < 0.4:
        return Broken("", text, {}, ("config.yaml",))
    return Broken(
        "",
        {"experiments": ["own/broken.yaml"]},
        {"own/broken.yaml": text},
        ("broken.yaml", "experiment broken"),
    )


def bad_experiments(draw: random.Random) -> Broken:
    """A list of experiments that names none, the same twice, or one that leads nowhere."""
    files = {
        "own/a.yaml": b"extends: b.yaml\n",
        "own/b.yaml": b"extends: c.yaml\n",
        "own/c.yaml": b"extends: a.yaml\n",
        "own/itself.yaml": b"extends: itself.yaml\n",
        "own/of_group.yaml": b"extends: paper\n",
        "own/group.yaml": b"experiments: [paper]\n",
        "own/nowhere.yaml": b"extends: no_such\n",
        "own/number.yaml": b"extends: 3\n",
        "own/mnist.yaml": b"extends: mnist\n",
        "own/a b.yaml": b"extends: mnist\n",
        "own/datasets.yaml": b"extends: mnist\n",
        "own/folder.yaml/x": b"",
        "own/empty_group.yaml": b"experiments: []\n",
        "own/mixed.yaml": b"experiments: [mnist]\nhmm: {restarts: 1}\n",
    }
    value, name = draw.choice(
        [
            ([], "experiments"), ("", "experiments"), (3, "experiments"), (None, "experiments"),
            ([3], "experiments"), ([None], "experiments"), ([["mnist"]], "experiments"),
            ({"mnist": 1}, "experiments"), (["mnist", "mnist"], "experiments"),
            ("no_such", "no_such"), ("no_such.yaml", "no_such.yaml"), ("../mnist", "../mnist"),
            ("/etc/passwd", "/etc/passwd"), ("mnist;ls", "mnist;ls"), ("mnist\n", "mnist"),
            ("own/a.yaml", "a -> b -> c -> a"), ("own/itself.yaml", "itself"),
            ("own/of_group.yaml", "paper.yaml"), ("own/group.yaml", "paper.yaml"),
            ("own/nowhere.yaml", "no_such"), ("own/number.yaml", "extends"),
            (["mnist", "own/mnist.yaml"], "mnist"), ("own/a b.yaml", "a b.yaml"),
            ("own/datasets.yaml", "datasets"), ("own/folder.yaml", "folder.yaml"),
            ("own/empty_group.yaml", "empty_group.yaml"), ("own/mixed.yaml", "mixed.yaml"),
            ("own/\x00.yaml", "yaml"), ("x" * 5000, "xxx"), ("x" * 5000 + ".yaml", "xxx"),
        ]
    )  # fmt: skip
    return Broken("", {"experiments": value}, files, (name,))


def bad_folders(draw: random.Random) -> Broken:
    """Folders for results and data that cannot be."""
    key, value = draw.choice(
        [
            *(("results", value) for value in _BAD_FOLDERS),
            *(("data_dir", value) for value in (3, "", ["a"], True, "file", "file/below")),
        ]
    )
    return Broken("", {"experiments": ["mnist"], key: value}, {}, (key,))


_BAD_FOLDERS = ("", None, 3, ["a"], "file", "file/below", "a\nb", "{experiment}", "<x>", "~/x",
                "a\x00b")  # fmt: skip
KINDS: dict[str, Callable[[random.Random], Broken]] = {
    function.__name__: function
    for function in (
        wrong_type,
        out_of_range,
        typo,
        unknown_name,
        bad_numbers,
        contradiction,
        missing_file,
        not_yaml,
        bad_experiments,
        bad_folders,
    )
}

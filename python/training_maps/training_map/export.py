"""A training map for other programs: GraphML (Gephi, Cytoscape, yEd, igraph) and DOT (Graphviz).

Both are written from the dict of a map, as `TrainingMap.to_dict` makes it and `training_map.json`
holds it. What is not known (null there) is left out.

GraphML knows no lists, so that its attributes are flat: a state's `features` are the columns of its
top metrics, separated by a space, and `mean_l2` or `change_l2` the number that belongs to metric
`l2`. In DOT a state's label is its number and the symbols of its features, an arrow's the runs that
use it and its probability; the numbers themselves are attributes of their own, which Graphviz
ignores and other readers keep.

Names are free text. What a format cannot hold (control characters, halves of surrogate pairs) is
replaced by U+FFFD, and what means something in it is escaped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from training_maps.utils.errors import InputError
from training_maps.utils.files import replace_when_whole
from training_maps.utils.wording import plural

if TYPE_CHECKING:
    import networkx as nx

# All that XML 1.0 forbids, and the carriage return, which its readers turn into a line feed.
_FORBIDDEN = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NUMBERS_OF_STATES = ("share_of_checkpoints", "n_runs", "stay_probability")
_NUMBERS_OF_TRANSITIONS = ("probability", "n_runs", "n_uses")

Value = str | int | float | bool


def write_graphml(data: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a map's dict as GraphML.

    Raises:
        InputError: if it is not a map's dict.
    """
    import networkx as nx

    graph = flat_graph(data)
    with replace_when_whole(path) as aside, aside.open("wb") as file:
        nx.write_graphml_xml(graph, file)


def write_dot(data: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a map's dict in Graphviz's language.

    Raises:
        InputError: if it is not a map's dict.
    """
    try:
        lines = [
            f"digraph {_quoted(_text(data['experiment'] or 'training map'))} {{",
            "  rankdir=LR;",
            "  node [shape=circle];",
            *(_dot_state(state) for state in data["states"]),
            *(_dot_transition(edge) for edge in data["transitions"]),
            "}",
        ]
    except (KeyError, TypeError) as error:
        raise InputError(f"this is not a training map (at {error})") from error
    with replace_when_whole(path) as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")


def flat_graph(data: Mapping[str, Any]) -> nx.DiGraph:
    """A map's dict as a graph whose attributes are text, numbers and truth values only.

    Raises:
        InputError: if it is not a map's dict.
    """
    import networkx as nx

    try:
        graph = nx.DiGraph(
            **_known(
                experiment=data["experiment"],
                linear=data["linear"],
                feature_ranking=data["feature_ranking"],
                **{f"model_{key}": value for key, value in (data["selected_model"] or {}).items()},
            )
        )
        for state in data["states"]:
            graph.add_node(state["state"], **_flat_state(state))
        for edge in data["transitions"]:
            graph.add_edge(edge["from"], edge["to"], **_flat_transition(edge))
    except (KeyError, TypeError) as error:
        raise InputError(f"this is not a training map (at {error})") from error
    return graph


def _flat_state(state: Mapping[str, Any]) -> dict[str, Value]:
    features = state["features"]
    return _known(
        name=state["name"],
        features=" ".join(feature["metric"] for feature in features),
        **{name: state[name] for name in _NUMBERS_OF_STATES},
        noise_of=state.get("noise_of"),
        **_by_metric("mean", state["mean"]),
        **_by_metric("inverse_covariance", state["inverse_covariance"]),
        **_by_metric("posterior_gradient", _column(features, "posterior_gradient")),
    )


def _flat_transition(edge: Mapping[str, Any]) -> dict[str, Value]:
    changes = edge["feature_changes"]
    return _known(
        **{name: edge[name] for name in _NUMBERS_OF_TRANSITIONS},
        features=" ".join(change["metric"] for change in changes),
        **_by_metric("change", _column(changes, "change")),
        **_by_metric("posterior_gradient", _column(changes, "posterior_gradient")),
    )


def _column(features: list[Mapping[str, Any]], name: str) -> dict[str, Any]:
    return {feature["metric"]: feature[name] for feature in features}


def _by_metric(what: str, values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {f"{what}_{metric}": value for metric, value in (values or {}).items()}


def _known(**attributes: Any) -> dict[str, Value]:
    """Attributes that are not None, fit for both formats."""
    return {
        _text(name): _text(value) if isinstance(value, str) else value
        for name, value in attributes.items()
        if value is not None
    }


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


def _dot_state(state: Mapping[str, Any]) -> str:
    number = int(state["state"])
    label = f"{number}\n{_text(state['name'])}" if state["features"] else str(number)
    numbers = {name: state[name] for name in _NUMBERS_OF_STATES}
    return f"  {number} [{_dot_attributes(label, numbers)}];"


def _dot_transition(edge: Mapping[str, Any]) -> str:
    runs = plural(edge["n_runs"], "run")
    label = f"{runs}\np {edge['probability']:.2g}"
    moved = ", ".join(f"{_text(c['metric'])} {c['change']:+.2f}" for c in edge["feature_changes"])
    numbers = {name: edge[name] for name in _NUMBERS_OF_TRANSITIONS}
    attributes = _dot_attributes(label, numbers, moved)
    return f"  {int(edge['from'])} -> {int(edge['to'])} [{attributes}];"


def _dot_attributes(label: str, numbers: Mapping[str, Any], tooltip: str = "") -> str:
    # Graphviz reads labels as HTML does: "&lt;" is "<", so an ampersand must be spelled out.
    parts = [f"label={_quoted(label.replace('&', '&amp;'))}"]
    if tooltip:
        parts.append(f"tooltip={_quoted(tooltip.replace('&', '&amp;'))}")
    parts += [f"{name}={value!r}" for name, value in numbers.items() if value is not None]
    return ", ".join(parts)


def _quoted(text: str) -> str:
    """A string of Graphviz's; a line feed is written as the two characters that mean it there."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'

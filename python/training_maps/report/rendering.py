"""Rendering of the package's HTML templates: everything escaped, everything inline."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from training_maps.report.headline import map_shape
from training_maps.utils import wording

# The parts of the page's script, in the order in which they use each other.
_SCRIPTS = (
    *("model", "parts", "map", "controls", "scales", "chart", "pointer", "save", "curves"),
    *("timelines", "tables", "heat", "address", "start"),
)


def source(name: str) -> str:
    """The text of a template, a style sheet or a script of this package."""
    folder = "script" if name.endswith(".js") else "html"
    return resources.files(__package__).joinpath(folder, name).read_text(encoding="utf-8")


def page_script() -> str:
    """The report page's script: one module."""
    return "\n".join(source(f"{name}.js") for name in _SCRIPTS)


def script_policy(script: str) -> str:
    """A page's security policy: no request to anywhere, and no script but its own."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def breakable(name: str) -> Markup:
    """A dotted name that may break at its dots and underscores, and nowhere else."""
    return Markup("<wbr>").join(part for part in re.split(r"(?<=[._])", name) if part)


@cache
def _environment() -> Environment:
    from training_maps.figures.map.plan import per_checkpoint
    from training_maps.figures.map.table import format_change, gradient_arrow
    from training_maps.figures.symbols import metric_symbol

    environment = Environment(
        loader=FunctionLoader(source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        decimal=wording.decimal,
        p_value=wording.p_value,
        plural=wording.plural,
        route=wording.route,
        first_stops=wording.first_stops,
        listing=wording.listing,
        first_of=wording.first_of,
        sentence=wording.sentence,
        amount=wording.amount,
        interval=wording.interval,
        true_minus=wording.true_minus,
        share=wording.share,
        kind_of_model=wording.kind_of_model,
        per_checkpoint=per_checkpoint,
        map_shape=map_shape,
        symbol=metric_symbol,
        breakable=breakable,
        change=format_change,
        arrow=gradient_arrow,
    )
    return environment


def render(name: str, **values: Any) -> str:
    """Fill a template of this package; a value that is missing is an error, not an empty space."""
    # The style sheet is ours; escaped, its quotation marks would not be CSS.
    return _environment().get_template(name).render(style=Markup(source("style.css")), **values)

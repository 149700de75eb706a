"""Rendering of the package's HTML templates: everything escaped, everything inline."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from training_maps.report.headline import map_shape
from training_maps.utils import wording


def source(name: str) -> str:
    """The text of a template, a style sheet or a script of this package."""
    folder = "script" if name.endswith(".js") else "html"
    return resources.files(__package__).joinpath(folder, name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
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
        listing=wording.listing,
        first_of=wording.first_of,
        sentence=wording.sentence,
        amount=wording.amount,
        interval=wording.interval,
        true_minus=wording.true_minus,
        share=wording.share,
        map_shape=map_shape,
        symbol=metric_symbol,
        change=format_change,
        arrow=gradient_arrow,
    )
    return environment


def render(name: str, **values: Any) -> str:
    """Fill a template of this package; a value that is missing is an error, not an empty space."""
    # The style sheet is ours; escaped, its quotation marks would not be CSS.
    return _environment().get_template(name).render(style=Markup(source("style.css")), **values)

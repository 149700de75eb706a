"""Rendering of the package's HTML templates: everything escaped, everything inline."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from training_maps.report import words


def source(name: str) -> str:
    """The text of a file of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        decimal=words.decimal,
        p_value=words.p_value,
        plural=words.plural,
        route=words.route,
        listing=words.listing,
        first_of=words.first_of,
        sentence=words.sentence,
        amount=words.amount,
        interval=words.interval,
        true_minus=words.true_minus,
        share=words.share,
        map_shape=words.map_shape,
    )
    return environment


def render(name: str, **values: Any) -> str:
    """Fill a template of this package; a value that is missing is an error, not an empty space."""
    # The style sheet is ours; escaped, its quotation marks would not be CSS.
    return _environment().get_template(name).render(style=Markup(source("style.css")), **values)

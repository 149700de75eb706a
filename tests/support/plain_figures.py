"""Pages with plain boxes for figures, which take seconds to draw, for tests of all else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from markupsafe import Markup

from training_maps.report import page_figures


@contextmanager
def plain_figures() -> Iterator[None]:
    """Inside, `render_report` puts a box with the figure's name in place of each figure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_figures, "_drawn", _box)
        yield


def _box(name: str, label: str, *of: object) -> Markup:
    return Markup(
        f'<svg id="{name}" role="img" aria-label="{label}" viewBox="0 0 9 4">'
        '<rect width="9" height="4"/></svg>'
    )

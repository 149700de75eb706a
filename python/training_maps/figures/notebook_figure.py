"""A figure that a notebook shows as a picture, whether pyplot is set up in it or not.

Figures here are made without pyplot, and IPython knows how to show one only once pyplot's backend
for notebooks has been switched on.
"""

from __future__ import annotations

import io

from matplotlib.figure import Figure

_DOTS_AN_INCH = 144


class NotebookFigure(Figure):
    """A figure with a picture of itself."""

    def _repr_png_(self) -> bytes:
        """The figure as PNG, as IPython asks for it."""
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=_DOTS_AN_INCH)
        return content.getvalue()

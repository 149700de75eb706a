"""A figure shows itself in a notebook without pyplot's backend for it."""

from __future__ import annotations

from matplotlib.figure import Figure

from training_maps.figures import draw_training_map
from training_maps.figures.notebook_figure import NotebookFigure
from training_maps.results import ExperimentResults


def test_it_has_a_picture() -> None:
    figure = NotebookFigure(figsize=(2, 1))
    figure.add_axes((0, 0, 1, 1)).plot([0, 1])
    picture = figure._repr_png_()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (288, 144)
    assert isinstance(figure, Figure)


def test_the_map_is_such_a_figure(results: ExperimentResults) -> None:
    assert isinstance(draw_training_map(results.training_map), NotebookFigure)

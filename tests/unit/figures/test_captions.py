"""Captions: one for each figure, true of the numbers, and safe in LaTeX."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.synthetic_results import write_path_results, write_results
from training_maps.figures import FIGURES
from training_maps.figures.captions import captions, latex_text, write_captions
from training_maps.results import ExperimentResults
from training_maps.utils.files import read_json


def test_every_figure_has_a_caption_with_its_numbers(tmp_path: Path) -> None:
    folder = write_results(tmp_path, 12, 4, back_edges=True, n_censored=2, experiment="a_b 5%")
    results = ExperimentResults.read(folder)
    texts = captions(results, "epoch")
    assert list(texts) == list(FIGURES)
    for name, text in texts.items():
        assert text.endswith("."), name
        assert "a_b 5%" in text or name == "model_selection", name
        assert "nan" not in text.lower(), name
    assert "12 runs of a_b 5% and their 4 states" in texts["training_map"]
    assert "10 of 12" in texts["state_timelines"]
    assert f"{read_json(folder / 'regression.json')['r_squared']:.3f}" in texts["regression"]
    mean = results.dissimilarity["index"].mean()
    assert f"Mean over pairs: {mean:.3f}." in texts["dissimilarity"]


def test_captions_are_written_as_text_and_as_latex(tmp_path: Path) -> None:
    results = ExperimentResults.read(
        write_results(tmp_path / "x", 6, 3, experiment="50% of $x_1$ & #2 \\alpha")
    )
    write_captions(results, "epoch", tmp_path / "figures")
    plain = (tmp_path / "figures" / "captions.txt").read_text("utf-8")
    latex = (tmp_path / "figures" / "captions.tex").read_text("utf-8")
    assert "training_map\nTraining map of 6 runs of 50% of $x_1$ & #2 \\alpha" in plain
    assert r"50\% of \$x\_1\$ \& \#2 \textbackslash{}alpha" in latex
    assert latex.count(r"\caption{") == latex.count(r"\label{fig:") == len(FIGURES)
    for line in latex.splitlines():
        if not line.startswith("% "):
            assert not re.search(r"(?<!\\)[%&#]", line)
            assert line.count("{") == line.count("}")


def test_without_a_model_or_logs_captions_say_so(tmp_path: Path) -> None:
    results = ExperimentResults.read(write_path_results(tmp_path))
    texts = captions(results, "step")
    assert "No model was fitted" in texts["model_selection"]
    assert "There are no metrics" in texts["metrics_by_state"]
    assert set(texts) == set(FIGURES)


@pytest.mark.parametrize(("text", "latex"), [("1 → 2", r"1 $\rightarrow$ 2"), ("−1", "$-$1")])
def test_signs_are_those_of_latex(text: str, latex: str) -> None:
    assert latex_text(text) == latex

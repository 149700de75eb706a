"""Figures: what is drawn is what the results say, nothing overlaps, the same bytes each time."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests.support.synthetic_results import write_results
from training_maps.figures import (
    FIGURES,
    draw_convergence_times,
    draw_dissimilarity,
    draw_loss_by_state,
    draw_model_selection,
    draw_state_timelines,
    draw_training_map,
    save_figure,
)
from training_maps.figures.dissimilarity import order_by_similarity
from training_maps.figures.loss_by_state import featured_runs, logged_curves
from training_maps.figures.map.layout import assign_lanes, assign_layers, sample
from training_maps.figures.map.plan import format_probability
from training_maps.figures.state_timelines import stretches
from training_maps.figures.style import STATE_COLOURS, state_colour, text_colour_on
from training_maps.results import ExperimentResults


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    folder = tmp_path_factory.mktemp("forking")
    write_results(folder, n_runs=12, n_states=5, back_edges=True, n_censored=2)
    return ExperimentResults.read(folder)


def drawn(figure: Figure) -> Figure:
    FigureCanvasAgg(figure).draw()
    return figure


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def bounds(figure: Figure, prefix: str) -> dict[str, np.ndarray]:
    """Extents in pixels, (left, bottom, right, top), of the artists with that gid."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    artists = figure.findobj(lambda artist: (artist.get_gid() or "").startswith(prefix))
    return {
        str(artist.get_gid()): (
            Text.get_window_extent(artist, renderer)
            if isinstance(artist, Text)
            else artist.get_window_extent(renderer)
        ).extents
        for artist in artists
    }


def _sorted(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


def overlap(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a[:2] < b[2:] - 0.5).all() and (b[:2] < a[2:] - 0.5).all())


MAPS = [(k, 5 if k % 2 else 100, True, "page") for k in range(2, 13)]
MAPS += [(k, 40, forking, "column") for k in (2, 6, 12) for forking in (False, True)]
MAPS += [(k, 40, False, "page") for k in (6, 12)]


@pytest.mark.parametrize(("n_states", "n_runs", "forking", "width"), MAPS)
def test_map_labels_do_not_overlap(
    tmp_path: Path, n_states: int, n_runs: int, forking: bool, width: str
) -> None:
    write_results(tmp_path, n_runs, n_states, forking=forking, back_edges=forking, n_checkpoints=40)
    results = ExperimentResults.read(tmp_path)
    figure = draw_training_map(
        results.training_map,
        detour_states=results.states[1::2],
        first_visits=results.first_visits("epoch"),
        time="epoch",
        width=width,  # type: ignore[arg-type]
    )
    boxes = bounds(figure, "state-") | bounds(figure, "transition-label-") | bounds(figure, "word")
    assert sum(name.startswith("state-label") for name in boxes) == n_states
    for (name, a), (other, b) in combinations(boxes.items(), 2):
        assert not overlap(a, b), f"{name} and {other} overlap"
    page = figure.bbox.extents
    for name, box in boxes.items():
        assert (box[:2] >= page[:2] - 1).all(), f"{name} is off the page"
        assert (box[2:] <= page[2:] + 1).all(), f"{name} is off the page"


def test_map_shows_every_state_and_transition(results: ExperimentResults) -> None:
    figure = draw_training_map(results.training_map, detour_states=[1])
    gids = {artist.get_gid() for artist in figure.findobj(lambda a: a.get_gid() is not None)}
    assert {f"state-{state}" for state in results.states} <= gids
    assert {
        f"transition-{t['from']}-{t['to']}" for t in results.training_map["transitions"]
    } <= gids
    assert texts(figure).count("detour") == 1


def test_map_widths_grow_with_runs_and_colours_are_the_states(results: ExperimentResults) -> None:
    figure = draw_training_map(results.training_map)
    by_runs = {}
    for edge in results.training_map["transitions"]:
        gid = f"transition-{edge['from']}-{edge['to']}"
        (line,) = figure.findobj(lambda artist, gid=gid: artist.get_gid() == gid)
        by_runs.setdefault(edge["n_runs"], set()).add(round(line.get_linewidth(), 6))
        dashed = line.get_linestyle() != "-" and line.get_linestyle() != "solid"
        assert dashed == (edge["to"] < edge["from"])
    assert all(len(widths) == 1 for widths in by_runs.values())
    widths = [by_runs[n].pop() for n in sorted(by_runs)]
    assert widths == sorted(set(widths))
    for state in results.states:
        (circle,) = figure.findobj(lambda artist, s=state: artist.get_gid() == f"state-{s}")
        assert mpl.colors.to_hex(circle.get_facecolor()) == state_colour(state)


def test_map_table_holds_the_feature_changes(results: ExperimentResults) -> None:
    shown = texts(draw_training_map(results.training_map))
    for edge in results.training_map["transitions"]:
        assert f"{edge['from']} → {edge['to']}" in shown
        change = edge["feature_changes"][0]["change"]
        number = f"{change:+.2f}".replace("-", "−")
        assert any(text.startswith(f"{number} ") for text in shown)


def test_map_fits_given_axes(results: ExperimentResults) -> None:
    figure = Figure(figsize=(5, 2))
    ax = figure.add_subplot(1, 2, 1)
    assert draw_training_map(results.training_map, ax=ax) is figure
    assert len(figure.axes) == 1
    drawn(figure)
    frame = ax.get_window_extent().extents
    for name, box in bounds(figure, "state-").items():
        assert (box[:2] >= frame[:2] - 2).all(), name
        assert (box[2:] <= frame[2:] + 2).all(), name


def test_map_of_metric_names_that_look_like_formulas(results: ExperimentResults) -> None:
    data = {**results.training_map}
    data["states"] = [
        {**s, "features": [{"metric": r"$\frac{", "inverse_covariance": 1.0, "mean": 0.0}]}
        for s in data["states"]
    ]
    figure = drawn(draw_training_map(data))
    assert r"$\frac{" in texts(figure)


def test_lines_run_through_no_state(results: ExperimentResults) -> None:
    figure = drawn(draw_training_map(results.training_map))
    circles = {
        artist.get_gid(): artist
        for artist in figure.findobj(lambda a: str(a.get_gid() or "").startswith("state-"))
        if hasattr(artist, "radius")
    }
    for edge in results.training_map["transitions"]:
        gid = f"transition-{edge['from']}-{edge['to']}"
        (line,) = figure.findobj(lambda artist, gid=gid: artist.get_gid() == gid)
        points = sample(line.get_path().vertices)
        for name, circle in circles.items():
            distance = np.linalg.norm(points - circle.center, axis=1).min()
            assert distance > circle.radius, f"{gid} runs through {name}"


def test_layers_and_lanes_of_a_fork() -> None:
    weights = {(0, 1): 5, (0, 2): 3, (1, 3): 5, (2, 3): 3, (3, 0): 1}
    layers = assign_layers([0, 1, 2, 3], list(weights), {0})
    assert layers == {0: 0, 1: 1, 2: 1, 3: 2}
    lanes = assign_lanes(layers, weights, [0, 1, 3])
    assert [lanes[s] for s in (0, 1, 3)] == [0, 0, 0]
    assert lanes[2] != 0
    assert lanes[3, 0] != 0
    assert lanes[3, 0] != lanes[2]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0431, ".043"), (0.25, ".25"), (1.0, "1.00"), (0.0002, "<.001")]
)
def test_probabilities(value: float, text: str) -> None:
    assert format_probability(value) == text


def test_model_selection_shows_every_restart_and_the_mean(results: ExperimentResults) -> None:
    table, stability = results.model_selection, results.stability
    figure = draw_model_selection(table, stability)
    columns = ("bic", "aic", "log_likelihood_validation")
    for ax, column in zip(figure.axes, columns, strict=False):
        points = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
        expected = table[["n_states", column]].to_numpy(float)
        np.testing.assert_allclose(_sorted(np.vstack(points)), _sorted(expected))
        means = table.groupby("n_states")[column].mean()
        (line,) = [one for one in ax.lines if "of the restarts" in str(one.get_label())]
        assert line.get_ydata() == pytest.approx(means.to_numpy())
        (mark,) = [one for one in ax.lines if "chosen" in str(one.get_label())]
        assert mark.get_xdata() == [stability["chosen"]["n_states"]]
        assert mark.get_ydata() == pytest.approx([means[stability["chosen"]["n_states"]]])


def test_model_selection_shows_the_margin_and_the_shares(results: ExperimentResults) -> None:
    table, stability = results.model_selection, results.stability
    candidates = [
        {**row, "standard_error": 2.0 + i, "share": 0.05 * i}
        for i, row in enumerate(stability["candidates"])
    ]
    changed = {**stability, "candidates": candidates}
    figure = draw_model_selection(table, changed)
    bic, _, _, shares = figure.axes
    (bars,) = [c for c in bic.collections if isinstance(c, LineCollection)]
    means = table.groupby("n_states")["bic"].mean()
    others = [row for row in candidates if row["n_states"] != stability["chosen"]["n_states"]]
    for segment, row in zip(bars.get_segments(), others, strict=True):
        low, high = means[row["n_states"]] + 2 * row["standard_error"] * np.array([-1, 1])
        np.testing.assert_allclose(segment, [[row["n_states"], low], [row["n_states"], high]])
    heights = {round(bar.get_center()[0]): bar.get_height() for bar in shares.patches}
    assert heights == pytest.approx({row["n_states"]: row["share"] for row in candidates})
    too_few = [{**row, "standard_error": None, "share": None} for row in candidates]
    figure = drawn(draw_model_selection(table, {**stability, "candidates": too_few}))
    assert any("Too few runs to resample" in text for text in texts(figure))


def test_model_selection_tells_kinds_of_model_apart(results: ExperimentResults) -> None:
    table = results.model_selection
    other = table.assign(model="autoregressive", bic=table["bic"] + 50)
    stability = results.stability
    candidates = [{**row, "share": 0.1} for row in stability["candidates"]]
    both = [*candidates, *({**row, "model": "autoregressive"} for row in candidates)]
    figure = drawn(
        draw_model_selection(
            pd.concat([table, other], ignore_index=True), {**stability, "candidates": both}
        )
    )
    labels = [str(line.get_label()) for line in figure.axes[0].lines]
    for kind in ("Gaussian", "autoregressive"):
        assert f"mean of the restarts ({kind})" in labels
    assert labels.count(f"chosen: {stability['chosen']['n_states']} states (Gaussian)") == 1
    assert len(figure.axes[3].patches) == len(both)


def test_loss_curves_are_the_logs_in_the_states_colours(results: ExperimentResults) -> None:
    figure = draw_loss_by_state(results, "epoch")
    order = results.seeds_by_convergence()
    for column, seed in enumerate((order[0], order[5], order[11])):
        log = results.logs[seed]
        for row, what in enumerate(("loss", "accuracy")):
            ax = figure.axes[3 * row + column]
            for collection in ax.collections:
                assert isinstance(collection, LineCollection)
                pieces = collection.get_segments()
                points = np.vstack([pieces[0], *(piece[1:] for piece in pieces[1:])])
                assert points[:, 0] == pytest.approx(log["epoch"])
                assert points[:, 1] == pytest.approx(log[str(collection.get_label())])
                _, states = results.state_sequence(seed, "epoch")
                starts = np.flatnonzero(np.append(True, np.diff(states) != 0))
                colours = [mpl.colors.to_hex(c) for c in collection.get_colors()]
                assert colours == [state_colour(s) for s in states[starts]]
            assert len(ax.collections) == 2, what


def test_timelines_are_the_paths(results: ExperimentResults) -> None:
    figure = draw_state_timelines(results, "epoch")
    (ax,) = figure.axes
    order = results.seeds_by_convergence()
    for y, seed in enumerate(order):
        (bars,) = [c for c in ax.collections if c.get_gid() == f"run-{seed}"]
        times, states = results.state_sequence(seed, "epoch")
        paths = bars.get_paths()
        colours = [mpl.colors.to_hex(c) for c in bars.get_facecolor()]
        for time, state in zip(times + 0.5, states, strict=True):
            inside = [
                colour
                for path, colour in zip(paths, colours, strict=True)
                if path.get_extents().contains(time, y)
            ]
            assert inside == [state_colour(state)]
    (marks,) = ax.lines
    converged = [(results.convergence_time(s, "epoch"), y) for y, s in enumerate(order)]
    expected = [(when[0], y) for when, y in converged if when is not None and when[1]]
    assert list(zip(*marks.get_data(), strict=True)) == expected


def test_stretches_cover_time_without_gaps() -> None:
    times, states = np.array([0.0, 1.0, 3.0, 4.0]), np.array([0, 0, 2, 1])
    assert stretches(times, states) == [(0, 3, 0), (3, 1, 2), (4, 1, 1)]


def test_many_short_stays_become_an_image(tmp_path: Path) -> None:
    write_results(tmp_path, 12, 4, n_checkpoints=600)
    results = ExperimentResults.read(tmp_path)
    flicker = results.state_paths.assign(state=results.state_paths.index % 4)
    object.__setattr__(results, "state_paths", flicker)
    figure = draw_state_timelines(results, "epoch")
    save_figure(figure, tmp_path / "x.svg")
    assert (tmp_path / "x.svg").stat().st_size < 500_000


def test_histogram_counts_every_run_once(results: ExperimentResults) -> None:
    (ax,) = draw_convergence_times(results, "epoch").axes
    assert sum(bar.get_height() for bar in ax.patches) == results.n_runs
    (never,) = [bar for bar in ax.patches if bar.get_hatch()]
    assert never.get_height() == 2
    assert "0.9" in ax.get_xlabel()
    reached = results.convergence.query("converged")["epoch"]
    assert never.get_x() > reached.max()
    for bar in set(ax.patches) - {never}:
        inside = (reached >= bar.get_x() - 1e-9) & (reached < bar.get_x() + bar.get_width() - 1e-9)
        last = np.isclose(bar.get_x() + bar.get_width(), reached.max())
        assert bar.get_height() == inside.sum() + (last * (reached == reached.max()).sum())


def test_heat_map_is_the_table_reordered(results: ExperimentResults) -> None:
    for column in ("index", "discrete", "means"):
        ax = draw_dissimilarity(results.dissimilarity, column).axes[0]
        matrix = ax.collections[0].get_array().reshape(12, 12)
        seeds = [int(label.get_text()) for label in ax.get_xticklabels()]
        assert sorted(seeds) == results.seeds
        pairs = results.dissimilarity.set_index(["seed_a", "seed_b"])[column]
        for (i, a), (j, b) in combinations(enumerate(seeds), 2):
            assert matrix[i, j] == matrix[j, i] == pairs[min(a, b), max(a, b)]
        assert f"{pairs.mean():.3f}" in ax.get_title(loc="left")


def test_similar_runs_become_neighbours() -> None:
    groups = np.array([0, 1, 0, 1, 0, 1])
    matrix = np.abs(groups[:, None] - groups[None, :]) + 0.1 * (1 - np.eye(6))
    ordered = groups[order_by_similarity(matrix)]
    assert np.abs(np.diff(ordered)).sum() == 1


def test_what_is_missing_is_said_in_words(tmp_path: Path) -> None:
    write_results(tmp_path, n_runs=1, n_states=1, logs=False, n_censored=1)
    results = ExperimentResults.read(tmp_path)
    said = {name: " ".join(texts(drawn(draw(results, "epoch")))) for name, draw in FIGURES.items()}
    assert "no logs of loss or accuracy" in said["loss_by_state"]
    assert "only one run" in said["dissimilarity"]
    assert "did not converge" in said["convergence_times"]
    (tmp_path / "convergence.csv").unlink()
    results = ExperimentResults.read(tmp_path)
    figure = draw_convergence_times(results, "epoch")
    assert "not defined" in " ".join(texts(figure))


def test_only_what_was_logged_is_drawn(tmp_path: Path) -> None:
    write_results(tmp_path, n_runs=3, n_states=3)
    for seed in range(3):
        path = tmp_path / "runs" / f"seed-{seed}" / "training_log.parquet"
        log = pd.read_parquet(path)[["step", "epoch", "eval_loss"]]
        log.loc[log.index % 4 > 0, "eval_loss"] = np.nan  # logged at every fourth step
        log.to_parquet(path)
    results = ExperimentResults.read(tmp_path)
    assert logged_curves(results) == ["loss"]
    figure = drawn(draw_loss_by_state(results, "epoch"))
    assert len(figure.axes) == 3
    legend = texts(figure)
    assert "evaluation" in legend
    assert "training" not in legend
    for ax, (_, seed) in zip(figure.axes, featured_runs(results), strict=True):
        (line,) = (c for c in ax.collections if isinstance(c, LineCollection))
        points = np.unique(np.vstack(line.get_segments()), axis=0)
        rows = results.logs[seed].dropna(subset=["eval_loss"])
        np.testing.assert_allclose(points, rows[["epoch", "eval_loss"]])


@pytest.mark.parametrize("loss", [0.0, 0.5, -1.0, np.nan])
def test_losses_of_any_kind_can_be_drawn(tmp_path: Path, loss: float) -> None:
    write_results(tmp_path, n_runs=3, n_states=3)
    for seed in range(3):
        path = tmp_path / "runs" / f"seed-{seed}" / "training_log.parquet"
        log = pd.read_parquet(path)
        log.loc[5:, ["train_loss", "eval_loss"]] = loss
        log.to_parquet(path)
    drawn(draw_loss_by_state(ExperimentResults.read(tmp_path), "epoch"))


def test_drawing_leaves_the_users_settings_alone(results: ExperimentResults) -> None:
    before = dict(mpl.rcParams)
    draw_training_map(results.training_map)
    assert dict(mpl.rcParams) == before


# Machado, Oliveira and Fernandes 2009, severity 1: what colour-blind eyes make of linear RGB.
_SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}


@pytest.mark.parametrize("sight", _SIGHT)
def test_state_colours_stay_apart_for_all_eyes(sight: str) -> None:
    assert len(set(STATE_COLOURS)) == 12
    rgb = np.array([mpl.colors.to_rgb(colour) for colour in STATE_COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab = _lab(np.clip(linear @ _SIGHT[sight].T, 0, 1))
    for i, j in combinations(range(12), 2):
        assert np.linalg.norm(lab[i] - lab[j]) > 15, f"states {i} and {j} for {sight}"


def _lab(linear: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ to_xyz.T / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.column_stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])]
    )


def test_numbers_on_states_are_readable() -> None:
    assert text_colour_on("#000000") == "#ffffff"
    assert text_colour_on("#ffffff") == "#000000"

"""Figures of phase transitions: histograms count every run, coincidences stand beside chance."""

from __future__ import annotations

import matplotlib as mpl

from tests.support.figure_checks import by_gid, drawn, texts
from training_maps.figures import (
    draw_phase_transitions,
)
from training_maps.figures.style import state_colour
from training_maps.results import ExperimentResults


def test_histograms_of_phases_count_every_run_in_its_state(logged: ExperimentResults) -> None:
    figure = drawn(draw_phase_transitions(logged, "epoch"))
    table = logged.phase_transitions
    for phase in ("memorisation", "generalisation"):
        ax = by_gid(figure, f"times-{phase}")
        rows = table[table["phase"] == phase]
        found = rows[rows["status"] == "found"]
        bars = [bar for bar in ax.patches if not bar.get_hatch()]
        for state in found["state"].unique():
            colour = state_colour(int(state))
            mine = [bar for bar in bars if mpl.colors.to_hex(bar.get_facecolor()) == colour]
            assert sum(bar.get_height() for bar in mine) == (found["state"] == state).sum()
            low = min(bar.get_x() for bar in mine if bar.get_height())
            assert low <= found.loc[found["state"] == state, "epoch"].min()
        assert sum(bar.get_height() for bar in bars) == len(found)
        never = sum(bar.get_height() for bar in ax.patches if bar.get_hatch())
        assert never == (rows["status"] == "not reached").sum()
    assert "generalisation: 17 of 20 runs, 3 never" in texts(figure)


def test_coincidences_stand_beside_chance(logged: ExperimentResults) -> None:
    figure = drawn(draw_phase_transitions(logged, "epoch", width="column"))
    for phase, found in logged.phases["phases"].items():
        ax = by_gid(figure, f"coincidences-{phase}")
        rows = [row for row in found["coincidences"] if row["n_runs"]][:6]
        assert [bar.get_width() for bar in ax.patches] == [row["n_runs"] for row in rows]
        random, others = ax.lines
        assert random.get_xdata().tolist() == [row["expected_at_random"] for row in rows]
        assert others.get_xdata().tolist() == [row["expected_of_other_runs"] for row in rows]
        names = [label.get_text() for label in ax.get_yticklabels()]
        expected = [
            f"in state {row['state']}"
            if row["transition"] is None
            else "{} → {}".format(*row["transition"])
            for row in rows
        ]
        assert names == expected

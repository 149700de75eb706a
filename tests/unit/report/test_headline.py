"""The headline: what ran, what was found, and nothing that is not significant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scipy import stats

from tests.unit.report.test_summary import summary_file
from training_maps.report.headline import (
    headline,
    map_shape,
    paragraphs,
    same_way,
    unseen_share,
)
from training_maps.report.summary import terminal_table
from training_maps.training_map.noise import noise_notes
from training_maps.training_map.paths import WHY_NOT_LINEAR
from training_maps.utils.files import read_json


def test_a_map_without_a_fork_is_not_called_forking(tmp_path: Path) -> None:
    """Where runs only end early or go back, it is not linear by the letter all the same."""
    none = {"states": [], "tested": [], "predicting": []}
    path = summary_file(tmp_path, "x", forks=none)
    assert "  no fork  " in terminal_table([path])
    assert map_shape(read_json(path)) == "no fork"
    assert map_shape(read_json(summary_file(tmp_path, "y"))) == "forking"
    assert map_shape(read_json(summary_file(tmp_path, "z", forks=None))) == "forking"
    assert map_shape(read_json(summary_file(tmp_path, "w", forking=False, forks=none))) == "linear"


def test_headline_does_not_interpret_what_is_not_significant(tmp_path: Path) -> None:
    summary = read_json(summary_file(tmp_path, "x", p_value=0.4, detour_states=[], delays=[]))
    said = " ".join(headline(summary, significant=False))
    assert "p = 0.400" in said
    assert "not significant" in said
    foretelling = {"sentence": "This restates convergence."}
    summary = {**summary, "foretelling": foretelling}
    assert foretelling["sentence"] not in headline(summary, significant=False)
    assert foretelling["sentence"] in headline(summary, significant=True)


def test_delays_are_told_and_the_paper_s_detours_by_its_name_only(tmp_path: Path) -> None:
    """The fast branch of a fork is a detour by the paper's rule, and delays nobody."""
    size = {
        "state": 2, "delay": 18.2, "interval_low": 11.4, "interval_high": 25.1, "n_visiting": 40,
        "p_value": 0.001, "unit": "epochs",
    }  # fmt: skip
    said = told(tmp_path, delays=[2], delay_sizes=[size], detour_states=[1, 2])
    assert (
        "Runs that pass through state 2 converge later than the average run: by 18 epochs "
        "(95 % interval 11 to 25, 40 runs)." in said
    )
    assert "state 1" not in said
    before, paper = said.split("By the paper's measures: ")
    assert "detour" not in before
    assert "detours 1 and 2" in paper
    assert "detours none" in told(tmp_path, delays=[2], delay_sizes=[size], detour_states=[])
    assert "No state is seen to delay" in told(tmp_path, delays=[], detour_states=[1, 2])


def test_headline_finds_why_a_map_is_not_linear_by_the_note_s_kind(tmp_path: Path) -> None:
    """However the note is worded, and whatever other notes say."""
    notes = [
        {"kind": "given_numbers", "text": "The map is not linear, but only because of that."},
        {"kind": "why_not_linear", "text": "One run ends early."},
    ]
    summary = read_json(summary_file(tmp_path, "x", notes=notes))
    assert "One run ends early." in headline(summary, significant=True)
    assert notes[0]["text"] not in headline(summary, significant=True)
    assert "One run ends early." not in headline({**summary, "forking": False}, significant=True)
    said = headline({**summary, "notes": notes[:1]}, significant=True)
    assert "The map forks: runs take different ways through it." in said


def test_a_state_of_noise_alone_is_told_before_the_shape(tmp_path: Path) -> None:
    (note,) = noise_notes({1: 0})
    summary = read_json(summary_file(tmp_path, "x", notes=[note.to_dict()]))
    said = headline(summary, significant=True)
    assert said.index(note.text) < said.index("The map forks: runs take different ways through it.")
    assert note.text not in headline({**summary, "notes": []}, significant=True)


def test_several_states_of_noise_alone_are_told_in_one_sentence(tmp_path: Path) -> None:
    notes = [note.to_dict() for note in noise_notes({1: 0, 3: 0})]
    assert len(notes) == 2
    said = headline(read_json(summary_file(tmp_path, "x", notes=notes)), significant=True)
    one = "2 of the states differ from another in their noise alone: they are no phases."
    assert said.count(one) == 1
    assert not {note["text"] for note in notes} & set(said)


def test_the_headline_is_its_three_paragraphs(tmp_path: Path) -> None:
    summary = read_json(summary_file(tmp_path, "x", outlier_seeds=[2]))
    states, ways, paper = paragraphs(summary, significant=True)
    assert headline(summary, significant=True) == [*states, *ways, *paper]
    assert any("went through" in sentence for sentence in states)
    assert any("seed 2" in sentence for sentence in ways)
    assert paper[0].startswith("By the paper's measures")


def told(tmp_path: Path, **changes: object) -> str:
    summary = read_json(summary_file(tmp_path, "x", **changes))
    return " ".join(headline(summary, significant=True))


@pytest.mark.parametrize(
    ("n_runs", "n_converged", "said"),
    [
        (40, 40, "all of them converged"),
        (40, 0, "none of them converged"),
        (40, 37, "37 of them converged"),
        (1, 1, "1 run of training .*it converged"),
        (1, 0, "it did not converge"),
        (40, None, "convergence is not defined"),
    ],
)
def test_how_many_converged(
    tmp_path: Path, n_runs: int, n_converged: int | None, said: str
) -> None:
    assert re.search(said, told(tmp_path, n_runs=n_runs, n_converged=n_converged))


def test_the_shape_of_the_map_is_told(tmp_path: Path) -> None:
    assert "single state" in told(tmp_path, n_states=1)
    assert "The map forks" in told(tmp_path, n_states=3, forking=True, notes=[])
    assert "The map is linear" in told(tmp_path, n_states=3, forking=False)
    note = {"kind": WHY_NOT_LINEAR, "text": "1 of 2 runs ends early."}
    other = {"kind": "another", "text": "Another."}
    said = told(tmp_path, n_states=3, forking=True, notes=[other, note])
    assert note["text"] in said
    assert other["text"] not in said
    assert "The map forks" not in said


@pytest.mark.parametrize("n_runs", [2, 5, 10, 28, 40])
def test_how_much_a_linear_map_is_evidence_of(tmp_path: Path, n_runs: int) -> None:
    bound = stats.binomtest(0, n_runs, alternative="less").proportion_ci(0.95, "exact").high
    assert unseen_share(n_runs) == pytest.approx(bound)
    # A way that so many runs take is missed by n runs in 5 % of sets.
    assert (1 - bound) ** n_runs == pytest.approx(0.05)
    said = told(tmp_path, n_states=3, forking=False, n_runs=n_runs)
    assert f"all {n_runs} runs take the same way" in said
    assert ("weak evidence" in said) == (n_runs < 29)
    assert all(len(one.split()) <= 25 for one in re.split(r"(?<=\.) ", same_way(n_runs)))


def test_ten_runs_in_one_way_are_weak_evidence() -> None:
    assert same_way(10) == (
        "all 10 runs take the same way. That is weak evidence: another way that up to 26 % of runs "
        "take may not have been seen (95 % bound)."
    )
    assert same_way(40) == (
        "all 40 runs take the same way; another way is taken by 7.2 % of runs at most (95 % bound)."
    )


def test_no_more_is_said_than_is_known(tmp_path: Path) -> None:
    summary = read_json(summary_file(tmp_path, "x"))
    unknown = summary | {
        "r_squared": None, "outcome": None, "forks": None, "outlier_seeds": [], "selection": None,
        "dissimilarity": {"index": None},
    }  # fmt: skip
    said = headline(unknown, significant=False)
    assert len(said) == 3  # what ran, the map's shape, and that there is no regression
    assert "could not be related" in said[-1]


def test_a_fragile_choice_and_outliers_are_told(tmp_path: Path) -> None:
    fragile = {"verdict": "fragile"}
    assert "fragile" in told(tmp_path, selection=fragile)
    assert "fragile" not in told(tmp_path, selection={"verdict": "stable"})
    assert "1 run (seed 3) does not behave" in told(tmp_path, outlier_seeds=[3])
    assert "2 runs (seeds 3 and 5) do not behave" in told(tmp_path, outlier_seeds=[3, 5])


def test_outcomes_that_are_no_times_have_no_delays(tmp_path: Path) -> None:
    outcome = {"name": "final accuracy", "is_time": False}
    said = told(
        tmp_path, outcome=outcome, detour_states=[2], delays=[], r_squared=0.25, p_value=0.01
    )
    assert "R² of final accuracy on the shares of states 0.250" in said
    assert "detour" not in said
    assert "delay" not in said
    assert "shares of states −0.500 (" in told(tmp_path, r_squared=-0.5)


def test_whether_there_are_states_at_all_is_told_first(tmp_path: Path) -> None:
    summary = read_json(summary_file(tmp_path, "x"))
    first = ["Training drifts.", "The 3 states below are slices of that drift."]
    said = headline({**summary, "structure_sentences": first}, significant=True)
    assert said[:2] == first
    assert said[2:] == headline({**summary, "structure_sentences": []}, significant=True)


def test_what_halves_say_stands_in_place_of_a_fragile_choice(tmp_path: Path) -> None:
    fragile = {"model": "gaussian", "n_states": 3, "verdict": "fragile"}
    summary = {**read_json(summary_file(tmp_path, "x")), "selection": fragile}
    alone = headline({**summary, "reproducibility_sentence": ""}, significant=True)
    assert "How many states there are is a fragile choice (see “Model selection”)." in alone
    said = headline({**summary, "reproducibility_sentence": "Halves agree."}, significant=True)
    assert "Halves agree." in said
    assert not any("fragile" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [
        ([0.5, 0.4], "Most halves of the runs find the fork at state 0 again."),
        ([0.9, 1.0], "Most halves of the runs find the forks at states 0 and 1 again."),
        ([None, 1.0], "Most halves of the runs find the fork at state 1 again."),
        ([0.4, 0.0], "Fewer than half of the halves of the runs find a fork of this map again."),
        ([None, None], None),
        (None, None),
    ],
)
def test_whether_forks_are_found_again(
    tmp_path: Path, shares: list[float | None] | None, sentence: str | None
) -> None:
    forks = {"states": [0, 1], "tested": [0], "predicting": [0], "found_again": shares}
    said = headline(read_json(summary_file(tmp_path, "x", forks=forks)), significant=True)
    assert [one for one in said if "halves of the runs find" in one] == (
        [] if sentence is None else [sentence]
    )
    assert "The branch that a run takes from state 0 predicts when it converges." in said


@pytest.mark.parametrize("judged", [True, False])
def test_forks_of_a_drift_s_slices_are_not_claimed(tmp_path: Path, judged: bool) -> None:
    forks = {"states": [0], "tested": [0], "predicting": [0], "found_again": [0.9]}
    changes = {"forks": forks, "structure": "drift", "structure_is_judged": judged}
    said = headline(read_json(summary_file(tmp_path, "x", **changes)), significant=True)
    of_slices = "As states are slices of that drift, a fork of them does not say that runs part."
    assert (of_slices in said) == judged
    assert any("find the fork at state 0 again" in one for one in said) != judged
    assert "The branch that a run takes from state 0 predicts when it converges." in said

"""What so many runs can show is said, of a few and of many."""

import pytest

from training_maps.config.few_runs import told_of_runs, what_runs_show


@pytest.mark.parametrize(
    ("n_runs", "unseen", "words"),
    [
        (3, "63 %", "no new run can be placed on a map of fewer than 5"),
        (6, "39 %", "drifts or has phases takes 10"),
        (10, "26 %", "halves of them find again"),
        (20, "14 %", "a quarter of the runs"),
        (40, "7 %", "unusual runs"),
    ],
)
def test_a_line_says_what_can_be_shown_and_what_may_be_unseen(n_runs, unseen, words):
    line = what_runs_show(n_runs)
    assert line.startswith(f"{n_runs} runs can show ")
    assert f"a way that {unseen} of runs take may be unseen" in line
    assert words in line
    assert "\n" not in line
    # The bound: with probability 5 % no run of n takes a way that this share of runs takes.
    share = 1 - 0.05 ** (1 / n_runs)
    assert f"{100 * share:.0f} %" == unseen
    assert (1 - share) ** n_runs == pytest.approx(0.05)


def test_a_single_run_tells_of_itself_alone():
    assert "nothing of what other seeds do" in what_runs_show(1)


def test_the_dry_run_says_it_of_few_runs_and_of_all_that_are_brought():
    assert told_of_runs("x", {"source": "training", "seeds": list(range(40))}) is None
    assert told_of_runs("x", {"source": "training", "seeds": [1, 2, 3]}).startswith("x: 3 runs")
    assert told_of_runs("x", {"source": "metrics", "seeds": list(range(40))}).startswith("x: 40")

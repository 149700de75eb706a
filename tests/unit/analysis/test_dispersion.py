"""Are two groups of runs equally spread? Against plain loops, and at its level in simulations."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from training_maps import cli, equally_spread
from training_maps.analysis.dissimilarity import dissimilarity, mean_per_run
from training_maps.utils.errors import InputError


def paths_of(runs):
    rows = [(seed, i, state) for seed, run in enumerate(runs) for i, state in enumerate(run)]
    return pd.DataFrame(rows, columns=["seed", "step", "state"])


def random_group(rng, n, spread, swapped=False):
    """Runs with shares scattered about a mean; `swapped` moves the mean, not the spread."""
    shares = rng.dirichlet(np.array([4, 8, 2, 6]) / spread, size=n)
    shares = shares[:, [3, 2, 1, 0]] if swapped else shares
    return paths_of([np.repeat(range(4), np.round(200 * row).astype(int)) for row in shares])


def total_variations(paths):
    table = dissimilarity(paths)
    return {
        (a, b): value
        for a, b, value in zip(table["seed_a"], table["seed_b"], table["discrete"], strict=True)
    }


def pseudo_values(paths):
    """By leaving each run out in turn."""
    seeds = sorted(set(paths["seed"]))
    distances = total_variations(paths)

    def mean(chosen):
        return np.mean([distances[pair] for pair in combinations(chosen, 2)])

    whole, n = mean(seeds), len(seeds)
    return [n * whole - (n - 1) * mean([s for s in seeds if s != seed]) for seed in seeds]


def test_statistic_is_welchs_t_of_pseudo_values():
    rng = np.random.default_rng(0)
    a, b = random_group(rng, 7, 1), random_group(rng, 12, 2)
    result = equally_spread(a, b, ground_distance="discrete", n_permutations=99)
    values = pseudo_values(a), pseudo_values(b)
    twin = ttest_ind(*values, equal_var=False)
    assert result.difference / result.standard_error == pytest.approx(twin.statistic)
    expected = [np.mean(list(total_variations(group).values())) for group in (a, b)]
    assert result.dissimilarity == pytest.approx(expected)
    assert result.n_runs == (7, 12)


def test_p_value_is_that_over_all_permutations():
    """Of 3 + 4 runs there are 35 ways to choose the first group: the exact p-value."""
    rng = np.random.default_rng(1)
    a, b = random_group(rng, 3, 0.1), random_group(rng, 4, 3)
    pooled = np.array(pseudo_values(a) + pseudo_values(b))
    observed = abs(ttest_ind(pooled[:3], pooled[3:], equal_var=False).statistic)
    hits = 0
    for chosen in combinations(range(7), 3):
        rest = [i for i in range(7) if i not in chosen]
        other = ttest_ind(pooled[list(chosen)], pooled[rest], equal_var=False).statistic
        hits += abs(other) >= observed - 1e-9
    result = equally_spread(a, b, ground_distance="discrete", n_permutations=20_000)
    assert result.p_value == pytest.approx(hits / 35, abs=0.015)


def test_unequal_spread_is_found():
    rng = np.random.default_rng(2)
    result = equally_spread(random_group(rng, 20, 0.1), random_group(rng, 20, 1))
    assert result.p_value < 0.001
    assert result.difference < 0


@pytest.mark.parametrize(("n_a", "n_b"), [(10, 10), (6, 20)])
def test_holds_its_level_wherever_the_groups_lie(n_a, n_b):
    rng = np.random.default_rng(n_a)
    p_values = np.array(
        [
            equally_spread(
                random_group(rng, n_a, 1),
                random_group(rng, n_b, 1, swapped=True),
                ground_distance="discrete",
                n_permutations=99,
            ).p_value
            for _ in range(50)
        ]
    )
    # Binomial(50, 0.1): mean 5, standard deviation 2.1. Shuffled mean distances give 20.
    assert (p_values <= 0.1).sum() <= 11


def test_groups_of_identical_runs_are_equally_spread():
    same = paths_of([[0, 0, 1]] * 5)
    other = paths_of([[2, 2, 2]] * 4)
    result = equally_spread(same, other)
    assert (result.difference, result.p_value) == (0, 1)
    varied = random_group(np.random.default_rng(3), 12, 1)
    assert equally_spread(same, varied, n_permutations=999).p_value < 0.01


def test_repeatable_and_the_same_in_parts(monkeypatch):
    rng = np.random.default_rng(4)
    a, b = random_group(rng, 6, 1), random_group(rng, 6, 2)
    first = equally_spread(a, b, n_permutations=200, random_state=5)
    assert first == equally_spread(a, b, n_permutations=200, random_state=5)
    monkeypatch.setattr("training_maps.analysis.dispersion._NUMBERS_AT_ONCE", 12 * 70)
    assert equally_spread(a, b, n_permutations=200, random_state=5).p_value == first.p_value


def test_refuses_what_cannot_be_compared():
    few, many = paths_of([[0], [1]]), paths_of([[0], [1], [1]])
    with pytest.raises(InputError, match="a group has 2 runs; expected at least 3"):
        equally_spread(few, many)
    with pytest.raises(InputError, match="index or discrete, got 'means'"):
        equally_spread(many, many, ground_distance="means")


def test_mean_per_run_equals_a_plain_loop():
    paths = random_group(np.random.default_rng(6), 6, 1)
    table = dissimilarity(paths)
    means = mean_per_run(table)
    assert list(means) == ["seed", "index", "discrete"]
    for row in means.itertuples():
        mine = table[(table["seed_a"] == row.seed) | (table["seed_b"] == row.seed)]
        assert len(mine) == 5
        assert row.discrete == pytest.approx(mine["discrete"].mean())
    assert means["index"].mean() == pytest.approx(table["index"].mean())
    assert mean_per_run(dissimilarity(paths_of([[0, 1]]))).empty


def test_command(tmp_path, capsys):
    rng = np.random.default_rng(7)
    for name, spread in (("a", 0.1), ("b", 1)):
        random_group(rng, 12, spread).to_csv(tmp_path / f"{name}.csv", index=False)
    arguments = ["spread", "--state-paths", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    assert cli.main([*arguments, f"--output={tmp_path / 'spread.json'}"]) == 0
    told = capsys.readouterr().err
    assert "of 12 runs and" in told
    written = json.loads((tmp_path / "spread.json").read_text())
    assert written["n_runs"] == [12, 12]
    assert written["p_value"] < 0.01
    assert cli.main([*arguments, "--permutations=0"]) == 1
    assert "--permutations must be at least 1" in capsys.readouterr().err

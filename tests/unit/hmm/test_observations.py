"""Observations: z-scores, split, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.support.drawn_tables import METRICS, run_table, run_tables
from training_maps.cli import main
from training_maps.hmm.observations import Observations, observations
from training_maps.utils.errors import InputError
from training_maps.utils.files import table_metadata, write_table
from training_maps.utils.notes import Note


def test_z_scores_are_those_of_scipy_per_run_over_the_first_checkpoints():
    tables = {3: run_table(3, 30), 1: run_table(1, 18)}
    result = observations(tables, max_checkpoints=25)
    assert list(result.table.columns) == ["seed", "step", "split", *METRICS]
    assert result.metrics == tuple(METRICS)
    assert result.seeds == [1, 3]
    values, lengths, seeds = result.sequences()
    assert (values.dtype, lengths.tolist(), seeds) == (np.float64, [18, 25], [1, 3])
    expected = [stats.zscore(tables[s][METRICS].to_numpy()[:25], axis=0) for s in (1, 3)]
    np.testing.assert_allclose(values, np.concatenate(expected), rtol=1e-6, atol=1e-9)
    assert result.table["step"].tolist() == [*range(0, 18 * 32, 32), *range(0, 25 * 32, 32)]
    beyond = "Only the first 25 checkpoints of 1 run (seed 3) are used, of up to 30"
    assert [note.text for note in result.notes if note.kind == "checkpoints_beyond"] == [
        f"{beyond} (max_checkpoints)."
    ]
    whole = observations(tables, max_checkpoints=30).notes
    assert "checkpoints_beyond" not in {note.kind for note in whole}


def test_huge_and_tiny_values_do_not_overflow():
    table = run_table(0)
    table["l1"] = np.linspace(1, 2, 20) * 1e300
    table["trace"] = np.linspace(1, 2, 20) * 1e-300
    values, _, _ = observations([table]).sequences()
    expected = stats.zscore(np.linspace(1, 2, 20))
    np.testing.assert_allclose(values[:, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(values[:, 1], expected, rtol=1e-12)


def test_missing_entries_stay_missing_and_do_not_count():
    tables = {
        seed: table.assign(mean_w=table["mean_w"] - 3) for seed, table in run_tables(3).items()
    }
    tables[1].loc[[2, 9], "trace"] = np.nan
    tables[2].loc[4, ["trace", "l1"]] = np.nan
    tables[2]["mean_w"] = np.where(np.arange(20) == 3, np.nan, 7.0)
    # Beyond the checkpoints that are used, nothing is missed.
    tables[0] = pd.concat([tables[0], run_table(9).assign(step=lambda t: t["step"] + 640)])
    tables[0].iloc[20:, 1:] = np.nan
    result = observations(tables, max_checkpoints=20, validation_share=0.0)
    values, lengths, _ = result.sequences()
    assert lengths.tolist() == [20, 20, 20]
    raw = np.concatenate([tables[s][METRICS].to_numpy(dtype=float)[:20] for s in range(3)])
    np.testing.assert_array_equal(np.isnan(values), np.isnan(raw))
    for run in range(3):
        part = slice(20 * run, 20 * run + 20)
        expected = stats.zscore(raw[part], axis=0, nan_policy="omit")
        expected[:, 2] = (
            expected[:, 2] if run < 2 else np.where(np.isnan(raw[part][:, 2]), np.nan, 0)
        )
        np.testing.assert_allclose(values[part], expected, rtol=1e-9, atol=1e-12)
    assert {note.kind for note in result.notes[:3]} == {"missing_values"}
    assert [note.text for note in result.notes[:3]] == [
        "Metric l1 is missing at 1 checkpoint (seeds 2); the model treats it as unknown there.",
        "Metric trace is missing at 3 checkpoints (seeds 1,2); the model treats it as unknown "
        "there.",
        "Metric mean_w is missing at 1 checkpoint (seeds 2); the model treats it as unknown there.",
    ]


def test_missing_entries_survive_the_file(tmp_path):
    tables = run_tables(3)
    tables[1].loc[2, "trace"] = np.nan
    made = observations(tables)
    made.save(tmp_path / "observations.parquet")
    loaded = Observations.load(tmp_path / "observations.parquet")
    pd.testing.assert_frame_equal(loaded.table, made.table)
    assert loaded.digest == made.digest
    assert loaded.notes == made.notes


def test_constant_in_a_run_becomes_zero_with_a_note():
    tables = run_tables(5)
    tables[2]["trace"] = 7.0
    tables[4]["trace"] = 0.0
    # Rounding noise about a constant is not blown up to unit variance ...
    tables[3]["trace"] = 3.0 * (1 + 1e-15 * np.arange(20))
    # ... and small but real movement is kept.
    tables[0]["trace"] = 3.0 * (1 + 1e-9 * np.arange(20))
    result = observations(tables)
    spread = result.table.groupby("seed")["trace"].std(ddof=0)
    np.testing.assert_allclose(spread, [1, 1, 0, 0, 0], atol=1e-6)
    assert result.notes == (
        Note(
            "partly_constant_metric",
            "Metric trace is constant in 3 of 5 runs (seeds 2-4) and is 0 there.",
        ),
    )


def test_constant_in_every_run_is_left_out():
    tables = run_tables(5)
    for seed, table in tables.items():
        table["trace"] = float(seed)
    result = observations(tables)
    assert result.metrics == ("l1", "mean_w")
    assert "trace" not in result.table
    assert result.notes == (
        Note("constant_metric", "Metric trace is constant in every run and is left out."),
    )
    with pytest.raises(InputError, match="every metric is constant"):
        observations(tables, metrics=["trace"])


@pytest.mark.parametrize(
    ("n_runs", "share", "held_out"), [(40, 0.2, 8), (5, 0.2, 1), (9, 0.2, 1), (100, 0.29, 29)]
)
def test_split_holds_out_whole_runs(n_runs, share, held_out):
    result = observations(run_tables(n_runs), validation_share=share)
    per_run = result.table.groupby("seed")["split"].agg(["nunique", "first"])
    assert (per_run["nunique"] == 1).all()
    train, validation = result.sequences("train")[2], result.sequences("validation")[2]
    assert len(validation) == held_out
    assert sorted(train + validation) == list(range(n_runs))
    values, lengths, _ = result.sequences("validation")
    assert len(values) == lengths.sum() == 20 * held_out
    assert result.has_validation
    assert result.notes == ()


def test_split_depends_on_the_split_seed_and_not_on_the_order_of_the_tables():
    tables = run_tables(20)
    backwards = dict(reversed(tables.items()))
    chosen = [observations(tables, split_seed=s).sequences("validation")[2] for s in range(4)]
    again = [observations(backwards, split_seed=s).sequences("validation")[2] for s in range(4)]
    assert chosen == again
    assert len({tuple(c) for c in chosen}) > 1
    for split_seed, validation in enumerate(chosen):
        drawn = np.random.default_rng(split_seed).permutation(np.arange(20))[:4]
        assert validation == sorted(drawn.tolist())
    assert observations(tables).digest == observations(backwards).digest


def test_too_few_runs_for_a_validation_split():
    result = observations(run_tables(4))
    assert not result.has_validation
    assert result.sequences("validation")[0].shape == (0, 3)
    assert "20% of 4 runs is less than one" in result.notes[0].text


def test_metrics_can_be_chosen_and_bookkeeping_is_none():
    tables = {s: t.assign(epoch=1.5, seed=s) for s, t in run_tables(5).items()}
    assert observations(tables).metrics == tuple(METRICS)
    chosen = observations(tables, metrics=["mean_w", "l1"])
    assert chosen.metrics == ("mean_w", "l1")
    tables[3] = tables[3].assign(own=1.0)
    assert observations(tables, metrics=["mean_w", "l1"]).digest == chosen.digest


def spoil(change, seed=1):
    tables = run_tables(5)
    tables[seed] = change(tables[seed])
    return tables


def with_value(column, row, value):
    def change(table):
        table[column] = table[column].astype(object if isinstance(value, str) else float)
        table.loc[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (with_value("trace", slice(4, 6), np.nan), "metric trace is missing at 3 of 20"),
        (with_value("trace", slice(4, 6), np.nan), "the first at step 128; at most 10%"),
        (with_value("trace", 4, -np.inf), "seed 1: step 128, column 'trace' is -inf"),
        (with_value("l1", 2, np.inf), "seed 1: step 64, column 'l1' is inf"),
        (with_value("l1", 2, "many"), "seed 1: column 'l1' does not hold numbers"),
        (with_value("step", 3, 64), "seed 1: step 64 is there twice"),
        (with_value("step", 3, 5), "seed 1: step 5 comes after step 64"),
        (with_value("step", 3, 70.5), "seed 1: column 'step' has steps that are not whole"),
        (with_value("step", 3, np.nan), "seed 1: column 'step' is nan"),
        (lambda t: t.drop(columns="step"), "seed 1: the table has no column 'step'"),
        (lambda t: t.drop(columns="trace"), "seed 1: has no metric trace"),
        (lambda t: t.assign(more=1.0), "seed 1: has metric more, which seed 0 has not"),
        (lambda t: t.head(9), "seed 1: has 9 checkpoints, and at least 10 are needed"),
    ],
)
def test_bad_tables_are_refused_by_seed_step_and_column(change, problem):
    with pytest.raises(InputError, match=problem):
        observations(spoil(change))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"min_checkpoints": 1}, "min_checkpoints: 1"),
        ({"max_checkpoints": 5}, "max_checkpoints: 5 is less than min_checkpoints, 10"),
        ({"validation_share": 1.0}, "validation_share: 1.0"),
        ({"validation_share": -0.1}, "validation_share: -0.1"),
        ({"non_finite": "ignore"}, "'ignore' is not one of stop, drop, cut"),
        ({"metrics": []}, "is empty"),
        ({"metrics": ["l1", "l1"]}, "twice"),
        ({"metrics": ["l1", "l7"]}, "seed 0: has no metric l7"),
    ],
)
def test_bad_settings_are_refused(settings, problem):
    with pytest.raises(InputError, match=problem):
        observations(run_tables(5), **settings)


def test_no_run_and_no_metric():
    with pytest.raises(InputError, match="no run is left"):
        observations({})
    with pytest.raises(InputError, match="no metric columns"):
        observations([run_table(0)[["step"]]])


def non_finite(table: pd.DataFrame, rows: int = 15) -> pd.DataFrame:
    table = table.head(rows).copy()
    table.attrs["non_finite"] = {"step": 32 * rows, "tensor": "fc1.weight"}
    return table


def test_non_finite_runs_stop_are_dropped_or_cut():
    tables = spoil(non_finite, seed=2)
    found = r"seed 2: a non-finite weight at step 480 \(fc1.weight\)"
    with pytest.raises(InputError, match=found):
        observations(tables)
    dropped = observations(tables, non_finite="drop")
    assert dropped.seeds == [0, 1, 3, 4]
    assert "seed 2" in dropped.notes[0].text
    assert "left out" in dropped.notes[0].text
    cut = observations(tables, non_finite="cut")
    assert cut.sequences()[1].tolist() == [20, 20, 15, 20, 20]
    assert "used up to there" in cut.notes[0].text
    with pytest.raises(InputError, match="set non_finite to 'drop'"):
        observations(spoil(lambda t: non_finite(t, 3)), non_finite="cut")
    with pytest.raises(InputError, match="no run is left"):
        observations([non_finite(run_table(0))], non_finite="drop")


def test_save_and_load(tmp_path):
    tables = run_tables(4)
    tables[2]["trace"] = 1.0
    saved = observations(tables)
    saved.save(tmp_path / "observations.parquet", {"split_seed": 0})
    loaded = Observations.load(tmp_path / "observations.parquet")
    pd.testing.assert_frame_equal(loaded.table, saved.table, check_exact=True)
    assert (loaded.metrics, loaded.notes) == (saved.metrics, saved.notes)
    assert loaded.digest == saved.digest
    assert table_metadata(tmp_path / "observations.parquet")["split_seed"] == 0


def test_digest_changes_with_every_part_of_the_data():
    base = observations(run_tables(5))
    table = base.table
    changed = [
        table.assign(l1=table["l1"] + 1e-15),
        table.assign(step=table["step"] + 1),
        table.assign(seed=table["seed"] + 1),
        table.assign(split="train"),
    ]
    digests = [Observations(t, base.metrics).digest for t in changed]
    digests += [base.digest, Observations(table.rename(columns={"l1": "l9"}), ("l9",)).digest]
    assert len(set(digests)) == len(digests)
    assert Observations(table, base.metrics, ("a note",)).digest == base.digest


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (pd.DataFrame({"seed": [0], "step": [0]}), "no column split"),
        (pd.DataFrame({"seed": [0], "step": [0], "split": ["train"]}), "no observations"),
        (
            pd.DataFrame({"seed": [0], "step": [0], "split": ["train"], "l1": [np.inf]}),
            "infinite values",
        ),
        (
            pd.DataFrame({"seed": [0], "step": [0], "split": ["train"], "l1": ["a"]}),
            "not numbers",
        ),
    ],
)
def test_load_refuses_what_are_no_observations(tmp_path, table, problem):
    write_table(table, tmp_path / "observations.parquet")
    with pytest.raises(InputError, match=problem):
        Observations.load(tmp_path / "observations.parquet")


def test_command(tmp_path, capsys):
    tables = spoil(non_finite, seed=2)
    for seed, table in tables.items():
        made_by = {"seed": seed, "non_finite": table.attrs.get("non_finite")}
        table.attrs = {}
        write_table(table, tmp_path / f"runs/seed-{seed}/metrics.parquet", made_by)
    output = tmp_path / "observations.parquet"
    arguments = ["observations", "--runs", str(tmp_path / "runs"), "--seeds", "0-4"]
    assert main([*arguments, "--output", str(output)]) == 1
    assert "seed 2: a non-finite weight at step 480" in capsys.readouterr().err
    assert not output.exists()
    chosen = ["--metrics", "l1", "mean_w", "--non-finite", "drop", "--min-checkpoints", "5"]
    chosen += ["--validation-share", "0.5", "--split-seed", "3", "--max-checkpoints", "12"]
    assert main([*arguments, *chosen, "--output", str(output)]) == 0
    del tables[2]
    expected = observations(
        tables,
        metrics=["l1", "mean_w"],
        max_checkpoints=12,
        validation_share=0.5,
        split_seed=3,
    )
    assert Observations.load(output).digest == expected.digest
    assert main([*arguments[:-1], "0-7", "--output", str(output)]) == 1
    assert "seed-5" in capsys.readouterr().err


def test_command_with_columns_of_the_log(tmp_path, capsys):
    for seed, table in run_tables(5).items():
        write_table(table, tmp_path / f"runs/seed-{seed}/metrics.parquet")
        draw = np.random.default_rng(100 + seed)
        log = pd.DataFrame({"step": table["step"], "gradient_norm": draw.normal(size=len(table))})
        log.loc[log["step"] == 0, "gradient_norm"] = np.nan
        write_table(log, tmp_path / f"runs/seed-{seed}/training_log.parquet")
    output = tmp_path / "observations.parquet"
    call = ["observations", "--runs", str(tmp_path / "runs"), "--seeds", "0-4"]
    call += ["--output", str(output)]
    assert main([*call, "--log-columns", "gradient_norm"]) == 0
    made = Observations.load(output)
    assert made.metrics == (*METRICS, "gradient_norm")
    assert "Metric gradient_norm is missing at 5 checkpoints (seeds 0-4)" in made.notes[0].text
    assert made.table.query("step == 0")["gradient_norm"].isna().all()
    assert main([*call, "--metrics", "trace", "--log-columns", "gradient_norm"]) == 0
    assert Observations.load(output).metrics == ("trace", "gradient_norm")
    (tmp_path / "runs/seed-3/training_log.parquet").unlink()
    assert main([*call, "--log-columns", "gradient_norm"]) == 1
    assert "seed-3/training_log.parquet: cannot be read" in capsys.readouterr().err


def test_checkpoints_that_could_not_be_read_are_noted():
    tables = run_tables(5)
    tables[2].attrs["unreadable"] = [{"step": 7, "reason": "x.pt is missing"}]
    assert observations(tables).notes[0].text == (
        "seed 2: 1 checkpoint could not be read and is left out (step 7; the first because x.pt is "
        "missing)."
    )

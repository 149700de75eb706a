"""Tables that were logged elsewhere: formats, merging, and what is refused, with its line."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training_maps.hmm.observations import observations
from training_maps.runs.tables import find_table_seeds, input_files, read_metrics
from training_maps.runs.tables.sheets import read_sheet
from training_maps.utils.errors import InputError
from training_maps.utils.files import write_table


def logged(seeds=(0, 1, 2), n=12):
    """Columns seed, step, grad and norm, as a user logged them; values of many digits."""
    draw = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {"seed": seed, "step": 10 * np.arange(n), "grad": draw.normal(size=n),
             "norm": draw.lognormal(sigma=30, size=n)}
        )
        for seed in seeds
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def write(folder: Path, text: str, name: str = "runs.csv") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


def metrics(path, seeds=(0,), **options):
    return dict(read_metrics(str(path), list(seeds), **options))


def save(table: pd.DataFrame, path: Path) -> None:
    ending = "".join(path.suffixes)
    separator = "\t" if ".tsv" in ending else ","
    if ".csv" in ending or ".tsv" in ending:
        table.to_csv(path, index=False, sep=separator)
    elif ".json" in ending or ".ndjson" in ending:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in table.to_dict("records"))
    else:
        table.to_parquet(path, index=False)


FORMATS = ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.jsonl.gz", "a.ndjson", "a.json", "a.parquet"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_every_digit(name, tmp_path):
    table = logged()
    save(table.sample(frac=1, random_state=1), tmp_path / name)
    assert find_table_seeds(str(tmp_path / name)) == [0, 1, 2]
    for seed, found in metrics(tmp_path / name, [2, 0]).items():
        own = table[table["seed"] == seed].drop(columns="seed").reset_index(drop=True)
        pd.testing.assert_frame_equal(found, own, check_exact=True)


@pytest.mark.parametrize("name", FORMATS)
def test_a_table_for_each_seed(name, tmp_path):
    table = logged()
    for seed in (0, 1, 2):
        save(table[table["seed"] == seed].drop(columns="seed"), tmp_path / f"run-0{seed}-{name}")
    path = str(tmp_path / f"run-{{seed}}-{name}")
    assert find_table_seeds(path) == [0, 1, 2]
    assert [file.name for file in input_files(path, [2, 1])] == [f"run-02-{name}", f"run-01-{name}"]
    for seed, found in metrics(path, [0, 1, 2]).items():
        own = table[table["seed"] == seed].drop(columns="seed").reset_index(drop=True)
        pd.testing.assert_frame_equal(found, own, check_exact=True)


def test_rows_of_a_step_are_merged_as_loggers_write_them(tmp_path):
    path = write(
        tmp_path,
        "_runtime,_step,_timestamp,epoch,train/loss,weights/l2\r\n"
        "0.1,20,1.7e9,,,5.5\r\n"
        "0.2,0,1.7e9,0,2.5,\r\n"
        "0.3,0,1.7e9,,,3.5\r\n"
        "\r\n"
        "0.4,10,1.7e9,,1.5,4.5\r\n"
        "0.5,20,1.7e9,1,0.5,\r\n"
        "0.6,20,1.7e9,1,0.5,5.5\r\n",
        "seed-3.csv",
    ).replace("-3", "-{seed}")
    found = metrics(path, [3])[3]
    expected = pd.DataFrame(
        {"step": [0, 10, 20], "train/loss": [2.5, 1.5, 0.5], "weights/l2": [3.5, 4.5, 5.5]}
    )
    pd.testing.assert_frame_equal(found, expected)


def brute_merge(rows, which):
    """A twin of merging: what each step ends up with, by going through the rows one by one."""
    merged: dict[int, dict[str, float]] = {}
    for row in rows:
        at = merged.setdefault(row["step"], {})
        for name in ("a", "b"):
            if row[name] is not None and (which == "last" or name not in at):
                at[name] = row[name]
    return [(step, at.get("a"), at.get("b")) for step, at in sorted(merged.items()) if at.keys()]


cell = st.one_of(st.none(), st.integers(-3, 3).map(float))


@given(
    rows=st.lists(
        st.fixed_dictionaries({"step": st.integers(0, 4), "a": cell, "b": cell}),
        min_size=1, max_size=12,
    ),
    which=st.sampled_from(["first", "last"]),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_merging_equals_going_through_the_rows(rows, which, tmp_path_factory):
    folder = tmp_path_factory.mktemp("merge")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path = write(folder, lines, "0.jsonl").replace("0.jsonl", "{seed}.jsonl")
    if any(all(row[name] is None for row in rows) for name in ("a", "b")):
        with pytest.raises(InputError, match="no value at any step"):
            metrics(path, metrics=["a", "b"], repeated_steps=which)
        return
    found = metrics(path, metrics=["a", "b"], repeated_steps=which)[0]
    expected = brute_merge(rows, which)
    assert found["step"].tolist() == [step for step, *_ in expected]
    np.testing.assert_array_equal(
        found[["a", "b"]].to_numpy(), np.array([row[1:] for row in expected], dtype=float)
    )
    complete = [row for row in expected if None not in row]
    if complete:
        dropped = metrics(
            path, metrics=["a", "b"], repeated_steps=which, incomplete_steps="drop"
        )[0]  # fmt: skip
        assert dropped["step"].tolist() == [step for step, *_ in complete]


def test_two_values_at_a_step_are_refused_with_both_lines(tmp_path):
    path = write(tmp_path, "seed,step,a\n0,5,1\n0,5,1\n1,5,8\n0,5,2\n")
    with pytest.raises(
        InputError,
        match=r"runs.csv, line 2 and line 5: seed 0 has two values of 'a' at step 5, 1 and 2",
    ):
        metrics(path)
    assert metrics(path, repeated_steps="first")[0]["a"].tolist() == [1]
    assert metrics(path, repeated_steps="last")[0]["a"].tolist() == [2]
    assert metrics(path, [1])[1]["a"].tolist() == [8]


def test_only_quantities_are_metrics_unless_others_are_asked_for(tmp_path):
    path = write(
        tmp_path,
        ",seed,step,epoch,_runtime,_timestamp,eval_accuracy,val/loss,note,flag,nothing,a,b\n"
        "0,0,0,0,1,1,0.5,2,text,true,,1,2\n"
        "1,0,1,1,2,2,0.6,1,more,false,,2,1\n",
    )
    assert list(metrics(path)[0].columns) == ["step", "val/loss", "a", "b"]
    assert list(metrics(path, leave_out=["val/loss"])[0].columns) == ["step", "a", "b"]
    assert list(metrics(path, metrics=["b", "eval_accuracy"])[0].columns) == [
        "step", "b", "eval_accuracy",
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"no column 'aa' \(did you mean 'a'\?\).*'b'"):
        metrics(path, metrics=["aa"])
    with pytest.raises(InputError, match="'epoch' cannot be a metric"):
        metrics(path, metrics=["epoch"])


BAD = [
    ("step,a\n0,1\n1,one\n2,1\n", r"0.csv, line 3: column 'a' is 'one', which is no number"),
    ('step,a\n0,"x\ny"\n1,one\n2,1\n', r"0.csv, line 3: column 'a' is 'x\ny'"),
    ("step,a\n0,1\n-1,2\n", r"line 3: column 'step' is -1; expected a whole number from 0 on"),
    ("step,a\n0,1\n1.5,2\n", r"line 3: column 'step' is 1.5; expected"),
    ("step,a\n0,1\nten,2\n", r"line 3: column 'step' is 'ten'; expected"),
    ("step,a\n0,1\ninf,2\n", r"line 3: column 'step' is inf; expected"),
    ("step,a\n0,1\n1e17,2\n", r"line 3: column 'step' is 1e\+17|100000000000000000; expected"),
    ("step,a\n0,1\n,2\n", r"line 3: column 'a' has a value and column 'step', the step, has none"),
    ("step,a\n", r"0.csv: has no rows"),
    ("", r"0.csv: cannot be read as a table"),
    ("step,a\n0,1\n1\n", r"line 3: has 1 fields where the header has 2"),
    ("step,a\n0,1\n1,2,3\n", r"line 3: has 3 fields where the header has 2"),
    ("step,a,a\n0,1,2\n", r"two columns called 'a'"),
    ("step,_step,a\n0,0,1\n", r"has columns 'step', '_step', which is the step\?"),
    ("time,a\n0,1\n", r"has no column 'step', '_step', .*It has 'time', 'a'"),
    ("step,a\n0,x\n", r"no column is a metric; it has 'step', 'a'"),
    ("step\n0\n", r"no column is a metric"),
    ("step,a\n,\n,1\n", r"column 'a' has a value and column 'step', the step, has none"),
    ("step,a\n0,1\n1,inf\n", r"line 3: column 'a' is inf at step 1 of seed 0; training diverged"),
    ("step,a\n0,1\n1,NaN\n", r"line 3: column 'a' is nan at step 1 of seed 0"),
    ("step,a\n0,1\n1,1e999\n", r"line 3: column 'a' is inf at step 1"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_table_is_refused_with_the_line(text, message, tmp_path):
    path = write(tmp_path, text, "0.csv").replace("0.csv", "{seed}.csv")
    with pytest.raises(InputError, match=message):
        metrics(path)
    with gzip.open(tmp_path / "0.csv.gz", "wt", newline="") as file:
        file.write(text)
    with pytest.raises(InputError, match=message.replace("0.csv", "0.csv.gz")):
        metrics(path + ".gz")


BAD_JSON = [
    ('{"step": 0, "a": 1}\n\n{"step": 1, "a": "one"}\n', "line 3: column 'a' is 'one'"),
    ('{"step": 0, "a": 1}\n{"step": 1, "a": [1]}\n', r"line 2: column 'a' is '\[1\]'"),
    ('{"step": 0, "a": 1}\n{"step": 1, "a": true}\n', "line 2: column 'a' is 'true'"),
    ('{"step": 0, "a": 1}\n{"step": 1, "a"\n', "line 2: is not JSON"),
    ('{"step": 0, "a": 1}\n' + "[" * 100_000, "line 2: is not JSON"),
    ('{"step": 0, "a": 1}\n[1]\n', r"line 2: expected an object, such as .*got \[1\]"),
    ('{"step": 0, "a": 1}\n{"step": 1, "a": NaN}\n', "line 2: column 'a' is nan at step 1"),
    ('{"step": 0, "a": 1}\n{"step": 1, "a": "Infinity"}\n', "line 2: column 'a' is inf at step 1"),
    ('{"step": 0, "a": 1}\n{"step": 1, "a": 1' + "0" * 400 + "}\n", "column 'a' is inf at step 1"),
    ("\n\n", "has no rows"),
    ("", "has no rows"),
]


@pytest.mark.parametrize(("text", "message"), BAD_JSON)
def test_bad_json_lines_are_refused_with_the_line(text, message, tmp_path):
    path = write(tmp_path, text, "0.jsonl").replace("0.jsonl", "{seed}.jsonl")
    with pytest.raises(InputError, match=message):
        metrics(path)


def test_bad_parquet_is_refused_with_the_row(tmp_path):
    path = str(tmp_path / "{seed}.parquet")
    pq.write_table(pa.table({"step": [0, 1], "a": ["1", "x"]}), tmp_path / "0.parquet")
    with pytest.raises(
        InputError, match=r"0.parquet, row 2: column 'a' is 'x', which is no number"
    ):
        metrics(path)
    # Null is nothing logged, NaN is a value that is not finite.
    cells = pa.array([1.0, None, float("nan"), 2.0], from_pandas=False)
    pq.write_table(pa.table({"step": [0, 1, 2, 3], "a": cells}), tmp_path / "0.parquet")
    with pytest.raises(InputError, match=r"0.parquet, row 3: column 'a' is nan at step 2"):
        metrics(path)
    (tmp_path / "0.parquet").write_bytes(b"PAR1 no, not really PAR1")
    with pytest.raises(InputError, match=r"0.parquet: cannot be read as a table"):
        metrics(path)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.csv: does not exist"):
        metrics(tmp_path / "nowhere.csv")
    write(tmp_path, "seed,step,a\n0,0,1\n", "runs.xlsx")
    with pytest.raises(InputError, match=r"runs.xlsx: is no table that is known by its name"):
        metrics(tmp_path / "runs.xlsx")
    whole = gzip.compress(b"seed,step,a\n" + b"0,1,2\n" * 10_000)
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut.csv.gz: cannot be read"):
        metrics(tmp_path / "cut.csv.gz")
    (tmp_path / "bad.csv.gz").write_bytes(whole[:60] + b"damaged" + whole[67:])
    with pytest.raises(InputError, match=r"bad.csv.gz: cannot be read"):
        metrics(tmp_path / "bad.csv.gz")
    (tmp_path / "bytes.jsonl").write_bytes(b'{"step": 0, "a": "\xff\xfe"}\n')
    with pytest.raises(InputError, match=r"bytes.jsonl: is not text in UTF-8"):
        metrics(tmp_path / "bytes.jsonl")
    (tmp_path / "bytes.csv").write_bytes(b"seed,st\xffep,a\n0,1,2\n")
    with pytest.raises(InputError, match=r"bytes.csv: is not text in UTF-8"):
        metrics(tmp_path / "bytes.csv")


def test_metrics_that_the_project_computed_can_be_brought_along(tmp_path):
    table = logged().drop(columns="seed").iloc[:12]
    write_table(table, tmp_path / "seed-4" / "metrics.parquet", {"seed": 4})
    found = metrics(tmp_path / "seed-{seed}" / "metrics.parquet", [4])[4]
    pd.testing.assert_frame_equal(found, table, check_exact=True)


def test_seeds_that_are_not_there_are_named(tmp_path):
    path = write(tmp_path, "seed,step,a\n0,0,1\n2,0,1\n")
    with pytest.raises(InputError, match=r"no rows of seeds 1,3; column 'seed' has 0,2"):
        metrics(path, [0, 1, 2, 3])
    with pytest.raises(InputError, match=r"no column 'run'.*asked for as the seed"):
        metrics(path, seed="run")
    write(tmp_path, "seed,step,a\n0,0,1\n,0,1\n")
    with pytest.raises(InputError, match=r"runs.csv, line 3: has values, and no seed in 'seed'"):
        metrics(path)
    write(tmp_path, "seed,step,a\n0,0,1\nrun-1,0,1\n")
    with pytest.raises(InputError, match=r"line 3: column 'seed' is 'run-1'; expected a whole"):
        metrics(path)
    write(tmp_path, "seed,step,a\n0,0,1\n,,\n")
    assert metrics(path)[0]["a"].tolist() == [1]  # an empty line of a spreadsheet
    write(tmp_path, "step,a\n0,1\n", "run-1.csv")
    pattern = str(tmp_path / "run-{seed}.csv")
    with pytest.raises(InputError, match=r"no table of seed 0; looked for .*run-0.csv.*run-1.csv"):
        metrics(pattern, [0, 1])
    write(tmp_path, "step,a\n0,1\n", "run-01.csv")
    with pytest.raises(InputError, match=r"seed 1 has .*run-01.csv and .*run-1.csv"):
        metrics(pattern, [1])


def test_runs_with_other_columns_are_refused(tmp_path):
    write(tmp_path, "step,a,b\n0,1,2\n", "run-0.csv")
    write(tmp_path, "step,a\n0,1\n", "run-1.csv")
    path = str(tmp_path / "run-{seed}.csv")
    with pytest.raises(InputError, match=r"run-0.csv: seed 0 has metric 'b', which seed 1 .*run-1"):
        metrics(path, [0, 1])
    write(tmp_path, "step,a\n0,1\n", "run-0.csv")
    write(tmp_path, "step,a,b\n0,1,2\n", "run-1.csv")
    with pytest.raises(InputError, match=r"run-1.csv: seed 1 has metric 'b', which seed 0"):
        metrics(path, [0, 1])
    assert list(metrics(path, [0, 1], metrics=["a"])[1].columns) == ["step", "a"]
    # In one table, a column counts as a run's own if it has a value there.
    both = write(tmp_path, "seed,step,a,b\n0,0,1,2\n1,0,1,\n")
    with pytest.raises(InputError, match="seed 0 has metric 'b', which seed 1"):
        metrics(both, [0, 1])
    with pytest.raises(InputError, match=r"seed 1: column 'b' has no value at any step"):
        metrics(both, [0, 1], metrics=["b"])


def test_runs_may_differ_in_length(tmp_path):
    path = write(tmp_path, "seed,step,a\n0,0,1\n0,7,2\n1,3,4\n0,2,3\n")
    found = metrics(path, [0, 1])
    assert found[0]["step"].tolist() == [0, 2, 7]
    assert found[1]["step"].tolist() == [3]


def test_a_chart_of_runs_side_by_side_is_refused(tmp_path):
    path = write(tmp_path, "Step,r1 - loss,r1 - loss__MIN,r1 - loss__MAX\n0,1,1,1\n")
    with pytest.raises(InputError, match="chart exported from Weights & Biases"):
        metrics(path)


def test_a_chart_is_refused_in_a_file_a_run_too(tmp_path):
    text = '"Step","run1 - loss","run1 - loss__MIN","run1 - loss__MAX"\n0,1,1,1\n1,.5,.5,.5\n'
    write(tmp_path, text, "chart-0.csv")
    with pytest.raises(InputError, match="looks like a chart exported from Weights & Biases"):
        metrics(str(tmp_path / "chart-{seed}.csv"), step="Step")


def test_missing_values_stay_missing_and_much_of_that_is_said(tmp_path, caplog):
    rows = "".join(f"0,{step},{step}.5,{step if step % 5 == 0 else ''}\n" for step in range(20))
    path = write(tmp_path, "seed,step,often,seldom\n" + rows)
    with caplog.at_level(logging.WARNING):
        found = metrics(path)[0]
    assert found["step"].tolist() == list(range(20))
    assert np.flatnonzero(found["seldom"].notna()).tolist() == [0, 5, 10, 15]
    assert "of 20 steps, more than 10 % have no value of 'seldom'" in caplog.text
    dropped = metrics(path, incomplete_steps="drop")[0]
    assert dropped["step"].tolist() == [0, 5, 10, 15]
    assert dropped.notna().all(axis=None)
    write(tmp_path, "seed,step,a,b\n0,0,1,\n0,1,,1\n")
    with pytest.raises(InputError, match="at no step do all metrics have a value"):
        metrics(path, incomplete_steps="drop")


@pytest.mark.parametrize("policy", ["drop", "cut"])
def test_a_diverged_run_ends_before_that(policy, tmp_path):
    rows = "".join(
        f"{seed},{step},{'inf' if (seed, step) == (1, 30) else step * 1.5 + seed}\n"
        for seed in range(3)
        for step in range(40)
    )
    path = write(tmp_path, "seed,step,a\n" + rows)
    found = metrics(path, range(3), non_finite=policy)
    assert found[1]["step"].tolist() == list(range(30))
    assert found[1].attrs["non_finite"] == {"step": 30, "tensor": "a"}
    assert "non_finite" not in found[0].attrs
    made = observations(found, non_finite=policy)
    assert made.seeds == ([0, 2] if policy == "drop" else [0, 1, 2])


def test_a_sheet_tells_where_its_rows_are(tmp_path):
    sheet = read_sheet(Path(write(tmp_path, 'a,b\n\n1,2\n"3\n",4\n5,6\n')))
    assert [sheet.locate(row) for row in range(3)] == ["line 3", "line 5", "line 6"]


@given(data=st.data(), name=st.sampled_from(["a.csv", "a.csv.gz", "a.jsonl", "a.parquet"]))
@settings(deadline=None, max_examples=80)
def test_a_damaged_file_is_read_or_refused(data, name, tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / name
    save(logged(n=4), path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        metrics(path, [0, 1])

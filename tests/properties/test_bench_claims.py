"""The benchmark of claims: what is kept is not computed again, and rates have their intervals."""

from __future__ import annotations

import json

import pytest
from benchmarks import bench_claims
from benchmarks.bench_claims import Set


def line_of(which: Set, **claims: bool) -> dict:
    return {**which._asdict(), "digest": bench_claims.digest(), "claims": claims}


def test_a_rate_has_its_wilson_interval():
    # Agresti and Coull 1998, with z = 1.96: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    assert bench_claims.rate([True] * 3 + [False] * 37) == "8 % (3 to 20)"
    assert bench_claims.rate([False] * 40) == "0 % (0 to 9)"
    assert bench_claims.rate([]) == "–"


def test_kept_sets_are_read_and_no_others(tmp_path):
    wanted = [Set("stark_fork", 10, seed, "paper", 0) for seed in range(3)]
    path = tmp_path / "claims.jsonl"
    of_other_code = {**line_of(wanted[1]), "digest": "other"}
    lines = [line_of(wanted[0]), of_other_code, line_of(Set("stark_fork", 10, 7, "paper", 0))]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n" + json.dumps(lines[0])[:30])
    assert bench_claims.read(path, wanted) == [line_of(wanted[0])]
    assert bench_claims.read(tmp_path / "none.jsonl", wanted) == []


def test_only_missing_sets_are_computed(tmp_path):
    path = tmp_path / "claims.jsonl"
    kept, missing = (Set("chain_plateaus", 4, seed, "paper", 0) for seed in (0, 1))
    text = json.dumps(line_of(kept)) + "\n" + '{"kind": "cut off'
    path.write_text(text)
    bench_claims.compute([kept, missing], path, processes=1)
    assert path.read_text().startswith(text)
    lines = bench_claims.read(path, [kept, missing])
    assert [line["seed"] for line in lines] == [0, 1]
    assert lines[1]["claims"].keys() >= {
        "the map has the states that there are",
        "a fork that is not there is drawn",
    }
    assert lines[1]["facts"]["n_states"] >= 1
    before = path.stat().st_mtime_ns
    bench_claims.compute([kept, missing], path, processes=1)
    assert path.stat().st_mtime_ns == before


def test_tables_have_a_row_for_each_claim_and_group(capsys):
    lines = [
        line_of(Set(kind, 10, seed, "paper", 0), **{"a fork that is not there is drawn": seed == 0})
        for kind in ("drift_white", "noise_states", "stark_fork")
        for seed in range(2)
    ]
    bench_claims.show(lines, (10, 20), by_kind=False)
    rows = [row for row in capsys.readouterr().out.splitlines() if row.startswith("| a fork")]
    assert rows == [
        "| a fork that is not there is drawn | wrong | drift | 0 to 4 | 50 % (15 to 85) | – |",
        "| a fork that is not there is drawn | wrong | fork | 0 to 2 | 50 % (9 to 91) | – |",
    ]
    bench_claims.show(lines, (10,), by_kind=True)
    rows = [row for row in capsys.readouterr().out.splitlines() if row.startswith("| a fork")]
    assert [row.split(" | ")[2] for row in rows] == ["drift_white", "noise_states", "stark_fork"]


def test_states_and_verdicts_are_told_by_kind(capsys):
    found = [(1, "drift"), (3, "phases"), (4, "phases")]
    lines = [
        line_of(Set("stark_fork", 10, seed, "paper", 5))
        | {"facts": {"n_states": n_states, "verdict": verdict}}
        for seed, (n_states, verdict) in enumerate(found)
    ]
    bench_claims.show_facts(lines, (10, 20), bench_claims.states_found)
    assert "| stark_fork | 3 (1 to 4) | – |" in capsys.readouterr().out.splitlines()
    bench_claims.show_facts(lines, (10, 20), bench_claims.verdicts)
    assert "| stark_fork | phases 2, drift 1 | – |" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("kind", "group"),
    [("drift_white", "drift"), ("noise_states", "drift"), ("chain_plateaus", "chain"),
     ("short_cut", "fork")],
)  # fmt: skip
def test_every_kind_is_of_a_group(kind, group):
    assert bench_claims.group_of(kind) == group

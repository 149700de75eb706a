"""The verdicts on the reference data: what is kept, what the pages say, and how it is taken."""

from __future__ import annotations

import pytest
import yaml
from tools import verdicts

from tests.support.project import ROOT
from training_maps.config.resolve import resolve
from training_maps.config.schema import load_schema
from training_maps.utils.files import write_json

REFERENCE = ROOT / "reference"
KEPT = [
    pytest.param(name, method, id=f"{name}-{method}")
    for name in verdicts.names(REFERENCE)
    for method in verdicts.METHODS
]


class TestPage:
    def test_its_tables_are_what_the_files_say(self):
        """`python -m tools.verdicts --page-only` writes it again."""
        page = verdicts.PAGE.read_text(encoding="utf-8")
        assert verdicts.rewritten(page, REFERENCE) == page
        assert verdicts.table(REFERENCE) in page
        assert verdicts.agreement_table(REFERENCE) in page

    def test_it_has_a_row_for_every_set_and_method(self):
        rows = verdicts.table(REFERENCE).splitlines()
        assert len(rows) == 2 + len(KEPT)
        assert len({row.count("|") for row in rows}) == 1


@pytest.mark.parametrize(("name", "method"), KEPT)
class TestKept:
    def test_verdicts_follow_from_the_intervals(self, name, method):
        found = verdicts.read(REFERENCE)[name][method]
        moving, places = found["gains"]["autoregressive"], found["gains"]["gaussian"]
        expected = "phases" if moving["low"] > 0 else "drift"
        if places["low"] > 0 and found["gains"]["moving"]["low"] <= 0:
            expected = "regions"
        assert found["verdict"] == expected
        for gain in (moving, places):
            assert gain["low"] < gain["mean"] < gain["high"]

    def test_the_null_is_the_stronger_one_of_those_without_states(self, name, method):
        found = verdicts.read(REFERENCE)[name][method]
        assert found["null"] == max(
            ("one_state", "field"), key=lambda rung: found["rungs"][rung]["mean"]
        )

    def test_agreement_is_a_share(self, name, method):
        found = verdicts.read(REFERENCE)[name][method]
        for which in ("given", "agreement"):
            assert 0 <= found[which]["routes"] <= 1
            assert -1 <= found[which]["states"] <= 1
        assert found["given"]["worst"] <= found["given"]["states"]
        assert found["worst_pair"] <= found["agreement"]["states"]
        assert found["scheme"] == ("halves" if found["n_runs"] >= 10 else "leave_one_out")

    def test_the_map_is_of_the_method(self, name, method):
        found = verdicts.read(REFERENCE)[name][method]
        moving = method == "recommended" and found["gains"]["moving"]["mean"] > 0
        assert ("autoregressive" in found["model"]) == moving
        assert len(found["found"]["states"]) == found["n_states"]


def test_the_recommended_run_reads_all_sets_by_that_method():
    asked = yaml.safe_load((REFERENCE / "recommended.yaml").read_text())
    config = resolve(asked, ROOT / "experiments", load_schema())
    assert sorted(config.experiments) == [f"reference_{n}" for n in verdicts.names(REFERENCE)]
    for settings in config.experiments.values():
        assert settings["hmm"]["criterion"] == "found_again"
        assert settings["observations"]["scale"] == "pooled"
        assert len(settings["hmm"]["model"]) == 3


class TestCollect:
    @pytest.fixture
    def results(self, tmp_path):
        """Results of three runs with two states and a fork."""
        gain = {"mean": 0.5, "low": 0.25, "high": 0.75, "n_runs": 3}
        worse = {"mean": -2.0, "low": None, "high": None, "n_runs": 2}
        rung = {"model": "autoregressive", "n_states": 2, "mean": 1.0, "low": 0.5, "high": 1.5}
        files = {
            "summary": {
                "n_runs": 3, "n_states": 2, "r_squared": 0.5, "forking": True, "forks": None,
                "detour_states": [], "delays": [1], "foretelling": None, "choice": "fragile",
                "selection": {"model": "autoregressive", "n_states": 2},
            },
            "structure": {
                "verdict": "phases", "null": "field", "rungs": {"field": rung},
                "gains": {"autoregressive": gain, "gaussian": worse}, "choice": None,
            },
            "reproducibility": {
                "scheme": "leave_one_out",
                "agreement": {"states": 0.75, "routes": 0.5, "n_states": 1.0},
                "pairs": [{"states": 1.0}, {"states": 0.5}],
                "candidates": [
                    {"model": m, "n_states": 2, "states": s, "worst_states": s / 2, "routes": 0.25}
                    for m, s in (("gaussian", 0.25), ("autoregressive", 0.875))
                ],
                "found": {"states": [], "forks": [{"state": 0, "share": 0.2}], "delays": []},
            },
            "phase_transitions": {"phases": {"memorisation": {"sentence": "It is."}}},
            "training_map": {"paths": [{"seeds": [0]}, {"seeds": [1, 2]}]},
        }  # fmt: skip
        for name, content in files.items():
            write_json(content, tmp_path / f"{name}.json")
        return tmp_path

    def test_what_is_taken_is_of_the_model_that_is_drawn(self, results):
        found = verdicts.collect(results)
        assert found["given"] == {"states": 0.875, "worst": 0.4375, "routes": 0.25}
        assert (found["worst_pair"], found["on_commonest_path"]) == (0.5, 2)
        assert found["found_again"] is None
        assert found["phases"] == {"memorisation": "It is."}

    def test_the_row_says_it(self, results, tmp_path):
        reference = tmp_path / "reference"
        (reference / "own").mkdir(parents=True)
        write_json({}, reference / "own" / "settings.json")
        write_json({"paper": verdicts.collect(results)}, reference / "own" / verdicts.FILE)
        *_, row = verdicts.table(reference).splitlines()
        assert row == (
            "| `own`, paper | phases | +0.50 (+0.25 to +0.75) | −2.00 | 2 autoregressive | "
            "0.88, 0.44 | 0.75, 0.50 | 0.50 | 1.00 | 0 (20%) | none |"
        )

    def test_agreement_has_a_row_for_each_kind_by_the_recommended_method(self, results, tmp_path):
        reference = tmp_path / "reference"
        (reference / "own").mkdir(parents=True)
        write_json({}, reference / "own" / "settings.json")
        found = {method: verdicts.collect(results) for method in verdicts.METHODS}
        write_json(found, reference / "own" / verdicts.FILE)
        _, _, *rows = verdicts.agreement_table(reference).splitlines()
        assert rows == [
            "| `own`, paper | Gaussian | 0.25 (0.12) |  |  |  |  |",
            "| `own`, recommended | Gaussian | 0.25 (0.12) |  |  |  |  |",
            "| `own`, recommended | autoregressive | 0.88 (0.44) |  |  |  |  |",
        ]

    def test_only_what_lies_between_the_markers_is_written_anew(self):
        begin, end = "<!-- own: begin -->", "<!-- own: end -->"
        page = f"before\n{begin}\nold\n{end}\nafter\n"
        once = verdicts.between_markers(page, "own", "| new |")
        assert once == f"before\n{begin}\n\n| new |\n\n{end}\nafter\n"
        assert verdicts.between_markers(once, "own", "| new |") == once

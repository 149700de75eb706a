"""Which variants a sensitivity analysis has."""

from __future__ import annotations

import pytest

from training_maps.analysis.sensitivity.variants import (
    OPEN_CHOICES,
    OTHER_STARTS,
    Variant,
    find_variants,
    variants_of,
)
from training_maps.metrics.definitions import METRIC_COLUMNS
from training_maps.utils.errors import InputError

NOTHING = {
    "leave_one_out": False, "authors_subsets": False, "subsets": {},
    "open_choices": False, "hmm": {},
}  # fmt: skip


class TestVariants:
    def test_nothing_is_asked_for_by_default(self):
        assert find_variants(NOTHING, None) == {}

    def test_each_metric_is_left_out_beside_other_starts(self):
        variants = find_variants(NOTHING | {"leave_one_out": True}, ["l1", "val/acc"])
        assert list(variants) == [OTHER_STARTS, "without_l1", "without_val-acc"]
        assert variants["without_val-acc"].to_arguments() == [
            "--variant", "without_val-acc", "--leave-out", "val/acc",
        ]  # fmt: skip
        assert variants[OTHER_STARTS].to_arguments() == ["--variant", OTHER_STARTS]

    def test_the_authors_subsets_are_of_the_paper_s_metrics(self):
        variants = find_variants(NOTHING | {"authors_subsets": True}, METRIC_COLUMNS)
        kept = {name: variant.kept for name, variant in variants.items() if variant.kept}
        assert kept["authors_all"] == METRIC_COLUMNS
        assert [len(subset) for subset in kept.values()] == [14, 6, 1, 1]
        assert set().union(*kept.values()) == set(METRIC_COLUMNS)

    def test_named_subsets(self):
        (_, own) = find_variants(NOTHING | {"subsets": {"norms": ["l1", "l2"]}}, None).values()
        assert own == Variant("norms", ("l1", "l2"))
        assert own.to_arguments() == ["--variant", "norms", "--keep", "l1", "l2"]

    @pytest.mark.parametrize(
        ("asked", "metrics", "message"),
        [
            ({"leave_one_out": True}, None, "tables.metrics or observations.metrics"),
            ({"subsets": {"a": ["l3"]}}, ["l1"], "subsets.a: the model does not see l3"),
            ({"leave_one_out": True, "subsets": {"without_l1": ["l1"]}}, ["l1"], "called without_"),
            ({"leave_one_out": True}, ["a/b", "a-b"], "two variants are called without_a-b"),
        ],
    )
    def test_what_cannot_be_is_refused(self, asked, metrics, message):
        with pytest.raises(InputError, match=message):
            find_variants(NOTHING | asked, metrics)

    def test_metrics_are_those_that_the_observations_are_made_of(self):
        settings = {
            "source": "training",
            "metrics": {"columns": []},
            "observations": {"metrics": [], "log_columns": ["gradient_norm"], "split_seed": 0},
            "hmm": {"restarts": 5, "resplits": 0, "aggregate": "mean"},
            "sensitivity": NOTHING | {"leave_one_out": True},
        }
        assert [v.left_out for v in variants_of(settings).values()][1:] == [
            *METRIC_COLUMNS, "gradient_norm",
        ]  # fmt: skip
        settings["observations"]["metrics"] = ["l2"]
        assert len(variants_of(settings)) == 3
        assert variants_of({"source": "state_paths"}) == {}
        settings |= {"source": "metrics", "tables": {"metrics": []}}
        settings["observations"]["metrics"] = []
        with pytest.raises(InputError, match="needs to know the metrics"):
            variants_of(settings)

    def test_open_choices_that_the_experiment_does_not_make_itself(self):
        hmm = {
            "restarts": 5, "covariance": "full", "covariance_floor": 0.001, "resplits": 4,
            "aggregate": "mean", "n_states": [1, 2, 3],
        }  # fmt: skip
        settings = {
            "source": "training",
            "metrics": {"columns": []},
            "observations": {"metrics": [], "log_columns": [], "split_seed": 1},
            "hmm": hmm,
            "sensitivity": NOTHING | {"open_choices": True, "hmm": {"six": {"n_states": 6}}},
        }
        found = variants_of(settings)
        assert list(found) == [OTHER_STARTS, *(set_ for set_ in OPEN_CHOICES if set_ not in
                               ("mean_of_restarts", "five_splits")), "six"]  # fmt: skip
        assert found["other_split_1"].changes["resplits"] == 0  # the same runs, judging alone
        assert found["six"].to_arguments() == ["--variant", "six", "--change", "n_states=6"]
        assert found["best_restart"].to_arguments()[2:] == ["--change", 'aggregate="best"']
        settings["sensitivity"]["hmm"] = {"one_split": {"resplits": 0}}
        with pytest.raises(InputError, match="two variants are called one_split"):
            variants_of(settings)

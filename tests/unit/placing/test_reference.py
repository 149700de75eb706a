"""The file that runs are placed by: what is read is what was written, and what is refused."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from tests.support.placed_runs import metrics_of, small_reference, write_map
from training_maps.figures.map.svg import map_svg
from training_maps.placing.calibrate import calibrate
from training_maps.placing.place import NewRun, place_run
from training_maps.placing.reference import FILE, Reference
from training_maps.utils.errors import InputError


def same(a, b):
    """Whether two objects hold the same, arrays and dataclasses all the way down."""
    if dataclasses.is_dataclass(a):
        return all(
            same(getattr(a, f.name), getattr(b, f.name))
            for f in dataclasses.fields(a)
            if f.name not in ("hmm", "settings")
        )
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return a == b


def test_it_is_read_as_it_was_written(tmp_path):
    reference = small_reference()
    reference.save(tmp_path / FILE)
    read = Reference.load(tmp_path)
    assert same(reference, read)
    assert read.hmm.name == reference.hmm.name
    for name, array in reference.hmm.arrays().items():
        np.testing.assert_array_equal(read.hmm.arrays()[name], array)
    assert same(read, Reference.load(tmp_path / FILE))  # the file alone is enough


@pytest.mark.parametrize("model", ["gaussian", "autoregressive", "vector_autoregressive"])
def test_runs_are_placed_alike_by_the_file(tmp_path, model):
    reference = calibrate(write_map(tmp_path / "map", n_runs=10, model=model))
    reference.save(tmp_path / FILE)
    run = NewRun("new", metrics_of(150, np.random.default_rng(7)))
    one, other = (place_run(r, run) for r in (reference, Reference.load(tmp_path / FILE)))
    pd.testing.assert_frame_equal(one.table, other.table)


def test_a_map_without_outcome(tmp_path):
    dataclasses.replace(small_reference(), forecast=None).save(tmp_path / FILE)
    assert Reference.load(tmp_path).forecast is None


def test_noise_without_heavy_tails(tmp_path):
    dataclasses.replace(small_reference(), degrees=np.inf).save(tmp_path / FILE)
    assert Reference.load(tmp_path).degrees == np.inf


class TestBadInput:
    def test_a_map_made_before(self, tmp_path):
        folder = write_map(tmp_path, n_runs=6)
        with pytest.raises(InputError) as error:
            Reference.load(folder)
        assert str(error.value).startswith(f"{folder}: cannot place runs")
        assert f"'training-maps calibrate --map {folder}'" in str(error.value)

    def test_no_map(self, tmp_path):
        with pytest.raises(InputError, match="expected the folder of a map"):
            Reference.load(tmp_path)
        with pytest.raises(InputError, match="does not exist"):
            Reference.load(tmp_path / "nothing")

    def test_another_version(self, tmp_path):
        small_reference().save(tmp_path / FILE)
        with np.load(tmp_path / FILE) as saved:
            arrays = dict(saved)
        told = json.loads(str(arrays.pop("told"))) | {"version": 99}
        np.savez(tmp_path / FILE, told=np.array(json.dumps(told)), **arrays)
        with pytest.raises(InputError, match=r"another version .*format 99.*calibrate --map"):
            Reference.load(tmp_path)

    @pytest.mark.parametrize("damage", ["cut off", "text", "no array"])
    def test_a_broken_file(self, tmp_path, damage):
        small_reference().save(tmp_path / FILE)
        content = (tmp_path / FILE).read_bytes()
        if damage == "cut off":
            (tmp_path / FILE).write_bytes(content[:2000])
        elif damage == "text":
            (tmp_path / FILE).write_text("no archive")
        else:
            with np.load(tmp_path / FILE) as saved:
                arrays = {k: v for k, v in saved.items() if k != "scored"}
            np.savez(tmp_path / FILE, **arrays)
        with pytest.raises(InputError, match=r"is not whole .*calibrate --map"):
            Reference.load(tmp_path)

    @pytest.mark.parametrize(
        "drawn",
        [
            "<svg><script>alert(1)</script></svg>",
            '<svg onload="alert(1)"/>',
            '<svg><g onclick="alert(1)"/></svg>',
            '<svg><image href="http://example.org/x.png"/></svg>',
            '<svg><style>@import "x.css"</style></svg>',
            '<svg xmlns:x="http://www.w3.org/1999/xlink"><g x:href="javascript:alert(1)"/></svg>',
            '<!DOCTYPE svg [<!ENTITY a "b">]><svg/>',
            "<svg></svg><script>alert(1)</script>",
            "<svg>",
            7,
        ],
    )
    def test_a_drawing_that_holds_more_than_a_map(self, tmp_path, drawn):
        """Pages show the drawing of a file that somebody may have sent as it is."""
        small_reference().save(tmp_path / FILE)
        with np.load(tmp_path / FILE) as saved:
            arrays = dict(saved)
        told = json.loads(str(arrays.pop("told")))
        told["training_map"]["svg"] = drawn
        np.savez(tmp_path / FILE, told=np.array(json.dumps(told)), **arrays)
        with pytest.raises(InputError, match=r"is not whole .*calibrate --map"):
            Reference.load(tmp_path)

    def test_the_drawing_that_is_made_for_it(self, tmp_path):
        reference = small_reference()
        drawn = map_svg(reference.training_map, fork_states=[0], delay_states=[1], faint=[1])
        training_map = {**reference.training_map, "svg": drawn}
        dataclasses.replace(reference, training_map=training_map).save(tmp_path / FILE)
        assert Reference.load(tmp_path).training_map["svg"] == drawn

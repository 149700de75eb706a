"""Seeds as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_maps.utils.errors import InputError
from training_maps.utils.seeds import first_seeds, format_seeds, named_seeds, parse_seeds


@pytest.mark.parametrize(
    ("written", "seeds"),
    [
        ("0-3,50", [0, 1, 2, 3, 50]),
        (" 7 , 2 - 4 ", [2, 3, 4, 7]),
        ("5", [5]),
        ("3-3", [3]),
        (7, [7]),
        ([3, "1", "5-6"], [1, 3, 5, 6]),
        (range(3), [0, 1, 2]),
        ((0, 2.0), [0, 2]),
    ],
)
def test_parse(written, seeds):
    assert parse_seeds(written) == seeds


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("", "neither a whole number"),
        ([], "empty"),
        ("1,,2", "neither a whole number"),
        ("-1", "'-1' is neither"),
        (-1, "-1 is not a whole number"),
        ([1.5], "1.5 is not a whole number"),
        (["a"], "'a' is neither"),
        ([None], "None is not a whole number"),
        (True, "True is not a number"),
        ("5-2", "runs backwards; write 2-5"),
        ("1,2,1", "1 is given more than once"),
        ("0-5,3-7", "3-5 is given more than once"),
        ("0-999999999999", "more than 100000 numbers"),
        ("１", "neither a whole number"),
        ("0-8:2", "neither a whole number"),  # only steps have strides
    ],
)
def test_parse_refuses(written, problem):
    with pytest.raises(InputError, match=problem):
        parse_seeds(written)


@pytest.mark.parametrize(
    ("seeds", "written"),
    [([0, 1, 2, 3, 50], "0-3,50"), ([4, 2, 3], "2-4"), ([1, 2], "1,2"), ([], ""), ([9], "9")],
)
def test_format(seeds, written):
    assert format_seeds(seeds) == written


def test_sentences_name_the_first_of_many_seeds():
    assert named_seeds([3]) == "seed 3"
    assert named_seeds([50, *range(4)]) == "seeds 0-3,50"
    assert first_seeds(range(10_000)) == "0-9999"
    odd = list(range(1, 201, 2))
    assert first_seeds(odd) == format_seeds(odd)
    told = first_seeds([*odd, 300, 301, 302, 4000])
    assert told == ",".join(map(str, range(1, 40, 2))) + " and 84 more"
    assert first_seeds([*range(3), *range(10, 3000, 2)]).startswith("0-2,10,12,")
    assert first_seeds([*range(3), *range(10, 3000, 2)]).endswith(",46 and 1,476 more")


@given(st.sets(st.integers(0, 300), min_size=1))
def test_format_is_read_back(seeds):
    assert parse_seeds(format_seeds(seeds)) == sorted(seeds)

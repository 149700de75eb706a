"""The one exception that users meet, and values in its messages."""

import pytest

from training_maps.utils.errors import InputError, UnreadableCheckpoint, shown


def test_what_users_meet_is_one_kind_of_error():
    with pytest.raises(InputError, match="this file"):
        raise UnreadableCheckpoint("this file")
    assert issubclass(InputError, ValueError)
    assert not issubclass(InputError, UnreadableCheckpoint)


def test_values_are_shown_as_python_writes_them_but_not_for_pages():
    assert shown("a'b") == repr("a'b")
    assert shown(None) == "None"
    assert shown([1, 2.5]) == "[1, 2.5]"
    long = shown("x" * 10_000 + "end")
    assert len(long) <= 100
    assert long.startswith("'xxx")
    assert long.endswith("end'")
    assert shown("x" * 98) == repr("x" * 98)  # as long as may be
    assert "..." in shown("x" * 99)
    assert shown(10**10_000) == "a huge number"

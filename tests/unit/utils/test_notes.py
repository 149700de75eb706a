"""Notes, and reading them back."""

from __future__ import annotations

import pytest

from training_maps.utils.errors import InputError
from training_maps.utils.notes import Note, notes_from


def test_what_is_written_is_read_back() -> None:
    notes = (Note("one_state", "There is one state."), Note("failed_fits", "2 fits failed."))
    assert notes_from([note.to_dict() for note in notes], "map.json") == notes
    assert str(notes[0]) == "There is one state."
    assert notes_from([], "map.json") == ()


@pytest.mark.parametrize("one", ["There is one state.", None, {"text": "A."}, ["kind", "text"]])
def test_notes_of_older_versions_are_refused_by_the_files_name(one: object) -> None:
    with pytest.raises(InputError, match=r"^map\.json: has notes without a kind.*make it again$"):
        notes_from([one], "map.json")

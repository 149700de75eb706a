"""The notes in short: every kind has a sentence, within the limits, and none is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import training_maps
from training_maps.report.notes import (
    LAST,
    MOST_SENTENCES,
    MOST_WORDS,
    SHORT,
    first_sentences,
    full_notes,
)
from training_maps.utils.notes import Note

ANCHORS = ("states", "routes", "selection", "detours", "made")
# Rooms whose notes stand in the results that the page's notes are of.
ROOMS = ("hmm", "model_selection", "training_map", "analysis/semantics")
notes_strategy = st.lists(
    st.builds(Note, st.sampled_from([*SHORT, "of a plugin", "another"]), st.text(max_size=200))
)


def kinds() -> set[str]:
    """The kinds of all notes that these rooms can make."""
    package = Path(training_maps.__file__).parent
    files = (path for room in ROOMS for path in sorted((package / room).rglob("*.py")))
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    found = set(re.findall(r'Note\(\s*"(\w+)"', code))
    for name in re.findall(r"Note\(\s*([A-Z_]+)", code):
        found |= set(re.findall(rf'^{name} = "(\w+)"', code, re.MULTILINE))
    return found


def test_every_kind_of_note_has_a_sentence():
    assert len(kinds()) > 20
    assert kinds() <= set(SHORT)
    assert set(SHORT) - kinds() == {"time_in_steps"}  # the page's own


@pytest.mark.parametrize("kind", SHORT)
def test_sentences_are_short_and_plain(kind):
    sentence = SHORT[kind].sentence
    assert len(sentence.split()) <= MOST_WORDS
    assert re.fullmatch(r"[A-Z][^!?]*\.", sentence)
    assert sentence.count(". ") == 0
    assert SHORT[kind].section in ANCHORS


@given(notes_strategy, st.sets(st.sampled_from(ANCHORS)))
def test_at_most_three_and_none_is_lost(notes, shown):
    shown = shown | {LAST}
    found = first_sentences(notes, shown)
    assert len(found) == min(MOST_SENTENCES, len({note.kind for note in notes}))
    told = full_notes(notes, shown)
    assert sorted(text for texts in told.values() for text in texts) == sorted(
        note.text for note in notes
    )
    assert set(told) <= shown
    for one in found:
        assert len(one["sentence"].split()) <= MOST_WORDS
        assert one["anchor"].removeprefix("notes-") in told


def test_the_most_important_come_first():
    kinds = ["given_numbers", "of a plugin", "few_runs", "doubtful_choice", "missing_values"]
    found = first_sentences([Note(kind, kind) for kind in kinds], ANCHORS)
    expected = [SHORT[kind].sentence for kind in ("doubtful_choice", "few_runs", "missing_values")]
    assert [one["sentence"] for one in found] == expected
    assert [one["anchor"] for one in found] == ["notes-selection", "notes-detours", "notes-made"]

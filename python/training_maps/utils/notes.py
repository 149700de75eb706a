"""Notes: what a stage remarks for who reads its results, each of a kind that programs select by."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from training_maps.utils.errors import InputError


@dataclass(frozen=True)
class Note:
    """A remark.

    Attributes:
        kind: which remark it is, whatever runs it is of: "failed_fits". The text may be worded
            anew, the kind stays.
        text: the remark, in plain sentences.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        """The text."""
        return self.text

    def to_dict(self) -> dict[str, str]:
        """Kind and text, ready for JSON."""
        return asdict(self)


def notes_from(data: Iterable[object], where: str | os.PathLike[str]) -> tuple[Note, ...]:
    """The notes of a file, as `Note.to_dict` made them.

    Args:
        data: what the file has for its notes.
        where: the file, for the error's message.

    Raises:
        InputError: if one of them is no note, as in files of versions whose notes had no kind.
    """
    notes = []
    for one in data:
        if not isinstance(one, dict) or set(one) != {"kind", "text"}:
            raise InputError(
                f"{where}: has notes without a kind, as older versions wrote them; make it again"
            )
        notes.append(Note(str(one["kind"]), str(one["text"])))
    return tuple(notes)

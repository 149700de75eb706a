"""What of all notes a reader must know first: at most three plain sentences, the rest one link on.

Every note stands in full where its section is. Here each kind has a rank, the section, and one
sentence of at most `MOST_WORDS` words that is true of every note of its kind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from training_maps.utils.notes import Note

MOST_SENTENCES = 3
MOST_WORDS = 25
#: The section that is on every page, and takes notes whose own section is not shown.
LAST = "made"


class Short(NamedTuple):
    """A kind of note in short: the anchor of its section, and a sentence."""

    section: str
    sentence: str


#: By kind, the most important first.
SHORT = {
    "one_state": Short("selection", "No separate phases were found: there is one state."),
    "degenerate": Short("selection", "The chosen fit is degenerate: try fewer states."),
    "doubtful_choice": Short(
        "selection", "Other runs or restarts might well show another number of states."
    ),
    "no_halves": Short(
        "selection", "No halves of the runs could be compared: BIC chose the number of states."
    ),
    "many_parameters": Short(
        "selection",
        "The model has more parameters than checkpoints: its states may be chance.",
    ),
    "noise_alone": Short(
        "states", "A state differs from its neighbour in noise alone: it is no phase."
    ),
    "few_runs": Short(
        "detours", "The runs are few for so many states: chance alone makes R² high."
    ),
    "iteration_limit": Short(
        "selection", "The chosen fit stopped at its iteration limit: raise hmm.max_iterations."
    ),
    "checkpoints_beyond": Short(
        "made", "Runs are longer than what is used of them: raise observations.max_checkpoints."
    ),
    "no_validation": Short(
        "selection", "No run was held out, so the number of states rests on the fitted runs alone."
    ),
    "run_left_out": Short("made", "A run with a weight that is not finite is left out."),
    "no_outcome": Short("detours", "Some runs have no outcome and are left out of the regression."),
    "censored": Short("detours", "Some runs do not converge, which the regression allows for."),
    "run_cut": Short("made", "A run is used only up to its first weight that is not finite."),
    "unreadable_checkpoints": Short("made", "Some checkpoints could not be read and are left out."),
    "dependent_shares": Short(
        "detours", "Some states' effects cannot be told apart, so they have no coefficients."
    ),
    "unseen_states": Short("detours", "A state that only left-out runs visit has no coefficient."),
    "unequal_lengths": Short(
        "detours", "Runs end at different steps, so shares and R² are not those of equal runs."
    ),
    "few_checkpoints": Short(
        "states", "A state has too few checkpoints to rank the metrics that mark it."
    ),
    "nearly_singular": Short(
        "states", "Some metrics say nearly the same, so which of them mark a state is uncertain."
    ),
    "missing_values": Short("made", "Some metrics are missing at some checkpoints."),
    "why_not_linear": Short(
        "routes", "All runs take the same way as far as they go; some end early or return."
    ),
    "failed_fits": Short("selection", "Some fits did not converge; the chosen one may be another."),
    "exact_fit": Short("detours", "The regression fits exactly, as it does where runs are few."),
    "constant_shares": Short(
        "detours",
        "All runs spend the same share of time in some state: no coefficient.",
    ),
    "autoregressive": Short("states", "A state is a way of moving here, not a place."),
    "given_numbers": Short("states", "States are not numbered in the order of visits."),
    "constant_metric": Short("made", "A metric that never varies is left out."),
    "partly_constant_metric": Short("made", "A metric does not vary in some runs."),
    "sure_entry": Short(
        "states", "The model is so sure of a transition that its metrics cannot be ranked."
    ),
    "time_in_steps": Short("made", "Time is in steps, because some run has no log with epochs."),
}
_UNKNOWN = Short(LAST, "There is one more thing to know of these results.")


def place(note: Note, shown: Collection[str]) -> str:
    """The anchor of the section that a note stands in, of those that are shown."""
    section = SHORT.get(note.kind, _UNKNOWN).section
    return section if section in shown else LAST


def first_sentences(notes: Iterable[Note], shown: Collection[str]) -> list[dict[str, str]]:
    """The most important notes in short, each with the anchor of where its kind stands in full.

    Args:
        notes: all notes, in any order; one of an unknown kind comes last, in general words.
        shown: anchors of the page's sections.

    Returns:
        At most `MOST_SENTENCES` of `sentence` and `anchor`.
    """
    ranks = {kind: rank for rank, kind in enumerate(SHORT)}
    of_kind = {note.kind: note for note in reversed(list(notes))}
    ranked = sorted(of_kind, key=lambda kind: ranks.get(kind, len(ranks)))
    return [
        {
            "sentence": SHORT.get(kind, _UNKNOWN).sentence,
            "anchor": f"notes-{place(of_kind[kind], shown)}",
        }
        for kind in ranked[:MOST_SENTENCES]
    ]


def full_notes(notes: Iterable[Note], shown: Collection[str]) -> dict[str, list[str]]:
    """The texts of all notes by the anchor of their section."""
    found: dict[str, list[str]] = {}
    for note in notes:
        found.setdefault(place(note, shown), []).append(note.text)
    return found

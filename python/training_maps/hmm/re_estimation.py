"""A model read off anew from posteriors: its states stay, how they look is that of the rows."""

from __future__ import annotations

import copy

from training_maps.hmm.base import HMM
from training_maps.hmm.inference import Expectation
from training_maps.utils.numbers import Floats, Ints
from training_maps.utils.threads import one_thread


def re_estimated(hmm: HMM, X: Floats, lengths: Ints, found: Expectation) -> HMM:
    """A copy of a model whose parameters are what its M-step makes of given posteriors.

    Args:
        hmm: the model; it stays as it is.
        X: (n, d) rows of all sequences, concatenated; NaN marks a missing entry. They may be in
            another scale than the model's.
        lengths: lengths of the sequences.
        found: posteriors (n, K) of the rows, and expected transitions.
    """
    model = copy.copy(hmm)
    with one_thread():
        stats = model._statistics(model._rows(X, lengths), found)
        model._mstep(stats)
        model._settle(stats)
    return model

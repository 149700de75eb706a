"""Choosing what halves of the runs agree on, among models that are fitted already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.known_phases import assert_same_model, phases
from training_maps.cli import main
from training_maps.hmm.observations import Observations
from training_maps.model_selection.criteria import Candidate
from training_maps.model_selection.fit import fit_hmm
from training_maps.model_selection.fitted import FittedHMM, save_fitted
from training_maps.model_selection.select import (
    DOUBTFUL_CHOICE,
    file_stem,
    load_selected,
    select_hmm,
)
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, write_json, write_table

BOTH, NUMBERS = ["gaussian", "autoregressive"], [2, 3]


@pytest.fixture(scope="module")
def obs() -> Observations:
    return phases(1, n_runs=15)


@pytest.fixture(scope="module")
def fits(obs: Observations) -> dict[Candidate, FittedHMM]:
    return {
        Candidate(kind, k): fit_hmm(obs, k, restarts=3, model=kind)
        for kind in BOTH
        for k in NUMBERS
    }


@pytest.fixture(scope="module")
def folder(
    obs: Observations, fits: dict[Candidate, FittedHMM], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Where the models and their scores are."""
    folder = tmp_path_factory.mktemp("hmm")
    for candidate, fitted in fits.items():
        save_fitted(folder / f"{file_stem(candidate)}.npz", fitted, obs)
        write_table(fitted.scores, folder / f"{file_stem(candidate)}.csv")
    return folder


def structure(model: str, n_states: int, found_again: bool = True) -> dict[str, Any]:
    agreement, worst = (0.956, 0.91) if found_again else (0.61, 0.3)
    choice = {"model": model, "n_states": n_states, "agreement": agreement, "worst": worst}
    return {"verdict": "phases", "choice": {**choice, "found_again": found_again}}


def by_choice(folder: Path, obs: Observations, said: dict[str, Any] | None, **more: Any) -> Any:
    return load_selected(
        obs, folder, NUMBERS, criterion="found_again", model=BOTH, structure=said, **more
    )


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("k", NUMBERS)
@pytest.mark.parametrize("aggregate", ["mean", "best"])
def test_the_choice_is_taken_whatever_the_scores_say(
    obs: Observations,
    folder: Path,
    fits: dict[Candidate, FittedHMM],
    kind: str,
    k: int,
    aggregate: str,
) -> None:
    found = by_choice(folder, obs, structure(kind, k), aggregate=aggregate)
    assert (found.kind, found.n_states, found.criterion) == (kind, k, "found_again")
    assert found.aggregate == aggregate
    fitted = fits[Candidate(kind, k)]
    assert_same_model(found.hmm, fitted.hmm)
    assert found.restart == fitted.restart
    bic = fitted.scores["bic"]
    assert found.value == pytest.approx(bic.mean() if aggregate == "mean" else bic.min())
    all_scores = pd.concat([fits[Candidate(m, n)].scores for n in NUMBERS for m in BOTH])
    pd.testing.assert_frame_equal(found.scores, all_scores.reset_index(drop=True))


def test_it_is_stable_where_halves_and_restarts_agree(obs: Observations, folder: Path) -> None:
    found = by_choice(folder, obs, structure("gaussian", 3))
    stability = found.stability
    assert [finding.name for finding in stability.findings] == ["halves", "restarts"]
    assert [finding.fragile for finding in stability.findings] == [False, False]
    assert stability.verdict == "stable"
    text = "halves of the runs agree on its states (adjusted Rand index 0.96, at worst 0.91)"
    assert text in stability.findings[0].clause
    assert not any(note.kind == DOUBTFUL_CHOICE for note in found.notes)
    few = by_choice(folder, obs, structure("gaussian", 3) | {"scheme": "leave_one_out"})
    assert few.stability.findings[0].clause.startswith("fits without single runs agree on its")
    # The numbers are those of BIC, for whoever looks further.
    by_bic = select_hmm(obs, NUMBERS, restarts=3, model=BOTH)
    assert (by_bic.kind, by_bic.n_states) == ("gaussian", 3)
    assert stability.numbers == by_bic.stability.numbers


def test_it_is_fragile_where_halves_do_not_agree(obs: Observations, folder: Path) -> None:
    found = by_choice(folder, obs, structure("gaussian", 3, found_again=False))
    stability = found.stability
    assert stability.verdict == "fragile"
    assert [finding.fragile for finding in stability.findings] == [True, False]
    assert "agree on no number of states, and on these most" in stability.sentence
    assert "0.61, at worst 0.30" in stability.sentence
    (note,) = (note for note in found.notes if note.kind == DOUBTFUL_CHOICE)
    assert note.text == stability.sentence


def test_restarts_that_disagree_make_it_fragile(obs: Observations, tmp_path: Path) -> None:
    """Six states of three phases: restarts cut the three up, each in another way."""
    fitted = fit_hmm(obs, 6, restarts=4, random_state=3)
    save_fitted(tmp_path / "states-6.npz", fitted, obs)
    write_table(fitted.scores, tmp_path / "states-6.csv")
    found = load_selected(
        obs, tmp_path, [6], criterion="found_again", structure=structure("gaussian", 6)
    )
    halves, restarts = found.stability.findings
    assert not halves.fragile
    assert restarts.fragile
    assert found.stability.verdict == "fragile"


@pytest.mark.parametrize(("kind", "k"), [("gaussian", 4), ("vector_autoregressive", 2)])
def test_a_choice_that_was_not_tried_is_refused(
    obs: Observations, folder: Path, kind: str, k: int
) -> None:
    with pytest.raises(InputError, match=rf"chooses {k} states \({kind}\), which were not tried"):
        by_choice(folder, obs, structure(kind, k))


@pytest.mark.parametrize("said", [None, {}, {"verdict": None, "choice": None}])
def test_without_a_choice_bic_chooses_and_a_note_says_so(
    obs: Observations, folder: Path, said: dict[str, Any] | None
) -> None:
    found = by_choice(folder, obs, said)
    by_bic = load_selected(obs, folder, NUMBERS, model=BOTH)
    assert (found.kind, found.n_states, found.restart) == ("gaussian", 3, by_bic.restart)
    assert (found.criterion, found.value) == ("bic", by_bic.value)
    assert found.stability == by_bic.stability
    *others, note = found.notes
    assert tuple(others) == by_bic.notes
    assert "BIC" in note.text
    assert len(note.text.split()) <= 25


def test_other_criteria_take_no_notice_of_the_structure(obs: Observations, folder: Path) -> None:
    for criterion in ("bic", "aic", "log_likelihood"):
        plain = load_selected(obs, folder, NUMBERS, criterion=criterion, model=BOTH)
        found = load_selected(
            obs,
            folder,
            NUMBERS,
            criterion=criterion,
            model=BOTH,
            structure=structure("autoregressive", 2),
        )
        assert (found.kind, found.n_states) == (plain.kind, plain.n_states)
        assert found.stability == plain.stability


def test_fits_alone_cannot_be_chosen_between_by_it(obs: Observations) -> None:
    with pytest.raises(InputError, match="criterion: 'found_again' is not one of bic"):
        select_hmm(obs, [1], criterion="found_again")


@pytest.mark.parametrize("said", [True, False])
def test_the_map_s_command_takes_the_structure(
    obs: Observations, folder: Path, tmp_path: Path, said: bool
) -> None:
    obs.save(tmp_path / "observations.parquet")
    write_json(structure("autoregressive", 2), tmp_path / "structure.json")
    words = ["map", "--observations", str(tmp_path / "observations.parquet")]
    words += ["--models", str(folder), "--n-states", "2-3", "--model", *BOTH]
    words += ["--criterion", "found_again", "--selection", str(tmp_path / "scores.csv")]
    words += ["--stability", str(tmp_path / "stability.json"), "--output"]
    words += [str(tmp_path / "map.json"), "--state-paths", str(tmp_path / "paths.csv")]
    words += ["--structure", str(tmp_path / "structure.json")] if said else []
    assert main(words) == 0
    selected = read_json(tmp_path / "map.json")["selected_model"]
    found = (selected["model"], selected["n_states"], selected["criterion"])
    assert found == (("autoregressive", 2, "found_again") if said else ("gaussian", 3, "bic"))

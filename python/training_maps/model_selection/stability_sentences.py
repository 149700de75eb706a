"""How firm the choice of a model is, in sentences: findings, and a verdict over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from training_maps.utils.wording import kind_of_model, listing, numbered, plural, refits

Verdict = Literal["stable", "fragile", "not known"]
_CRITERION_PHRASES = {
    "bic": "BIC is lower",
    "aic": "AIC is lower",
    "log_likelihood": "log-likelihood is higher",
}
_AGGREGATE_PHRASES = {"mean": "the mean over restarts", "best": "the best restart"}


@dataclass(frozen=True)
class Finding:
    """The answer to one question.

    Attributes:
        name: which question.
        fragile: whether the answer makes the choice fragile; None if that is not known.
        clause: the answer, without capital and full stop.
    """

    name: str
    fragile: bool | None
    clause: str


def findings_of(numbers: Mapping[str, Any]) -> list[Finding]:
    """What the numbers of `training_maps.model_selection.stability.measure_stability` say."""
    findings = []
    if len(numbers["candidates"]) > 1:
        if len(numbers["judging"]["seeds"]) < numbers["limits"]["least_runs"]:
            runs = _judging_runs(numbers)
            findings.append(
                Finding("runs", None, f"how far it depends on the runs cannot be told from {runs}")
            )
        else:
            findings += [_margin(numbers), _resampling(numbers), _single_runs(numbers)]
        findings += [_aggregates(numbers), _limit(numbers)]
    if numbers.get("one_state"):
        findings.append(_one_state(numbers))
    findings.append(restarts_agree(numbers))
    if numbers["resplits"]:
        findings.append(_resplits(numbers))
    return findings


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """ "fragile" if some finding is, else "not known" if some is not, else "stable"."""
    if any(finding.fragile for finding in findings):
        return "fragile"
    return "not known" if any(finding.fragile is None for finding in findings) else "stable"


def sentence_of(numbers: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """The verdict and its reasons in a sentence."""
    verdict = verdict_of(findings)
    chosen = candidate_name(numbers["chosen"], numbers["candidates"])
    subject = f"The choice of {chosen}"
    if len(numbers["candidates"]) == 1:
        subject = f"The model with {chosen}, the only number tried,"
    shown = {"fragile": True, "not known": None, "stable": False}[verdict]
    reasons = "; ".join(finding.clause for finding in findings if finding.fragile is shown)
    if verdict == "not known":
        subject = subject[0].lower() + subject[1:]
        return f"It is not known whether {subject} is stable: {reasons}."
    return f"{subject} is {verdict}: {reasons}."


def candidate_name(candidate: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]) -> str:
    """ "3 states", or "3 autoregressive states" where several kinds of model were tried."""
    return f"{candidate['n_states']} {_noun(candidate, candidates)}"


def _noun(candidate: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]) -> str:
    """ "states", "state", or "autoregressive states" where several kinds of model were tried."""
    states = "state" if candidate["n_states"] == 1 else "states"
    kind = kind_of_model(candidate["model"])
    return f"{kind} {states}" if len({other["model"] for other in candidates}) > 1 else states


def same_candidate(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two records name the same kind of model and number of states."""
    return bool(a["model"] == b["model"] and a["n_states"] == b["n_states"])


def within_margin(numbers: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The candidates that are within the margin of the chosen one, which is not among them."""
    return [
        row
        for row in _others(numbers)
        if row["standard_error"] is not None
        and row["difference"] <= numbers["limits"]["margin"] * row["standard_error"]
    ]


def _margin(numbers: Mapping[str, Any]) -> Finding:
    near = within_margin(numbers)
    best = min(_others(numbers), key=lambda row: row["difference"])
    clause = (
        f"its {_CRITERION_PHRASES[numbers['criterion']]} by {amount(best['difference'])} than "
        f"that of the next best, {_name(best, numbers)}, with a bootstrap standard error of "
        f"{amount(best['standard_error'])}"
    )
    if near:
        verb = "is" if len(near) == 1 and near[0]["n_states"] == 1 else "are"
        clause += (
            f", and {_names(near, numbers)} {verb} within {numbers['limits']['margin']:g} standard "
            "errors"
        )
    return Finding("margin", bool(near), clause)


def _resampling(numbers: Mapping[str, Any]) -> Finding:
    (own,) = (row for row in numbers["candidates"] if same_candidate(row, numbers["chosen"]))
    limits = numbers["limits"]
    clause = (
        f"{_percent(own['share'])} of {limits['resamples']} resamples of the "
        f"{_judging_runs(numbers)} choose it"
    )
    others = sorted(_others(numbers), key=lambda row: -row["share"])
    seen = [f"{_percent(r['share'])} choose {_name(r, numbers)}" for r in others if r["share"] > 0]
    if seen:
        clause += f" ({listing(seen[:2])})"
    return Finding("resampling", own["share"] < limits["share"], clause)


def _single_runs(numbers: Mapping[str, Any]) -> Finding:
    seeds: dict[str, list[int]] = {}
    for row in numbers["without_run"]:
        if not same_candidate(row, numbers["chosen"]):
            seeds.setdefault(_name(row, numbers), []).append(row["seed"])
    if not seeds:
        return Finding("single runs", False, "no single run decides it")
    parts = [f"{name} without seed {listing(which, 'or')}" for name, which in seeds.items()]
    clause = f"a single run decides it: the choice would be {listing(parts)}"
    return Finding("single runs", True, clause)


def _aggregates(numbers: Mapping[str, Any]) -> Finding:
    (other,) = (
        row
        for row in numbers["other_rules"]
        if row["criterion"] == numbers["criterion"] and row["aggregate"] != numbers["aggregate"]
    )
    phrases = _AGGREGATE_PHRASES
    if same_candidate(other, numbers["chosen"]):
        return Finding(
            "aggregate", False, f"{phrases['mean']} and {phrases['best']} choose the same"
        )
    clause = f"{phrases[other['aggregate']]} would choose {_name(other, numbers)}"
    return Finding("aggregate", True, f"{clause}, not {phrases[numbers['aggregate']]}")


def _limit(numbers: Mapping[str, Any]) -> Finding:
    chosen = numbers["chosen"]["n_states"]
    if chosen == max(row["n_states"] for row in numbers["candidates"]):
        return Finding(
            "limit",
            True,
            f"{chosen} is the largest number of states tried, and more may fit better",
        )
    return Finding("limit", False, "larger numbers of states were tried")


def halves_agree(choice: Mapping[str, Any]) -> Finding:
    """Whether halves of the runs agree on the states of a choice of `structure.json`.

    Its `scheme` says what stands in for halves where the runs are few.
    """
    some = refits(choice.get("scheme"))
    how_far = f"adjusted Rand index {choice['agreement']:.2f}, at worst {choice['worst']:.2f}"
    if choice["found_again"]:
        return Finding("halves", False, f"{some} agree on its states ({how_far})")
    clause = f"{some} agree on no number of states, and on these most ({how_far})"
    return Finding("halves", True, clause)


def _one_state(numbers: Mapping[str, Any]) -> Finding:
    more = numbers["one_state"]
    return Finding(
        "one state",
        True,
        f"{_name(more, numbers)} fit the training runs far better (by "
        f"{amount(more['train_gain'])} nats a checkpoint) and fail on the validation runs; "
        "raise hmm.covariance_floor, or set hmm.covariance to diag, before you trust one state",
    )


def restarts_agree(numbers: Mapping[str, Any]) -> Finding:
    """Whether restarts of the chosen model find the same states."""
    found, limits = numbers["restarts"], numbers["limits"]
    n_restarts, n_same = len(found["adjusted_rand_index"]), len(found["same_states"])
    if n_restarts == 1:
        return Finding("restarts", None, "one restart cannot tell whether others find its states")
    clause = (
        f"{n_same} of {n_restarts} restarts find the same states (adjusted Rand index of at least "
        f"{limits['same_states']:g} with the one kept)"
    )
    differ = [i for i in found["equally_good"] or () if i not in found["same_states"]]
    if differ:
        clause += f", and {numbered('restart', differ)}, as good on the runs that judge, not"
    return Finding("restarts", bool(differ) or 2 * n_same <= n_restarts, clause)


def _resplits(numbers: Mapping[str, Any]) -> Finding:
    rows, limits = numbers["resplits"], numbers["limits"]
    same = [row for row in rows if same_candidate(row, numbers["chosen"])]
    alike = [row for row in same if row["adjusted_rand_index"] >= limits["same_states"]]
    clause = (
        f"of {plural(len(rows), 'other split')} into training and validation runs "
        f"{len(same) or 'none'} alone would choose it, {len(alike) or 'none'} with the same states"
    )
    names = [_name(row, numbers) for row in rows if row not in same]
    if names:
        others = [f"{names.count(name)} would choose {name}" for name in sorted(set(names))]
        clause += f" ({listing(others)})"
    return Finding("splits", len(alike) < limits["share"] * len(rows), clause)


def _others(numbers: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in numbers["candidates"] if not same_candidate(row, numbers["chosen"])]


def _name(row: Mapping[str, Any], numbers: Mapping[str, Any]) -> str:
    return candidate_name(row, numbers["candidates"])


def _names(rows: Sequence[Mapping[str, Any]], numbers: Mapping[str, Any]) -> str:
    """ "1, 2 and 4 states": the noun once, where all have the same."""
    if len({row["model"] for row in rows}) > 1:
        return listing([_name(row, numbers) for row in rows])
    return f"{listing([row['n_states'] for row in rows])} {_noun(rows[-1], numbers['candidates'])}"


def _judging_runs(numbers: Mapping[str, Any]) -> str:
    judging = numbers["judging"]
    kind = "validation" if judging["split"] == "validation" else "training"
    several = f" of {numbers['n_splits']} splits" if numbers["n_splits"] > 1 else ""
    return plural(len(judging["seeds"]), f"{kind} run") + several


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share in (0.0, 1.0) else f"{100 * share:.1f} %"


def amount(value: float) -> str:
    """Three significant digits, and all before the point, as in tables: 0.0123, 46.9, 8,011."""
    rounded = float(f"{value:.3g}")
    return f"{value:,.0f}" if rounded >= 100 else f"{rounded:g}"

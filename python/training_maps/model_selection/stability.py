"""How firm the choice of a model is: would slightly other runs, restarts or splits choose another?

Nothing is fitted here. What is needed is kept of every fit (`model_selection.restarts`): the
log-likelihood of every run, and every run's path. Four questions are asked, and each has a rule by
which its answer counts as fragile.

**Margin.** The difference of the criterion between a candidate and the chosen one, and its
bootstrap standard error over the runs that judge (the validation runs, or the training runs where
none is held out). A candidate within `MARGIN` standard errors of the chosen one makes the choice
fragile.

**Resampling.** The runs that judge are drawn again with replacement, as many as there are,
`RESAMPLES` times, and the choice is made on each draw (Efron and Tibshirani 1993, chapter 6). It is
fragile if fewer than `SHARE` of the draws choose the same, or if a single run, left out, changes
it. Models are not fitted again for this; with `resplits` they are for other splits into training
and validation runs. The choice is then made by all splits together, so that many more runs judge;
and at least `SHARE` of the other splits, each alone, must choose the same and find the same states.

**Restarts.** The adjusted Rand index between the paths of all runs under two restarts of the
chosen candidate. From `SAME_STATES` on, two restarts have found the same states (Steinley 2004
calls this agreement excellent). The choice is fragile if no more than half of the restarts agree
with the one kept, or if one that is as good on the runs that judge (within `MARGIN` standard
errors) does not.

**Rules.** It is fragile if the mean over restarts and the best restart choose differently, and if
it is the largest number of states tried. One state is fragile too if more states fit the training
runs far better and fail on the validation runs, as narrow states do at the floor of their
covariance: nothing says then that there is one state only.

With fewer than `LEAST_RUNS` runs to judge by, or one restart, the answer is that it is not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_maps.model_selection.criteria import (
    AGGREGATES,
    CRITERIA,
    Candidate,
    aggregated,
    criterion_value,
)
from training_maps.model_selection.restarts import OWN_SPLIT, Restarts
from training_maps.model_selection.stability_sentences import (
    Finding,
    Verdict,
    findings_of,
    halves_agree,
    restarts_agree,
    sentence_of,
    verdict_of,
)
from training_maps.stats.agreement import adjusted_rand_index, matched_share
from training_maps.utils.numbers import Floats

MARGIN = 2.0
RESAMPLES = 1000
SHARE = 0.9
SAME_STATES = 0.9
LEAST_RUNS = 3
# A difference of BIC from which evidence is very strong (Kass and Raftery 1995).
FAR_BETTER = 10.0
RANDOM_STATE = 0


@dataclass(frozen=True)
class Stability:
    """How firm a choice is.

    Attributes:
        verdict: "fragile" if some finding is, "not known" if none is but some is not known,
            "stable" otherwise.
        sentence: the verdict and its reasons.
        findings: each question's answer.
        numbers: what stands behind them, ready for JSON (see `measure_stability`).
    """

    verdict: Verdict
    sentence: str
    findings: tuple[Finding, ...]
    numbers: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "findings": [asdict(finding) for finding in self.findings],
            **self.numbers,
        }


def measure_stability(
    restarts: Mapping[Candidate, Sequence[Restarts]],
    chosen: Candidate,
    restart: int,
    criterion: str = "bic",
    aggregate: str = "mean",
) -> Stability:
    """Measure how firm a choice is.

    Args:
        restarts: of each candidate, its restarts on the observations' own split, then on others.
        chosen: the chosen candidate.
        restart: the restart that is kept of it.
        criterion: "bic", "aic" or "log_likelihood".
        aggregate: "mean" or "best".

    Returns:
        The verdict. Its numbers are `chosen`; `judging` (the runs that judge); `candidates` (the
        `difference` of each one's criterion to the chosen one's, 0 or more, the difference's
        `standard_error`, and the `share` of resamples that choose it); `without_run` (what is
        chosen without each run); `other_rules` (what each criterion and aggregate chooses);
        `restarts` (`adjusted_rand_index` (R, R), those `same_states` as the one kept and those
        `equally_good`, and the `matched_share` of each state's checkpoints, averaged over the other
        restarts); `resplits`; and the `limits` that the findings are held against. None stands
        for what is not known.
    """
    own = {candidate: splits[0] for candidate, splits in restarts.items()}
    candidates = sorted(own, key=lambda candidate: candidate.order)
    judging = judges(restarts[chosen])
    held_out = not own[chosen].judging.all()
    numbers: dict[str, Any] = {
        "chosen": {**chosen._asdict(), "restart": restart},
        "criterion": criterion,
        "aggregate": aggregate,
        "judging": {
            "split": "validation" if held_out else "train",
            "seeds": own[chosen].seeds[judging].tolist(),
        },
        "n_splits": len(restarts[chosen]),
        "candidates": _standings(restarts, candidates, chosen, criterion, aggregate),
        "without_run": _without_runs(restarts, candidates, criterion, aggregate),
        "other_rules": [
            {
                "criterion": other,
                "aggregate": way,
                **_choice(restarts, candidates, other, way)._asdict(),
            }
            for other in CRITERIA
            for way in AGGREGATES
        ],
        "restarts": _restart_agreement(own[chosen], chosen.n_states, restart),
        "resplits": _resplits(restarts, candidates, chosen, restart, criterion, aggregate),
        "one_state": _fail_on_validation(own, candidates, chosen),
        "limits": {
            "margin": MARGIN,
            "resamples": RESAMPLES,
            "share": SHARE,
            "same_states": SAME_STATES,
            "least_runs": LEAST_RUNS,
            "random_state": RANDOM_STATE,
        },
    }
    findings = findings_of(numbers)
    verdict = verdict_of(findings)
    return Stability(verdict, sentence_of(numbers, findings), tuple(findings), numbers)


def measure_found_again(
    restarts: Mapping[Candidate, Sequence[Restarts]],
    chosen: Candidate,
    restart: int,
    choice: Mapping[str, Any],
    aggregate: str = "mean",
) -> Stability:
    """How firm the choice of what halves of the runs agree on is.

    Args:
        restarts: as for `measure_stability`.
        chosen: the chosen candidate.
        restart: the restart that is kept of it.
        choice: of `structure.json`: `found_again`, `agreement` and `worst`, and its `scheme`.
        aggregate: "mean" or "best".

    Returns:
        What `measure_stability` returns, its numbers by BIC, but for the findings: whether halves
        agree, and whether restarts do.
    """
    numbers = measure_stability(restarts, chosen, restart, "bic", aggregate).numbers
    findings = (halves_agree(choice), restarts_agree(numbers))
    verdict = verdict_of(findings)
    return Stability(verdict, sentence_of(numbers, findings), findings, numbers)


def resampled_counts(n_runs: int, resamples: int, random_state: int) -> Floats:
    """How often each run is drawn, (resamples, n_runs); each row sums to n_runs."""
    draw = np.random.default_rng(random_state)
    return draw.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=resamples).astype(float)


def values_on(restarts: Restarts, counts: Floats, criterion: str, aggregate: str) -> Floats:
    """The aggregated criterion, lower is better, on resamples of the runs that judge.

    Args:
        restarts: of one candidate, on one split.
        counts: (B, M) how often each of the M judging runs counts in each of B resamples.
        criterion: "bic", "aic" or "log_likelihood".
        aggregate: "mean" or "best".

    Returns:
        (B,) values.
    """
    likelihood = counts @ restarts.log_likelihood[:, restarts.judging].T
    n = np.maximum(counts @ restarts.lengths[restarts.judging], 1)  # 0 if none of them was drawn
    return aggregated(
        criterion_value(criterion, likelihood, restarts.n_parameters, n[:, None]), aggregate
    )


def judges(splits: Sequence[Restarts]) -> NDArray[np.bool_]:
    """Which of all runs, (N,), judge in one of the splits or more."""
    some: NDArray[np.bool_] = np.any([split.judging for split in splits], axis=0)
    return some


def values_over(
    splits: Sequence[Restarts], counts: Floats, criterion: str, aggregate: str
) -> Floats:
    """The aggregated criterion, averaged over splits, on resamples of all runs that judge.

    Args:
        splits: of one candidate.
        counts: (B, M) how often each of the M runs that judge in some split counts.
        criterion: "bic", "aic" or "log_likelihood".
        aggregate: "mean" or "best".

    Returns:
        (B,) values.
    """
    judging = judges(splits)
    values = [
        values_on(split, counts[:, split.judging[judging]], criterion, aggregate)
        for split in splits
    ]
    return np.mean(values, axis=0)


def _standings(
    restarts: Mapping[Candidate, Sequence[Restarts]],
    candidates: Sequence[Candidate],
    chosen: Candidate,
    criterion: str,
    aggregate: str,
) -> list[dict[str, Any]]:
    """Each candidate's distance from the chosen one, and its share of the resamples."""
    n_runs = int(judges(restarts[chosen]).sum())
    everyone = np.ones((1, n_runs))
    counts = resampled_counts(n_runs, RESAMPLES, RANDOM_STATE)
    rule = (criterion, aggregate)
    values = np.array([values_over(restarts[c], everyone, *rule)[0] for c in candidates])
    drawn = np.array([values_over(restarts[c], counts, *rule) for c in candidates])
    at = candidates.index(chosen)
    errors = (drawn - drawn[at]).std(axis=1, ddof=1)
    shares = np.bincount(drawn.argmin(axis=0), minlength=len(candidates)) / RESAMPLES
    known = n_runs >= LEAST_RUNS
    return [
        {
            **candidate._asdict(),
            "difference": float(values[i] - values[at]),
            "standard_error": float(errors[i]) if known else None,
            "share": float(shares[i]) if known else None,
        }
        for i, candidate in enumerate(candidates)
    ]


def _without_runs(
    restarts: Mapping[Candidate, Sequence[Restarts]],
    candidates: Sequence[Candidate],
    criterion: str,
    aggregate: str,
) -> list[dict[str, Any]]:
    """What is chosen when each judging run in turn is left out."""
    some = restarts[candidates[0]]
    seeds = some[0].seeds[judges(some)]
    if len(seeds) < LEAST_RUNS:
        return []
    counts = 1 - np.eye(len(seeds))
    values = np.array([values_over(restarts[c], counts, criterion, aggregate) for c in candidates])
    return [
        {"seed": int(seed), **candidates[best]._asdict()}
        for seed, best in zip(seeds, values.argmin(axis=0), strict=True)
    ]


def _choice(
    restarts: Mapping[Candidate, Sequence[Restarts]],
    candidates: Sequence[Candidate],
    criterion: str,
    aggregate: str,
) -> Candidate:
    """The choice on all judging runs; of equals, the first candidate."""
    values = []
    for candidate in candidates:
        everyone = np.ones((1, int(judges(restarts[candidate]).sum())))
        values.append(values_over(restarts[candidate], everyone, criterion, aggregate)[0])
    return candidates[int(np.argmin(values))]


def _restart_agreement(restarts: Restarts, n_states: int, kept: int) -> dict[str, Any]:
    """How far the restarts of the chosen candidate find the same states."""
    paths = restarts.paths
    n = len(paths)
    index = np.eye(n)
    for i in range(n):
        for j in range(i):
            index[i, j] = index[j, i] = adjusted_rand_index(paths[i], paths[j])
    others = [i for i in range(n) if i != kept]
    shares = [matched_share(paths[kept], paths[i], n_states) for i in others]
    state_shares = np.mean(shares, axis=0).tolist() if others else []
    return {
        "adjusted_rand_index": index.tolist(),
        "same_states": [i for i in range(n) if index[kept, i] >= SAME_STATES],
        "equally_good": _equally_good(restarts, kept),
        "matched_share": [None if share != share else share for share in state_shares],
    }


def _equally_good(restarts: Restarts, kept: int) -> list[int] | None:
    """Restarts whose likelihood of the judging runs is within the margin of the kept one's."""
    likelihood = restarts.log_likelihood[:, restarts.judging]
    n_runs = likelihood.shape[1]
    if n_runs < LEAST_RUNS:
        return None
    behind = likelihood[kept] - likelihood
    errors = (resampled_counts(n_runs, RESAMPLES, RANDOM_STATE) @ behind.T).std(axis=0, ddof=1)
    return np.flatnonzero(behind.sum(axis=1) <= MARGIN * errors).tolist()


def _fail_on_validation(
    own: Mapping[Candidate, Restarts], candidates: Sequence[Candidate], chosen: Candidate
) -> dict[str, Any] | None:
    """More states than the one chosen that training runs ask for and validation runs refuse.

    Of the kind of model that was chosen, the one with the lowest BIC of the training runs (of each,
    the restart that fits them best), if it is lower than that of one state by `FAR_BETTER`, and the
    validation runs are less likely under it, parameters not counted. That is what narrow states do
    that hold the training runs only, down to the floor of their covariance.
    """
    judging = own[chosen].judging
    if chosen.n_states != 1 or judging.all():
        return None
    one, fitted = own[chosen], {}
    n_train = int(one.lengths[~judging].sum())
    for candidate in candidates:
        if candidate.model == chosen.model:
            of_train = own[candidate].log_likelihood[:, ~judging].sum(axis=1)
            best = int(of_train.argmax())
            bic = -2 * of_train[best] + np.log(n_train) * own[candidate].n_parameters
            of_validation = own[candidate].log_likelihood[best, judging].sum()
            fitted[candidate] = (float(bic), float(of_train[best]), float(of_validation))
    more = min(fitted, key=lambda candidate: fitted[candidate][0])
    bic, of_train, of_validation = np.subtract(fitted[more], fitted[chosen])
    if more == chosen or bic > -FAR_BETTER or of_validation >= 0:
        return None
    return {
        **more._asdict(),
        "train_gain": float(of_train) / n_train,
        "validation_loss": -float(of_validation) / int(one.lengths[judging].sum()),
    }


def _resplits(
    restarts: Mapping[Candidate, Sequence[Restarts]],
    candidates: Sequence[Candidate],
    chosen: Candidate,
    restart: int,
    criterion: str,
    aggregate: str,
) -> list[dict[str, Any]]:
    """What is chosen on the other splits, and how far its paths are those of the chosen model."""
    kept = restarts[chosen][0].paths[restart]
    by_split = [
        {splits.split_seed: splits for splits in restarts[candidate]} for candidate in candidates
    ]
    common = set.intersection(*map(set, by_split)) - {OWN_SPLIT}
    rows = []
    for seed in sorted(common):
        split = {c: [found[seed]] for c, found in zip(candidates, by_split, strict=True)}
        choice = _choice(split, candidates, criterion, aggregate)
        (there,) = split[choice]
        rows.append(
            {
                "split_seed": seed,
                "validation_seeds": there.seeds[there.judging].tolist(),
                **choice._asdict(),
                "adjusted_rand_index": adjusted_rand_index(kept, there.paths[there.best]),
            }
        )
    return rows

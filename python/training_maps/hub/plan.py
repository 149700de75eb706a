"""Which repositories and revisions of the Hugging Face hub hold a run's checkpoints.

MultiBERTs (Sellam et al. 2022) have a repository for every checkpoint of seeds 0 to 4. Pythia
(Biderman et al. 2023) has a repository for every size and a revision for every checkpoint;
PolyPythias (van der Wal et al. 2025) repeats five of the sizes with seeds 1 to 9, a repository for
each. Others are named by patterns with the places {seed}, {step} and {step_k}, thousands of steps.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training_maps.utils.errors import InputError
from training_maps.utils.numbers import LARGEST_STEP
from training_maps.utils.seeds import format_seeds, parse_numbers

PLACES = ("seed", "step", "step_k")


@dataclass(frozen=True)
class Preset:
    """A released suite of runs: where its checkpoints are, and which there are.

    `repositories` has the repository of those seeds that the pattern `repository` is not for.
    """

    repository: str
    revision: str
    steps: str
    seeds: tuple[int, ...]
    repositories: Mapping[int, str]


_PYTHIA_STEPS = "0,1,2,4,8,16,32,64,128,256,512,1000-143000:1000"
PRESETS: dict[str, Preset] = {
    "multiberts": Preset(
        "google/multiberts-seed_{seed}-step_{step_k}k",
        "main",
        "0-200000:20000,300000-2000000:100000",
        tuple(range(5)),
        {},
    ),
    "pythia": Preset("EleutherAI/pythia-{size}", "step{step}", _PYTHIA_STEPS, (0,), {}),
    # Seed 0 stands for the original run, whose seed was 1234.
    "polypythias": Preset(
        "EleutherAI/pythia-{size}-seed{seed}",
        "step{step}",
        _PYTHIA_STEPS,
        tuple(range(10)),
        {0: "EleutherAI/pythia-{size}"},
    ),
}


@dataclass(frozen=True)
class HubRun:
    """One run's checkpoints on the hub: patterns with {step} and {step_k}, and the steps."""

    seed: int
    repository: str
    revision: str
    steps: tuple[int, ...]
    files: tuple[str, ...] = ()
    endpoint: str | None = None

    def locate(self, step: int) -> tuple[str, str]:
        """The repository and the revision that hold the checkpoint of `step`."""
        return self._filled(self.repository, step), self._filled(self.revision, step)

    def _filled(self, pattern: str, step: int) -> str:
        return pattern.format(seed=self.seed, step=step, step_k=step // 1000)


def hub_run(section: Mapping[str, Any], seeds: Sequence[int], seed: int) -> HubRun:
    """One run of an experiment whose section `hub` is `section`.

    Args:
        section: preset, size, repository, revision, steps, files and endpoint; what is missing is
            as if it were None.
        seeds: all of the experiment's seeds, ascending: a list of repositories is in their order.
        seed: the run's own.

    Raises:
        InputError: naming the key of the section that is missing, cannot be or does not fit.
    """
    preset = _preset(section, seeds)
    given: Any = section.get("repository")
    size: str | None = section.get("size")
    pattern = given if isinstance(given, str) else preset.repository
    repository = preset.repositories.get(seed, pattern)
    listed = bool(given) and not isinstance(given, str)
    if listed:
        if len(given) != len(seeds):
            raise InputError(
                f"hub.repository: lists {len(given)} repositories for {len(seeds)} seeds "
                f"({format_seeds(seeds)}); expected one for each, in their order"
            )
        repository = pattern = given[list(seeds).index(seed)]
    if "{size}" in repository and not size:
        raise InputError("hub.size: is missing; this preset needs one, such as 160m")
    repository, pattern = (text.replace("{size}", size or "") for text in (repository, pattern))
    revision = section.get("revision") or preset.revision
    steps = parse_steps(preset.steps if section.get("steps") is None else section["steps"])
    used = _places(pattern, "hub.repository") | _places(revision, "hub.revision")
    if len(seeds) > 1 and "seed" not in used and not listed:
        raise InputError(
            f"hub: neither repository nor revision has {{seed}}, so that the seeds "
            f"{format_seeds(seeds)} would all be the same run; put it where the seed's number is, "
            "list a repository for each seed, or give one seed"
        )
    _check_steps(steps, used)
    files, endpoint = tuple(section.get("files") or ()), section.get("endpoint")
    return HubRun(seed, repository, revision, steps, files, endpoint)


def _check_steps(steps: Sequence[int], used: set[str]) -> None:
    """Refuse steps that the patterns' places cannot tell apart, or cannot write."""
    if len(steps) > 1 and not used & {"step", "step_k"}:
        raise InputError(
            "hub: neither repository nor revision has {step} or {step_k}, so that all steps would "
            "be the same checkpoint; put it where the step's number is"
        )
    odd = [step for step in steps if step % 1000]
    if "step_k" in used and odd:
        raise InputError(
            f"hub.steps: {odd[0]} is no multiple of 1000, which {{step_k}} needs; write {{step}}"
        )


def check_hub(section: Mapping[str, Any], seeds: Sequence[int], where: str) -> None:
    """Refuse a section `hub` that cannot be, for any of the seeds.

    Raises:
        InputError: what `hub_run` raises, with `where` before it.
    """
    try:
        for seed in seeds:
            hub_run(section, seeds, seed)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def parse_steps(steps: str | int | Iterable[str | int]) -> tuple[int, ...]:
    """Expand steps such as "0,1,2,1000-143000:1000" or [0, 512, "1000-3000:500"], ascending.

    A range has both its ends, and a stride behind a colon (1 if there is none).

    Raises:
        InputError: if there is none, or one is no whole number, or is given twice.
    """
    return tuple(parse_numbers(steps, "hub.steps", LARGEST_STEP, strides=True))


def format_steps(steps: Sequence[int]) -> str:
    """Write ascending steps in a short form that `parse_steps` reads."""
    parts: list[str] = []
    start = 0
    while start < len(steps):
        end = start + 1
        stride = steps[end] - steps[start] if end < len(steps) else 0
        while end + 1 < len(steps) and steps[end + 1] - steps[end] == stride:
            end += 1
        if end - start >= 2 and end < len(steps):
            parts.append(f"{steps[start]}-{steps[end]}" + (f":{stride}" if stride > 1 else ""))
            start = end + 1
        else:
            parts.append(str(steps[start]))
            start += 1
    return ",".join(parts)


def _preset(section: Mapping[str, Any], seeds: Sequence[int]) -> Preset:
    """The preset, or one that knows nothing where there is none."""
    name = section.get("preset")
    if name is None:
        for key in ("repository", "steps"):
            if section.get(key) in (None, "", []):
                raise InputError(
                    f"hub.{key}: is missing; give a preset ({', '.join(PRESETS)}), or repository "
                    "and steps"
                )
        return Preset("", "main", "", (), {})
    if name not in PRESETS:
        raise InputError(f"hub.preset: {name!r} is not one of {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if section.get("repository"):
        raise InputError("hub.repository: the preset has its own; give one of the two")
    missing = sorted(set(seeds) - set(preset.seeds))
    if missing:
        raise InputError(
            f"hub.preset: {name} has no seed {format_seeds(missing)}; its seeds are "
            f"{format_seeds(preset.seeds)}"
        )
    return preset


def _places(pattern: str, what: str) -> set[str]:
    """The places of a pattern, which must be known ones."""
    try:
        found = {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}
    except ValueError as error:
        raise InputError(f"{what}: {pattern!r} is no pattern ({error})") from error
    strange = sorted(found - set(PLACES))
    if strange:
        raise InputError(
            f"{what}: {pattern!r} has {{{strange[0]}}}; expected none but "
            f"{', '.join(f'{{{place}}}' for place in PLACES)}"
        )
    return found

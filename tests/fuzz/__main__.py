"""Run one fuzzer, guided by coverage, until it finds something or its time is over.

    python -m tests.fuzz csv -max_total_time=60

What comes after the target's name is libFuzzer's. Cases are kept in `.fuzz/TARGET`; what is found
is written there as `crash-...`, to become a test. Needs atheris (`make fuzz` installs it).
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["training_maps"]):
    from tests.fuzz.targets import TARGETS, seeds


def main() -> None:
    """Set up the corpus, and hand over to libFuzzer."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"python -m tests.fuzz TARGET, one of {', '.join(TARGETS)}")
    name = sys.argv[1]
    corpus = Path(".fuzz") / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(seeds()[name]):
        (corpus / f"seed-{number}").write_bytes(content)
    limits = ["-timeout=2", "-rss_limit_mb=2048", f"-artifact_prefix={corpus}/"]
    atheris.Setup([sys.argv[0], *limits, *sys.argv[2:], str(corpus)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

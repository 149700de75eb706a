#!/usr/bin/env bash
# `snakemake --lint`, any finding an error, but for one: it asks every rule to name a conda environment
# or a container. The software of all rules is this package, which `make setup` installs as pinned in
# requirements.lock and Cargo.lock, so there is neither.
set -euo pipefail

expected='Specify a conda environment or container for each rule.'
said=$(snakemake --lint 2>&1) || true
if ! grep -qE '^Lints for|^All Lints|Congratulations' <<<"$said"; then
    printf '%s\n' "$said"
    exit 1
fi
if grep -E '^    \* ' <<<"$said" | grep -vF "$expected"; then
    printf '%s\n' "$said"
    exit 1
fi

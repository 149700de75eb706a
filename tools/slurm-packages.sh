#!/usr/bin/env bash
# Installs what the tests on SLURM need, Debian's slurm-wlm and munge, as root; otherwise says what to
# type, and the tests are skipped.
set -euo pipefail

export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
if command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null; then
    exit 0
fi
install="apt-get install -y --no-install-recommends slurm-wlm munge"
if ! command -v apt-get >/dev/null; then
    echo "The tests on SLURM need slurmctld, slurmd and munged, which are not here." >&2
elif [ "$(id -u)" = 0 ]; then
    if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive $install; }; then
        echo "SLURM could not be installed; the tests on SLURM are skipped." >&2
    fi
else
    printf 'The tests on SLURM are run by root. Type, as root:\n  %s\n  make test-slurm\n' "$install" >&2
fi

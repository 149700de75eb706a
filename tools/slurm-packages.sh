#!/usr/bin/env bash
# Installs what the tests on SLURM need, Debian's SLURM, munge and a database for its accounting, as root;
# otherwise says what to type, and the tests are skipped.
set -euo pipefail

export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
missing=
# The last three are what makes the database, and the two programs that it calls.
for program in slurmctld slurmd munged sbatch slurmdbd mariadbd \
    mariadb-install-db my_print_defaults resolveip; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
if [ -z "$missing" ]; then
    exit 0
fi
install="apt-get install -y --no-install-recommends \
slurm-wlm munge slurmdbd mariadb-server-core mariadb-client-core"
if ! command -v apt-get >/dev/null; then
    echo "The tests on SLURM need$missing, which are not here." >&2
elif [ "$(id -u)" = 0 ]; then
    if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive $install; }; then
        echo "SLURM could not be installed; the tests on SLURM are skipped." >&2
    fi
else
    printf 'The tests on SLURM are run by root. Type, as root:\n  %s\n  make test-slurm\n' "$install" >&2
fi

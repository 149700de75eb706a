#!/usr/bin/env bash
# Run every fuzzer in turn, each for its share of MINUTES (10): tools/fuzz.sh [MINUTES]
#
# The engine's need cargo-fuzz, which builds them with an address sanitizer, and a nightly compiler; those of Python
# atheris, which is installed here.
# What is found stops the run and lies in .fuzz/TARGET/.
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=${1:-10}
engine=(header checkpoint selection)
readers=(csv json parquet events event_payloads torch shards experiment)
seconds=$((minutes * 60 / (${#engine[@]} + ${#readers[@]})))
# One thread, and a message in place of a hang or a full memory.
export OPENBLAS_NUM_THREADS=1
# The files that are tried lie in memory. A fuzzer that ends removes nothing.
TMPDIR=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
limits=(-timeout=2 -rss_limit_mb=2048 "-max_total_time=$seconds" -verbosity=0 -print_final_stats=1)

if ! rustup run nightly rustc --version >/dev/null 2>&1; then
    echo "The engine's fuzzers are left out: they need a nightly compiler (rustup toolchain install nightly)."
    engine=()
elif ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install --locked --quiet cargo-fuzz
fi
for target in "${engine[@]}"; do
    echo "== $target, $seconds s"
    mkdir -p ".fuzz/$target"
    cargo +nightly fuzz run --fuzz-dir rust_metrics/fuzz "$target" "$PWD/.fuzz/$target" -- \
        "${limits[@]}" "-artifact_prefix=$PWD/.fuzz/$target/"
done

python -c "import atheris" 2>/dev/null || python -m pip install --quiet -r requirements-fuzz.lock
for target in "${readers[@]}"; do
    echo "== $target, $seconds s"
    python -m tests.fuzz "$target" "${limits[@]}"
done

#!/usr/bin/env bash
# Makes sure that the system has what cannot come from PyPI or crates.io:
#
#   tools/system-packages.sh          what the build needs: a C compiler, Python's venv, OpenBLAS, pkg-config, Rust
#   tools/system-packages.sh rust     Rust alone
#   tools/system-packages.sh lint     Rust's formatter and linter
#   tools/system-packages.sh tests    a browser, for the tests of the report; without one they are skipped
#
# Debian's packages are installed where that may be done (as root or with a passwordless sudo); otherwise it
# says what to type. Rust is never installed: which one, Debian's or rustup's, is for the user to say.
set -euo pipefail

python=${PYTHON:-python3}

# Installs Debian's packages. Fails where that may not or cannot be done, with apt-get's own words if it was tried.
apt_install() {
    local as_root=()
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo)
    fi
    echo "Installing system packages that are missing: $*"
    # A list that one mirror did not give need not be one that is asked for.
    quietly "${as_root[@]}" apt-get update -q || true
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "$@"
}

# Runs a command, and shows what it said only if it fails.
quietly() {
    local said ends=0
    said=$(mktemp)
    "$@" >"$said" 2>&1 || ends=$?
    [ "$ends" = 0 ] || cat "$said" >&2
    rm -f "$said"
    return "$ends"
}

# How to ask for a command that needs root's rights: what to type here.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        echo "type  $*"
    elif command -v sudo >/dev/null; then
        echo "type  sudo $*"
    else
        echo "type as root  $*"
    fi
}

check_build() {
    local missing=()
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v pkg-config >/dev/null || missing+=(pkg-config)
    pkg-config --exists openblas 2>/dev/null || missing+=(libopenblas-dev)
    "$python" -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
    if ((${#missing[@]} == 0)) || apt_install "${missing[@]}"; then
        return
    fi
    if command -v apt-get >/dev/null; then
        echo "System packages are missing: $(as_root apt-get install -y --no-install-recommends "${missing[@]}")" >&2
        echo "Then run make again." >&2
    else
        echo "These are missing here: ${missing[*]}." >&2
        echo "With Homebrew, type:  brew install openblas pkg-config" >&2
    fi
    exit 1
}

check_python() {
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "Python 3.11 or later is needed; name it with:  make PYTHON=python3.11" >&2
        exit 1
    fi
}

# Debian's Rust, where one that is new enough can be installed here; else where rustup is to be had.
how_to_get_rust() {
    local package version
    if apt-cache policy rustup 2>/dev/null | grep -q 'Candidate: [0-9]'; then
        echo "$(as_root apt-get install -y rustup) && rustup default stable"
        return
    fi
    # Debian 12 has a Rust of today for building its browsers, cargo-web, beside the one that it came out with.
    for package in cargo cargo-web; do
        version=$(apt-cache policy "$package" 2>/dev/null | sed -n 's/.*Candidate: \([0-9.]*\).*/\1/p')
        if [ -n "$version" ] && new_enough "$version"; then
            as_root apt-get install -y "$package"
            return
        fi
    done
    echo "install it as https://rustup.rs says"
}

new_enough() {
    [ "$(printf '%s\n%s\n' "$needed" "$1" | sort -V | head -n 1)" = "$needed" ]
}

check_rust() {
    local needed here
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' rust_metrics/Cargo.toml)
    here=$(cargo --version 2>/dev/null | cut -d' ' -f2 || true)
    if [ -z "$here" ]; then
        echo "Rust (cargo, $needed or later) is missing: $(how_to_get_rust), then run make again." >&2
        exit 1
    elif ! new_enough "$here"; then
        echo "Rust $here is too old, $needed or later is needed: $(how_to_get_rust), then run make again." >&2
        exit 1
    fi
}

check_lint() {
    local missing=()
    cargo fmt --version >/dev/null 2>&1 || missing+=(rustfmt)
    cargo clippy --version >/dev/null 2>&1 || missing+=(clippy)
    if ((${#missing[@]})); then
        echo "Not here, but needed to check Rust's code: ${missing[*]}." >&2
        echo "With rustup, type:  rustup component add ${missing[*]}" >&2
        exit 1
    fi
}

check_browser() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" >/dev/null && return
    done
    apt_install chromium fonts-dejavu-core && return
    echo "There is no browser, so the tests that look at the report in one are skipped." >&2
    echo "To have them run, install Chromium; on Debian," >&2
    as_root apt-get install -y --no-install-recommends chromium fonts-dejavu-core >&2
}

case ${1:-build} in
build)
    check_build
    check_python
    check_rust
    ;;
rust) check_rust ;;
lint) check_lint ;;
tests) check_browser ;;
*)
    echo "Type: tools/system-packages.sh [build|rust|lint|tests]" >&2
    exit 2
    ;;
esac

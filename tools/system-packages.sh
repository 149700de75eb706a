#!/usr/bin/env bash
# Makes sure that the system has what the build needs: a C compiler, Python's venv, OpenBLAS with
# its headers, pkg-config and Rust. Installs Debian's packages where it may (as root or with a
# passwordless sudo) and otherwise says what to type. With the argument `tests`: a browser, which
# the tests of the report use; where it may not be installed, they are skipped.
set -euo pipefail

if [ "${1:-}" = tests ]; then
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" >/dev/null && exit 0
    done
    install="apt-get install -y --no-install-recommends chromium fonts-dejavu-core"
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        apt-get update -q && DEBIAN_FRONTEND=noninteractive $install && exit 0
    elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
        sudo apt-get update -q && sudo DEBIAN_FRONTEND=noninteractive $install && exit 0
    fi
    echo "There is no browser, so the tests that look at the report in one are skipped." >&2
    echo "To have them run, install Chromium. On Debian, type:  sudo $install" >&2
    exit 0
fi

python=${PYTHON:-python3}
missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v pkg-config >/dev/null || missing+=(pkg-config)
pkg-config --exists openblas 2>/dev/null || missing+=(libopenblas-dev)
"$python" -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)

if ((${#missing[@]})); then
    install="apt-get install -y --no-install-recommends ${missing[*]}"
    if ! command -v apt-get >/dev/null; then
        echo "These are missing here: ${missing[*]}." >&2
        echo "With Homebrew, type:  brew install openblas pkg-config" >&2
        exit 1
    elif [ "$(id -u)" = 0 ]; then
        apt-get update -q && DEBIAN_FRONTEND=noninteractive $install
    elif sudo -n true 2>/dev/null; then
        sudo apt-get update -q && sudo DEBIAN_FRONTEND=noninteractive $install
    else
        printf 'System packages are missing. Type, then run make again:\n  sudo %s\n' "$install" >&2
        exit 1
    fi
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Python 3.11 or later is needed; name it with:  make PYTHON=python3.11" >&2
    exit 1
fi
if ! command -v cargo >/dev/null; then
    echo "Rust is missing (cargo). Install it with rustup, or Debian's rustup or cargo package" >&2
    echo "if that is 1.88 or later, and run make again." >&2
    exit 1
fi

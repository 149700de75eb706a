#!/usr/bin/env bash
# Sets up the environment that VIRTUAL_ENV names, a step at a time:
#
#   tools/setup.sh packages     the environment, and the packages of requirements.lock
#   tools/setup.sh slurm        the packages of requirements-slurm.lock
#   tools/setup.sh extension    the Rust extension
#
# PYTHON makes the environment. TORCH says which build of torch: cpu, cuda, or auto (the default), which is
# cpu where there is no NVIDIA GPU. A torch of the pinned version that is there already is kept.
set -euo pipefail
trap 'exit 130' INT # or uv's end by Ctrl-C would be taken for a failure, and pip would begin

python=${PYTHON:-python3}
environment=${VIRTUAL_ENV:-.venv}
bin=$environment/bin
torch=${TORCH:-auto}
patience=5 # seconds within which the source of torch's CPU builds must answer

# As measured with torch 2.15.0 on Linux, x86-64, with du: torch, triton and the nvidia packages are 5.2 of 6.5 GB.
# The CPU build is what is left of torch without its CUDA parts.
size_cuda="torch with CUDA libraries, 5.2 GB on the disk, and all others, 1.3 GB"
size_cpu="torch without CUDA, 0.7 GB on the disk, and all others, 1.3 GB"
size_keep="all but torch, up to 1.3 GB on the disk"

notes=$(mktemp -d)
trap 'rm -rf "$notes"' EXIT
clear=
if [ -t 1 ]; then
    clear=$'\r\033[K' # ends a line of progress
fi

say() {
    printf '%sSet-up: %s\n' "$clear" "$*"
}

pip() {
    "$bin/python" -m pip --disable-pip-version-check "$@"
}

make_environment() {
    if ! [ -x "$bin/python" ]; then
        say "a virtual environment in $environment"
        "$python" -m venv "$environment"
    fi
    # An environment that uv or another program made may be without pip.
    pip --version >/dev/null 2>&1 || "$bin/python" -m ensurepip >/dev/null
}

# Brings uv of the pinned version into the environment. Where it cannot be had, `uv` stays empty.
uv=
get_uv() {
    local version
    version=$(sed -n 's/^uv==//p' requirements-uv.lock)
    if [ "$("$bin/uv" --version 2>/dev/null | cut -d' ' -f2)" != "$version" ]; then
        say "uv $version, which installs the packages (37 MB)"
        pip install --quiet -r requirements-uv.lock || return 0
    fi
    eval "$("$bin/python" tools/pip_settings.py)"
    # As pip does, uv is to trust whom the system trusts, an employer's proxy say; its own list has only the public ones.
    if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
        export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true}
    fi
    uv=$bin/uv
}

uv_install() {
    attended "$uv" pip install --python "$bin/python" --no-python-downloads --no-progress "$@"
}

# Runs a command whose words are many: a line for each stage is told, and all of them only if it fails. On a
# terminal a line shows meanwhile that it goes on.
attended() {
    local ends=0 progress=
    if [ -t 1 ]; then
        show_progress &
        progress=$!
    fi
    # The inner shell notes its number, which then is the command's.
    { sh -c 'echo $$ >"$0" && exec "$@"' "$notes/process" "$@" 2>&1 | tee "$notes/said" | tell_stages; } ||
        ends=$?
    if [ -n "$progress" ]; then
        kill "$progress" 2>/dev/null || true
        printf '%s' "$clear"
    fi
    [ "$ends" = 0 ] || cat "$notes/said" >&2
    return "$ends"
}

tell_stages() {
    local line
    while read -r line; do
        case $line in
        Resolved* | Prepared* | Installed*) say "  $line" ;;
        esac
    done
}

# The seconds since it began and, where the system counts them, the bytes that the command wrote itself.
show_progress() {
    local written
    while sleep 1 && [ -d "$notes" ]; do # also after Ctrl-C, which a shell's background does not hear
        written=$(sed -n 's/^wchar: //p' "/proc/$(cat "$notes/process")/io" 2>/dev/null || true)
        printf '%sSet-up:   %d s' "$clear" "$SECONDS"
        if [ "${written:-0}" -gt 100000000 ]; then
            printf ', %d.%d GB written' $((written / 1000000000)) $((written / 100000000 % 10))
        fi
    done
}

# Installs a lock file by uv, with uv's options, or else by pip.
install() {
    local lock=$1
    shift
    if [ -n "$uv" ] && uv_install -r "$lock" "$@"; then
        return
    fi
    say "uv could not do it (its reason is above); pip does, which takes longer"
    attended "$bin/python" -m pip --disable-pip-version-check install --progress-bar off --quiet -r "$lock"
}

has_gpu() {
    command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU
}

# The source itself is known to uv. Resolving torch alone downloads nothing.
cpu_source_answers() {
    UV_HTTP_RETRIES=0 timeout "$patience" "$uv" pip install --quiet --python "$bin/python" \
        --dry-run --no-deps --reinstall-package torch --torch-backend cpu "$1" >/dev/null 2>&1
}

# Sets `build` to what is to be done about torch (keep, cpu or cuda), `because`, and uv's `options`.
choose_torch() {
    local wanted here kind=cuda
    wanted=$(sed -n 's/^torch==//p' requirements.lock)
    here=$("$bin/python" -c 'from importlib.metadata import version; print(version("torch"))' 2>/dev/null || true)
    [[ $here == *+cpu ]] && kind=cpu
    build=cuda options=()
    if [ "${here%%+*}" = "$wanted" ]; then
        [ "$torch" = auto ] || [ "$torch" = "$kind" ] || options=(--reinstall-package torch)
        [ ${#options[@]} = 0 ] && build=keep
    fi
    if [ "$build" = keep ]; then
        because="torch $here is here and stays"
    elif [ "$(uname)" != Linux ]; then
        because="the only build for $(uname)"
    elif [ "$torch" = cuda ]; then
        because="as TORCH=cuda says"
    elif [ "$torch" = auto ] && has_gpu; then
        because="there is an NVIDIA GPU"
    elif [ "$torch" = auto ] && command -v sbatch >/dev/null; then
        because="SLURM is here, whose nodes may have GPUs"
    elif [ -z "$uv" ]; then
        because="only uv knows where the builds without CUDA are"
    elif ! cpu_source_answers "torch==$wanted"; then
        because="the source of the builds without CUDA did not answer within $patience s"
    else
        build=cpu because="no NVIDIA GPU is here; TORCH=cuda would have CUDA"
        [ "$torch" = auto ] || because="as TORCH=$torch says"
    fi
    # The build that is there is as good as the same from PyPI.
    if [ "$build" = cuda ] && [ "$kind" = cuda ] && [ "${here%%+*}" = "$wanted" ]; then
        build=keep options=()
    fi
}

install_packages() {
    local build because size options=()
    get_uv
    choose_torch
    size=size_$build
    say "$(grep -c == requirements.lock) pinned packages: ${!size} ($because)"
    if [ "$build" = cpu ]; then
        uv_install -r requirements.lock ${options[@]+"${options[@]}"} --torch-backend cpu && return
        say "torch without CUDA could not be had (the reason is above), so: $size_cuda"
        options=()
    fi
    install requirements.lock ${options[@]+"${options[@]}"}
}

build_extension() {
    tools/system-packages.sh rust
    say "the Rust extension, built by cargo (a minute or two)"
    # maturin lets pip look at what is installed already, and pip would tell of each package.
    PIP_QUIET=1 attended "$bin/maturin" develop --release --locked --quiet
}

case $torch in
auto | cpu | cuda) ;;
*)
    echo "TORCH=$torch is none of torch's builds; type TORCH=cpu, or TORCH=cuda." >&2
    exit 2
    ;;
esac

case ${1:-} in
packages)
    tools/system-packages.sh
    make_environment
    install_packages
    ;;
slurm)
    say "what profiles/slurm needs"
    get_uv
    install requirements-slurm.lock
    ;;
extension)
    build_extension
    say "done; $environment has everything"
    ;;
*)
    echo "Type: tools/setup.sh packages, slurm or extension" >&2
    exit 2
    ;;
esac

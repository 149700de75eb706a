# training-maps. `make` alone lists the targets.
#
# Everything is installed into .venv, or into the virtual environment that is active, by tools/setup.sh. An
# environment that already has a torch of the pinned version (a CPU build, say) keeps it. Where it has none,
# TORCH=cpu or TORCH=cuda chooses its build.

PYTHON ?= python3
TORCH ?= auto
VENV := $(abspath $(or $(VIRTUAL_ENV),.venv))
BIN := $(VENV)/bin
RUST := $(shell find rust_metrics -name '*.rs' -not -path '*/target/*' -not -path '*/fuzz/*' 2>/dev/null) \
	$(wildcard rust_metrics/Cargo.* rust_metrics/*/Cargo.toml)
CODE := python tests benchmarks tools
CORES ?= all
MINUTES ?= 10

# What the rules and the tests call (training-maps, snakemake, cargo) must be this environment's.
export PATH := $(BIN):$(PATH)
export VIRTUAL_ENV := $(VENV)

# Snakemake keeps caches in the user's home, and asks for its settings there. Where there is no home, or
# none can be written there, it is given a place here.
ifeq ($(HOME),)
export HOME := $(or $(shell getent passwd "$$(id -u)" | cut -d: -f6),$(VENV)/.home)
endif
CACHES := $(or $(XDG_CACHE_HOME),$(HOME))
ifneq ($(shell mkdir -p "$(CACHES)" 2>/dev/null && test -w "$(CACHES)" && echo yes),yes)
export XDG_CACHE_HOME := $(VENV)/.cache
endif

# A build of torch that is asked for is looked at anew.
ASKED := $(if $(filter-out auto,$(TORCH)),torch-asked-for)

.DEFAULT_GOAL := help
.PHONY: torch-asked-for help setup slurm demo run reproduction test test-slurm lint format docs bench wheel \
	test-wheel gpu fuzz sbom clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(VENV)/.extension ## install everything, build the Rust extension

$(VENV)/.packages: requirements.lock requirements-uv.lock \
		tools/setup.sh tools/pip_settings.py tools/system-packages.sh $(ASKED)
	@PYTHON=$(PYTHON) TORCH=$(TORCH) tools/setup.sh packages
	@touch $@

$(VENV)/.extension: $(VENV)/.packages pyproject.toml $(RUST)
	@tools/setup.sh extension
	@touch $@

# Not part of `setup`: Snakemake imports every plugin that is installed, and this one needs most of a second.
slurm: setup $(VENV)/.slurm ## install what profiles/slurm needs

$(VENV)/.slurm: $(VENV)/.packages requirements-slurm.lock
	@tools/setup.sh slurm
	@touch $@

demo: setup ## analyse kept runs, without training, and open the report: under a minute
	snakemake --cores $(CORES) --config experiments='[demo]' -- results/demo/report.html
	training-maps open demo

run: setup ## run the default job: train, analyse, report (results/)
	snakemake --cores $(CORES)

reproduction: setup ## analyse the reference data, write docs/reproduction.md
	snakemake --cores $(CORES) --configfile reference/reproduction.yaml
	snakemake --cores $(CORES) --configfile reference/recommended.yaml
	snakemake --cores $(CORES) --config experiments=beyond
	snakemake --cores $(CORES) --configfile reference/by_paper.yaml
	$(BIN)/python -m tools.verdicts
	$(BIN)/python -m tools.open_choices
	$(BIN)/python -m tools.beyond
	$(BIN)/python -m tools.reproduction

test: setup ## run all tests, Rust's and Python's
	tools/system-packages.sh tests
	cargo test --quiet --locked --manifest-path rust_metrics/Cargo.toml
	pytest -n auto --dist loadfile --ignore=tests/slurm --ignore=tests/installation/test_wheel.py

test-slurm: slurm ## run the workflow on a real SLURM of this machine, which root installs (Debian)
	tools/slurm-packages.sh
	pytest -n 2 --dist loadfile tests/slurm tests/workflow/test_slurm_profile.py

lint: setup ## check format, lint and types of everything, warnings as errors
	@tools/system-packages.sh lint
	cargo fmt --all --check --manifest-path rust_metrics/Cargo.toml
	cargo fmt --check --manifest-path rust_metrics/fuzz/Cargo.toml
	cargo clippy --quiet --locked --all-targets --manifest-path rust_metrics/Cargo.toml -- -D warnings
	ruff format --check $(CODE)
	ruff check $(CODE)
	mypy
	lint-imports --no-logo --no-cache
	snakefmt --check --diff Snakefile workflow
	tools/lint-workflow.sh

format: setup ## format all sources
	cargo fmt --all --manifest-path rust_metrics/Cargo.toml
	cargo fmt --manifest-path rust_metrics/fuzz/Cargo.toml
	ruff format $(CODE)
	ruff check --fix $(CODE)
	snakefmt Snakefile workflow

docs: setup ## build the documentation (site/)
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

bench: setup ## measure what we claim about speed, in at most two hours; PARTS="metrics hmm" alone (benchmarks/)
	$(BIN)/python -m benchmarks $(PARTS)

# The wheel brings OpenBLAS along: maturin writes that into the built library, in cargo's own folder.
# What is built next has to link anew, or it would look for the wheel's OpenBLAS.
wheel: LINKED = rust_metrics/target/maturin rust_metrics/target/release/deps/lib_rust_metrics.so
wheel: setup ## build a wheel (dist/) for machines with torch but without Rust; docs/gpu.md
	rm -rf dist $(LINKED)
	maturin build --release --locked --out dist
	rm -rf $(LINKED)

test-wheel: wheel ## install the wheel into bare Pythons, and run the extension's tests there
	pytest tests/installation/test_wheel.py

# Without `setup`: on a GPU's machine the wheel may be all there is.
gpu: ## check and time the CUDA path on this machine's GPU, in at most 8 minutes (gpu/)
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks.gpu

fuzz: setup ## try made-up files on all readers for MINUTES=10 (a nightly Rust compiler for the engine's)
	tools/fuzz.sh $(MINUTES)

sbom: setup ## list all that is pinned, as a CycloneDX bill of materials (sbom.cdx.json)
	$(BIN)/python -m tools.sbom sbom.cdx.json

clean: ## remove what building made; results/ stays
	rm -rf site dist .pytest_cache .mypy_cache .ruff_cache rust_metrics/target
	rm -f $(VENV)/.extension $(VENV)/.packages $(VENV)/.slurm

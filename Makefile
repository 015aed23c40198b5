# Needs make and any Python >= 3.11; everything else is installed inside this folder.

VENV ?= .venv
# The oldest that is supported and works: a version manager's stub for a version that is not there is passed over.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$python -c 'import sys; sys.version_info < (3, 11) or print(sys.executable)' 2>/dev/null | grep . && break; done)
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
UV_VERSION := 0.13.8

MEMBERS := $(patsubst %/pyproject.toml,%,$(wildcard packages/*/pyproject.toml)) server
PYPROJECTS := $(MEMBERS:%=%/pyproject.toml)
INSTALL = $(UV) pip install --quiet --python $(VENV)/bin/python --no-deps

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint fix bench bench-langchain bench-scale soak test-matrix requirements clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.all ## install everything: all packages, all frameworks, all tools (about 1 GB)

demo: $(if $(wildcard $(VENV)/.all),,$(VENV)/.base) ## watch an agent remember across restarts, embedded and on a server
	$(VENV)/bin/python examples/replay.py
	$(VENV)/bin/python examples/replay.py --server

# In as many processes as there are processors, but each takes a gigabyte. A file stays in one of them: what its tests
# share is made once.
test: setup ## run all tests (ARGS="-k expiry" runs some; ARGS="-n 0" uses one process)
	$(VENV)/bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: setup ## check style, formatting and types
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/basedpyright --pythonpath $(VENV)/bin/python

fix: setup ## repair what the linter can, and format
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

bench: setup ## measure
	$(VENV)/bin/python benchmarks/run.py $(ARGS)

# langchain-postgres is what chat histories are measured beside; it comes for this run only.
bench-langchain: setup ## measure LangGraph and chat histories beside other packages
	VIRTUAL_ENV=$(abspath $(VENV)) $(UV) run --quiet --no-project --with langchain-postgres \
		python benchmarks/langchain.py $(ARGS)

bench-scale: setup ## measure what one machine holds, on SQLite and PostgreSQL (ARGS=--quick is shorter)
	$(VENV)/bin/python benchmarks/scale.py $(ARGS)

soak: setup ## keep a server busy for minutes and look for leaks and lost writes
	$(VENV)/bin/python benchmarks/soak.py $(ARGS)

# PYENV_VERSION: pyenv hides the versions that are not chosen; to everybody else it means nothing.
test-matrix: setup ## run all tests on each Python at hand, and with the oldest and newest frameworks
	$(VENV)/bin/python tests/versions.py
	BOTWIRE_TRACING="A B C D D-oldest E F" $(VENV)/bin/python -m pytest tests/test_tracing_environments.py
	@for version in 3.11 3.12 3.13; do \
		python=$$(PYENV_VERSION=$$version python$$version -c 'import sys; print(sys.executable)' 2>/dev/null) \
			|| { echo "Python $$version is not on this machine: left out"; continue; }; \
		$(MAKE) test PYTHON=$$python VENV=.venv-$$version || exit 1; \
	done

requirements: $(UV) ## pin versions anew (ARGS=--upgrade moves them)
	@$(COMPILE) $(PYPROJECTS) requirements/dev.in --all-extras --output-file requirements/dev.txt
	@$(COMPILE) packages/botwire-core/pyproject.toml server/pyproject.toml \
		--constraints requirements/dev.txt --output-file requirements/base.txt

clean: ## remove what these targets made
	rm -rf .venv .venv-* .tools .pytest_cache .ruff_cache .hypothesis dist

# No index address, no path and none of our own packages may enter the files: they serve every machine.
COMPILE = UV_CUSTOM_COMPILE_COMMAND="make requirements" $(UV) pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --annotation-style line --no-emit-index-url --no-emit-find-links \
	$(patsubst %,--no-emit-package %,$(notdir $(filter packages/%,$(MEMBERS))) botwire-server) $(ARGS)

# Stamps: a target that has nothing to do says nothing.
$(VENV)/.all: requirements/dev.txt $(PYPROJECTS) | $(VENV)/bin/python
	@echo "Installing everything into $(VENV); the first time this fetches several hundred MB."
	@$(INSTALL) --exact --requirements requirements/dev.txt $(MEMBERS:%=--editable ./%)
	@touch $@ $(VENV)/.base

$(VENV)/.base: requirements/base.txt $(PYPROJECTS) | $(VENV)/bin/python
	@$(INSTALL) --requirements requirements/base.txt --editable ./packages/botwire-core --editable ./server
	@touch $@

$(VENV)/bin/python: | $(UV)
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 found. Install one, or name it: make PYTHON=/path/to/python"; exit 1; }
	@$(UV) venv --quiet --python $(PYTHON) $(VENV)

.tools/bin/uv:
	@$(PYTHON) -m venv .tools
	@.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

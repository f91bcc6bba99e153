# Every target sets up what it needs by itself, in .venv; `make help` lists them.

SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
LOWEST := .venv/lowest
JOBS ?= auto --maxprocesses 8

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-lowest coverage check format bench figures mutate clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

demo: $(INSTALLED) ## Run the demonstration
	$(BIN)/lsqsim demo --save demo-output

test: $(INSTALLED) ## Run all tests; ARGS='-k name' narrows, HYPOTHESIS_PROFILE=thorough widens
	$(BIN)/pytest --numprocesses $(JOBS) $(ARGS)

test-lowest: $(INSTALLED) ## Run all tests with the lowest versions pyproject.toml allows
	$(PYTHON) -m venv --clear $(LOWEST)
	$(BIN)/python tools/lowest_versions.py > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --constraint $(LOWEST)/constraints.txt \
	    --editable '.[demo,plot,test-tools,testing]'
	$(LOWEST)/bin/pytest --numprocesses $(JOBS) $(ARGS)

# Kernels are measured, too: as plain Python, which the coverage tool sees.
coverage: $(INSTALLED) ## Run all tests as plain Python and report what they don't reach
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest --numprocesses $(JOBS) --cov $(ARGS)

check: $(INSTALLED) ## Lint, formatting, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(INSTALLED) ## Format the sources and mend what lint can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(INSTALLED) ## Measure the units
	$(BIN)/python -m benchmarks.run $(ARGS)

figures: $(INSTALLED) ## Draw the figures of docs/overflow.md
	$(BIN)/python -m tools.draw_figures

mutate: $(INSTALLED) ## Seed faults on purpose and see that tests catch each
	$(BIN)/python tools/seed_faults.py

clean: ## Remove all that make has produced, .venv included
	rm -rf .venv build dist demo-output .coverage* .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "lsqsim needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1)."; \
	    echo "Name another one: make PYTHON=python3.12 ..."; \
	    exit 1; } >&2
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "Installing lsqsim and its tools in .venv; the first time takes a minute."
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

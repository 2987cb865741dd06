# Two commands are all that a newcomer types: `make demo` and `make test`.
# Each makes its own virtual environment in .venv; Python 3.11 or newer, make and git are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST_ARGS ?=
# A file of versions and hashes to install from, as .ci/run does; without one, whatever fits.
LOCK ?=
BENCH_ARGS ?=

# What is quick and depends on the time of day or the date, for `make test-dates`.
QUICK := tests/config tests/core tests/daemon tests/emulator tests/faults/test_mended.py \
  tests/faults/test_network.py tests/github tests/notify tests/page tests/storage tests/sync
# A browser, systemd-analyze and promtool do not start, or ask another clock, under faketime.
SLOW := tests/page/test_browser.py tests/daemon/test_alerts.py tests/daemon/test_units.py
# Files have the machine's real dates: what a killed run left would look a year old.
SLOW += tests/sync/test_spool.py
# PyGithub sleeps until a moment of the monotonic clock, which faketime gets wrong.
SLOW += tests/sync/test_independent.py
# Processes by the dozen, or minutes of work, and no date in them that the others have not.
SLOW += tests/core/test_planner_laws.py tests/daemon/test_service.py tests/daemon/test_zone.py \
  tests/github/test_client_loops.py tests/notify/test_ways.py tests/sync/test_kill.py \
  tests/sync/test_large.py tests/sync/test_tags_push.py

# The date is false and what is measured is true, in every process; without the "fix" a thread that
# waits for a while does not spin.
FAKETIME := FAKETIME_DONT_RESET=1 FAKETIME_FORCE_MONOTONIC_FIX=0 faketime -m --exclude-monotonic

.PHONY: help demo soak lives test test-all test-dates everything faults lint types layers unit bench bench-long format clean
.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "release-mirror needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(PIP) install --editable .
	@touch $@

$(VENV)/.developing: $(BIN)/python pyproject.toml
	$(if $(LOCK),$(PIP) install --require-hashes --no-deps --requirement $(LOCK))
	$(PIP) install $(if $(LOCK),--no-deps --no-build-isolation --editable .,--editable '.[dev]')
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed  ## Mirror a few repositories between two emulated hosts
	@$(BIN)/release-mirror demo

test: lint types layers unit  ## Lint, types, layers and tests

test-all: lint types layers everything  ## As test, with every fault and every kill instead of a sample

test-dates: $(VENV)/.developing  ## The quick tests tomorrow, in 40 and 400 days, and as a leap day begins (needs faketime)
	@set -e; for date in +1d +40d +400d '@2028-02-28 23:59:59'; do \
	  echo "== $$date"; \
	  $(FAKETIME) -f "$$date" $(BIN)/pytest -q -n auto --dist worksteal -p no:cacheprovider \
	    $(SLOW:%=--ignore=%) $(QUICK) $(PYTEST_ARGS); \
	done

lint: $(VENV)/.developing  ## Style and mistakes that can be seen
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.developing  ## Types, strictly
	$(BIN)/mypy

layers: $(VENV)/.developing  ## Who may import whom
	$(BIN)/lint-imports --no-logo

unit: $(VENV)/.developing  ## Tests
	$(BIN)/pytest -n auto --dist worksteal $(PYTEST_ARGS)

soak: $(VENV)/.developing  ## The service for MINUTES (10) with faults: nothing grows, nothing is missed
	$(BIN)/python tests/soak.py --minutes $(or $(MINUTES),10)

lives: $(VENV)/.developing  ## COUNT (20000) random lives of a mirror, with whatever can go wrong: a table (20 minutes)
	PYTHONPATH=tests $(BIN)/python -m lives --count $(or $(COUNT),20000) --jobs $(or $(JOBS),2)

bench: $(VENV)/.developing  ## Measure it against what people use instead (15 minutes)
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-long: $(VENV)/.developing  ## Measure what takes longer (half an hour)
	$(BIN)/python -m benchmarks --long $(BENCH_ARGS)

everything: $(VENV)/.developing
	RELEASE_MIRROR_TESTS_ALL=1 $(BIN)/pytest -n auto --dist worksteal $(PYTEST_ARGS)

faults: $(VENV)/.developing  ## The fault matrix alone, all of it, as a table
	RELEASE_MIRROR_TESTS_ALL=1 $(BIN)/pytest -n auto --dist worksteal -q --tb=line tests/faults $(PYTEST_ARGS)

format: $(VENV)/.developing  ## Bring the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove what was made here
	rm -rf $(VENV) dist build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# Start with `make demo` and `make test`. Both create their own virtual environment in .venv and need
# only Python 3.11 or newer, make and git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST_ARGS ?=
# Requirements file with pinned versions and hashes, as .ci/run uses. Default: the newest that fit.
LOCK ?=
BENCH_ARGS ?=
# One test for each core: with more, tests with real time-outs fail on a busy machine.
WORKERS ?= auto

# Fast tests that may depend on the time or the date, for `make test-dates`. Core and settings read no
# clock (tests/test_imports.py).
QUICK := tests/check tests/daemon tests/emulator tests/faults/test_mended.py \
  tests/faults/test_network.py tests/github tests/notify tests/page tests/storage tests/sync \
  tests/test_app.py tests/verify
# Under faketime, browsers, systemd-analyze and promtool fail to start or use another clock.
SLOW := tests/page/test_browser.py tests/daemon/test_alerts.py tests/daemon/test_units.py
# Files carry the machine's real dates, so remains of a killed run would look a year old.
SLOW += tests/sync/test_spool.py
# PyGithub sleeps until a time on the monotonic clock, which faketime breaks.
SLOW += tests/sync/test_independent.py
# These start many processes or take minutes, and test no dates beyond those of the other tests.
SLOW += tests/daemon/test_cluster.py tests/daemon/test_service.py tests/daemon/test_local_zone.py \
  tests/notify/test_apprise_sender.py tests/sync/test_kill.py \
  tests/sync/test_large.py tests/sync/test_tags_push.py

# Fake the date but not the monotonic clock, in every process. With faketime's monotonic "fix", waiting
# threads would spin.
FAKETIME := FAKETIME_DONT_RESET=1 FAKETIME_FORCE_MONOTONIC_FIX=0 faketime -m --exclude-monotonic

.PHONY: help demo docs soak healing torture lives test test-all test-dates everything faults lint types layers unit bench bench-long format clean dist dist-test
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "release-mirror needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml
	@echo "Installing release-mirror and its dependencies in $(VENV) with pip (once; up to a minute) …"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.developing: $(BIN)/python pyproject.toml
	@echo "Installing release-mirror and its tools in $(VENV) with pip (once; about two minutes) …"
	$(if $(LOCK),$(PIP) --quiet install --require-hashes --no-deps --requirement $(LOCK))
	$(PIP) --quiet install $(if $(LOCK),--no-deps --no-build-isolation --editable .,--editable '.[dev]')
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed  ## Mirror a few repositories between two emulated hosts
	@$(BIN)/release-mirror demo

test: lint types layers unit  ## Run lint, types, layers and tests

test-all: lint types layers everything  ## The same with every fault and every kill instead of a sample

# The eve of the first leap day that is more than 400 days away.
LEAP = from datetime import date, timedelta; day = date.today() + timedelta(400); \
  year = next(y for y in range(day.year, day.year + 9) if y % 4 == 0 and y % 100 and day < date(y, 2, 28)); \
  print(f"@{year}-02-28 23:59:59")

test-dates: $(VENV)/.developing  ## Fast tests at the start of a leap day, over 400 days away (needs faketime)
	@set -e; date=$$($(BIN)/python -c '$(LEAP)'); echo "== $$date"; \
	  $(FAKETIME) -f "$$date" $(BIN)/pytest -q -n $(WORKERS) --dist worksteal -p no:cacheprovider \
	    $(SLOW:%=--ignore=%) $(QUICK) $(PYTEST_ARGS)

lint: $(VENV)/.developing  ## Check style and common errors (ruff)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.developing  ## Check types (mypy, strict)
	$(BIN)/mypy

layers: $(VENV)/.developing  ## Check which packages import which, and that none do so in a circle
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q tests/test_imports.py

unit: $(VENV)/.developing  ## Run the tests
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

soak: $(VENV)/.developing  ## Run the service with faults for MINUTES (10); check for leaks and missed releases
	$(BIN)/python tests/soak.py --minutes $(or $(MINUTES),10)

healing: $(VENV)/.developing  ## Show what heals each kind of failure, and what it costs until then
	PYTHONPATH=tests $(BIN)/python -m healing

torture: $(VENV)/.developing  ## Kill, stop and cut off daemons that share a database, ROUNDS (200) times (40 minutes)
	PYTHONPATH=tests $(BIN)/python -m cluster_torture --rounds $(or $(ROUNDS),200)

lives: $(VENV)/.developing  ## Simulate COUNT (20000) random lives of a mirror, with faults (20 minutes)
	PYTHONPATH=tests $(BIN)/python -m lives --count $(or $(COUNT),20000) --jobs $(or $(JOBS),2)

bench: $(VENV)/.developing  ## Benchmark against common alternatives (15 minutes)
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-long: $(VENV)/.developing  ## Run the long benchmarks (30 minutes)
	$(BIN)/python -m benchmarks --long $(BENCH_ARGS)

everything: $(VENV)/.developing
	RELEASE_MIRROR_TESTS_ALL=1 $(BIN)/pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

faults: $(VENV)/.developing  ## Run the complete fault matrix and print it as a table
	RELEASE_MIRROR_TESTS_ALL=1 $(BIN)/pytest -n $(WORKERS) --dist worksteal -q --tb=line tests/faults $(PYTEST_ARGS)

format: $(VENV)/.developing  ## Format the code (ruff)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: $(VENV)/.developing  ## Build the packages in PACKAGES (wheel kit deb image) into dist/ (needs dpkg-deb, buildah)
	$(BIN)/python packaging/build.py $(PACKAGES)

dist-test: $(VENV)/.developing  ## Build every package twice; install and run each on something fresh (needs root)
	$(BIN)/python packaging/dist_test.py

docs: $(VENV)/.developing  ## Build the documentation as a site into build/site; checks its links
	$(BIN)/python packaging/docs_site.py

clean:  ## Remove generated files
	rm -rf $(VENV) dist build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

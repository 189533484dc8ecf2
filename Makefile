# make demo   speak a small raw bucket and build a dataset from it
# make ui     open Dagster on the demo's data (http://localhost:3000)
# make test   everything that CI runs; `.venv/bin/pytest -m "not slow"` is a shorter round
# make soak   kill loops, store faults, damaged files, hostile input, at full number (some hours)
# make bench  the benchmarks; their tables are written to benchmarks/results
# make lint   ruff and mypy alone
# make clean  remove the demo, the Dagster instance's data and caches

PYTHON ?= python3
BIN := .venv/bin
export DAGSTER_HOME := $(CURDIR)/dagster_home
# Images of containers often set it: then every process compiles all sources again, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo ui test soak bench lint ruff mypy pytest definitions format clean distclean

demo: .venv/.base
	$(BIN)/voice demo

ui: .venv/.ui
	$(BIN)/python -m voice_assets.instance
	$(BIN)/dagster dev -w workspace.yaml

# mypy, which uses one core, runs beside the tests, which often wait.
test: ruff
	$(MAKE) --no-print-directory --jobs=3 mypy pytest definitions

# After `definitions`, which compiles Dagster: else all processes of the tests would compile it at the same time.
pytest: .venv/.test | definitions
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

definitions: .venv/.test
	$(BIN)/dagster definitions validate -w workspace.yaml

soak: .venv/.test
	$(BIN)/python -m voice_assets_tests.soak

lint: ruff mypy

ruff: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

mypy: .venv/.test
	$(BIN)/mypy

format: .venv/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.bench
	$(BIN)/python -m benchmarks

clean:
	rm -rf demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find dagster_home -mindepth 1 ! -name dagster.yaml -delete
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv *.egg-info

# A current pip: that of Python 3.11 takes twice as long to find and unpack packages.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$@ -m pip install --quiet --upgrade pip

# One call of pip each: those with extras install the base as well. Without --no-compile, pip compiles all modules one
# after the other; most are never imported, and the others are compiled when they are.
.venv/.base: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --no-compile --editable .
	touch $@

.venv/.ui .venv/.test .venv/.bench: .venv/.%: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[$*]'
	touch .venv/.base $@

# `make` lists what there is. Everything lives in .venv and .feedmill, below this folder.
.DEFAULT_GOAL := help
.SILENT:
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header
STACK := $(BIN)/python -m feedmill.local

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup up down status demo demo-full test test-slow test-all test-faults fuzz test-runners evaluate bench lint format types lock wheel docs clean python

help: ## this list
	awk -F ':.*## ' '/^## /{print "\n" substr($$0, 4)} /^[a-z-]+:.*## /{printf "  make %-13s%s\n", $$1, $$2}' Makefile

## 1. A first look

setup: .venv/.installed ## install the locked packages in .venv (PYTHON=python3.12 selects another Python)

demo: .venv/.installed ## build a real week: it starts everything, and says what to look at next
	$(BIN)/feedmill demo

demo-full: .venv/.installed ## the same with five simulated weeks before it, and every table up to the rankings
	$(BIN)/feedmill demo --full

up: .venv/.installed ## start PostgreSQL, Spark and Airflow on this machine; earlier data is still there
	$(STACK) up

status: .venv/.installed ## show which parts run, and where
	$(STACK) status || true

down: ## stop all parts; the data stays
	if [ -x $(BIN)/python ]; then $(STACK) down; else echo "Nothing to stop: .venv does not exist."; fi

## 2. Your own table: docs/first-table.md, and .venv/bin/feedmill --help for every command

docs: .venv/.installed ## write the pages of all tables to docs/tables
	$(BIN)/feedmill docs

## 3. On call: .venv/bin/feedmill status, and docs/on-call.md

## 4. Develop

test: .venv/.installed ## run the tests that every change must pass
	$(BIN)/python -m pytest -m "not slow and not faults and not fuzz"

test-slow: .venv/.installed ## run the tests that take minutes
	$(BIN)/python -m pytest -m "slow and not faults and not fuzz"

test-all: .venv/.installed ## run both
	$(BIN)/python -m pytest -m "not faults and not fuzz"

fuzz: .venv/.installed ## land any bytes for an hour (MINUTES=5 for less, FUZZ_SEED=… for one round)
	MINUTES=$(or $(MINUTES),60) $(BIN)/python -m pytest -m fuzz tests/fuzz -o log_cli=true -o log_cli_level=INFO

test-faults: .venv/.installed ## run the tests that kill processes at every bad moment
	$(BIN)/python -m pytest -m faults

BUILDS := tests/flow/test_build.py tests/airflow/test_flow.py tests/spark/sources/test_kuairand_data.py
test-runners: .venv/.installed ## test builds, DAGs, checks and transforms on Spark over TLS, and by spark-submit
	# Two runs for each: a process has one application, and a build and the transforms' session cannot share it.
	for spark in tls submit; do \
	  $(BIN)/python -m pytest --spark $$spark --timeout 1200 $(BUILDS) || exit 1; \
	  $(BIN)/python -m pytest --spark $$spark --timeout 1200 tests/flow/rows tests/checks tests/spark \
	    $(addprefix --ignore=,$(BUILDS)) || exit 1; \
	done

evaluate: .venv-evaluate/.installed ## compare the estimators with others on real data; ONLY=affinity runs one page
	PYTHONPATH=.:plugins .venv-evaluate/bin/python -m evaluation $(ONLY)

bench: .venv/.installed ## measure the costs for docs/benchmarks.md, about an hour (ONLY=parse measures one question)
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

lint: .venv/.installed ## check style (ruff), and which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

format: .venv/.installed ## let ruff mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/.installed ## check types (mypy --strict) of plugins/feedmill and include
	$(BIN)/mypy

lock: .venv/.bootstrap ## renew requirements.lock from the requirements files
	echo "Resolving requirements …"
	grep '^uv==' requirements-dev.txt | $(COMPILE) - -o requirements-bootstrap.txt
	$(COMPILE) --upgrade requirements.txt requirements-local.txt requirements-dev.txt -o requirements.lock
	$(COMPILE) --upgrade requirements-evaluate.txt -o requirements-evaluate.lock
	if grep -nE '://|$(CURDIR)' requirements.lock requirements-bootstrap.txt requirements-evaluate.lock; then \
	  echo "The lock names an address of this machine (above): unset the index settings and try again." >&2; exit 1; fi
	echo "requirements.lock: $$(grep -c '==' requirements.lock) packages. Now: make setup"

wheel: .venv/.installed ## build dist/feedmill-*.whl: the machinery, for an Airflow without a plugins folder
	rm -f dist/feedmill-*.whl
	$(BIN)/python -m hatchling build --target wheel

clean: ## delete .venv, the local stack's data and every cache
	if [ -x $(BIN)/python ]; then $(STACK) clean; fi
	rm -rf .venv .venv-evaluate .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "Feedmill needs Python 3.11 or newer, and '$(PYTHON)' was not found: name one, as in make setup PYTHON=python3.12." >&2; exit 1; }
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Feedmill needs Python 3.11 or newer, and '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1): name another, as in make setup PYTHON=python3.12." >&2; exit 1; }

.venv/.bootstrap: requirements-bootstrap.txt | python
	echo "Creating .venv …"
	"$(PYTHON)" -m venv .venv || { \
	  echo "Python could not create .venv: on Debian and Ubuntu, install the package python3-venv." >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bootstrap.txt
	touch $@

.venv/.installed: .venv/.bootstrap requirements.lock requirements.txt pyproject.toml hatch_build.py
	echo "Installing $$(grep -c '==' requirements.lock) locked packages …"
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@
	echo "Installed. Next: make demo"

# The evaluation's libraries stay out of the product's environment: some of them want older versions of the same ones.
.venv-evaluate/.installed: .venv/.bootstrap requirements-evaluate.lock
	echo "Installing $$(grep -c '==' requirements-evaluate.lock) locked packages in .venv-evaluate …"
	test -x .venv-evaluate/bin/python || "$(PYTHON)" -m venv .venv-evaluate
	$(UV) pip sync --quiet --python .venv-evaluate/bin/python --require-hashes requirements-evaluate.lock
	touch $@

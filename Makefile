# make install | demo | run | worker      need what a server runs: requirements.txt
# make develop | test | check | bench | mutants | soak | lock      need more: requirements-dev.txt
#
# Each makes `.venv` and installs what it needs when that has changed. Nothing else is needed but Python 3.11+.

# The first of these that runs, is new enough and can make a virtual environment is taken.
PYTHONS := $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3
VENV := .venv
BIN := $(VENV)/bin
# Stamps: which lock `.venv` was last made to agree with. The one for developing holds all of the one for running.
RUNNING := $(VENV)/.running
DEVELOPING := $(VENV)/.developing
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
# A lock fits every platform and every Python from 3.11 on, with one version of each package.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
  --annotation-style line --custom-compile-command "make lock"
# More for pytest, such as PYTEST_ARGS="-n 2 -k ledger".
PYTEST_ARGS ?=
# More for `make worker`, such as WORKER_ARGS="--processes 8".
WORKER_ARGS ?=
# More for `make lock`: `--upgrade` takes the newest of what is not pinned, which otherwise stays as it is.
LOCK_ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# How much `make soak` tries: worlds, real kills, and how many times the usual number of random inputs.
SEEDS ?= 5000
KILLS ?= 1000
TIMES ?= 20

.PHONY: help install develop demo test run worker check bench mutants soak lock

help:
	@echo "make demo    the whole shop on this machine, no account needed: prints one address"
	@echo "make test    the whole test suite"
	@echo "make install the environment .venv with what a server runs; make demo, run and worker do it as well"
	@echo "make develop the same with what the tests and checks need; all the others do it as well"
	@echo "make run     the bot (settings: .env, see .env.example)"
	@echo "make worker  a worker (needs REDIS_URL)"
	@echo "make check   ruff (format and rules) and mypy --strict"
	@echo "make bench   the benchmarks"
	@echo "make mutants each rule of money broken on purpose: its tests must notice"
	@echo "make lock    the .in files with the wanted versions become the .txt files that are installed"
	@echo "make soak    thousands of simulated worlds and real kills: takes more than an hour"

$(VENV)/pyvenv.cfg:
	@for python in $(PYTHONS); do \
	  $$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  echo "Making $(VENV) with $$python ..."; $$python -m venv $(VENV) && break; \
	done
	@test -x $(BIN)/python || { \
	  echo "Python 3.11 or newer with its venv module is needed (Debian, Ubuntu: apt install python3 python3-venv)."; \
	  echo "If it is in an unusual place, name it: make PYTHON=/path/to/python3.11 ..."; exit 1; }

$(RUNNING): requirements.txt $(VENV)/pyvenv.cfg
	@echo "Installing requirements.txt into $(VENV) ..."
	@$(INSTALL) -r requirements.txt
	@touch $@

$(DEVELOPING): requirements.txt requirements-dev.txt $(VENV)/pyvenv.cfg
	@echo "Installing requirements-dev.txt into $(VENV) ..."
	@$(INSTALL) -r requirements-dev.txt
	@touch $(RUNNING) $@

install: $(RUNNING)

develop: $(DEVELOPING)

demo: $(RUNNING)
	@exec $(BIN)/python main.py demo

test: $(DEVELOPING)
	@$(BIN)/python -m pytest tests/ -v $(PYTEST_ARGS)

run: $(RUNNING)
	@exec $(BIN)/python main.py

worker: $(RUNNING)
	@exec $(BIN)/python -m workers $(WORKER_ARGS)

check: $(DEVELOPING)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: $(DEVELOPING)
	@$(BIN)/python -m benchmarks

mutants: $(DEVELOPING)
	@$(BIN)/python -m tests.faults.mutants

soak: $(DEVELOPING)
	@$(BIN)/python -m tests.faults.sim --seeds $(SEEDS)
	@$(BIN)/python -m tests.faults.kill --kills $(KILLS)
	@SOAK=$(TIMES) $(BIN)/python -m pytest -q tests/faults/test_fuzz_chat.py tests/faults/test_fuzz_money.py \
	  tests/faults/test_fuzz_files.py tests/faults/test_power_cuts.py

lock: $(DEVELOPING)
	@$(COMPILE) $(LOCK_ARGS) requirements.in -o requirements.txt
	@$(COMPILE) $(LOCK_ARGS) requirements-dev.in -c requirements.txt -o requirements-dev.txt

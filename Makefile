# make install | demo | test | run | worker | check | bench | mutants | soak
#
# Each makes `.venv` and installs the requirements when they have changed. Nothing else is needed but Python 3.11+.

# The first of these that runs, is new enough and can make a virtual environment is taken.
PYTHONS := $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
# More for pytest, such as PYTEST_ARGS="-n 2 -k ledger".
PYTEST_ARGS ?=
# More for `make worker`, such as WORKER_ARGS="--processes 8".
WORKER_ARGS ?=

.DEFAULT_GOAL := help
# How much `make soak` tries: worlds, real kills, and how many times the usual number of random inputs.
SEEDS ?= 5000
KILLS ?= 1000
TIMES ?= 20

.PHONY: help install demo test run worker check bench mutants soak

help:
	@echo "make demo    the whole shop on this machine, no account needed: prints one address"
	@echo "make test    the whole test suite"
	@echo "make install the environment .venv, which each of the others makes as well"
	@echo "make run     the bot (settings: .env, see .env.example)"
	@echo "make worker  a worker (needs REDIS_URL)"
	@echo "make check   ruff (format and rules) and mypy --strict"
	@echo "make bench   the benchmarks"
	@echo "make mutants each rule of money broken on purpose: its tests must notice"
	@echo "make soak    thousands of simulated worlds and real kills: takes more than an hour"

$(READY): requirements.txt
	@test -x $(BIN)/python || for python in $(PYTHONS); do \
	  $$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  echo "Making $(VENV) with $$python ..."; $$python -m venv $(VENV) && break; \
	done
	@test -x $(BIN)/python || { \
	  echo "Python 3.11 or newer with its venv module is needed (Debian, Ubuntu: apt install python3 python3-venv)."; \
	  echo "If it is in an unusual place, name it: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@echo "Installing the requirements into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

install: $(READY)

demo: $(READY)
	@exec $(BIN)/python main.py demo

test: $(READY)
	@$(BIN)/python -m pytest tests/ -v $(PYTEST_ARGS)

run: $(READY)
	@exec $(BIN)/python main.py

worker: $(READY)
	@exec $(BIN)/python -m workers $(WORKER_ARGS)

check: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: $(READY)
	@$(BIN)/python -m benchmarks

mutants: $(READY)
	@$(BIN)/python -m tests.faults.mutants

soak: $(READY)
	@$(BIN)/python -m tests.faults.sim --seeds $(SEEDS)
	@$(BIN)/python -m tests.faults.kill --kills $(KILLS)
	@SOAK=$(TIMES) $(BIN)/python -m pytest -q tests/faults/test_fuzz_chat.py tests/faults/test_fuzz_money.py \
	  tests/faults/test_fuzz_files.py tests/faults/test_power_cuts.py

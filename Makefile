# What one does with Tamiyo, one target a verb. Needs Python 3.11 or newer and make; `make help` lists the targets.
# It installs nothing outside .venv/ and leaves the checks of a change to .ci/run.

PYTHON ?= python3
ARGS ?=
PYTEST_ARGS ?=
EXTRAS := train,interop,api,expand,llm,postgres,notebook,backup,dev

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
NATIVE := $(VENV)/native
FOLDERS := architect benchmarks blueprints crucible curricula hall_of_fame scripts tamiyo tests

# Coverage has a floor for the whole suite only: a part of it covers a part. The whole runs in a process a core,
# of up to 1.6 GB each, that take over what another has left to do; a part in one, so that --pdb and -s work.
ifeq ($(strip $(PYTEST_ARGS)),)
COVERAGE := --cov --cov-report=term-missing:skip-covered --cov-fail-under=95
PROCESSES := --numprocesses=logical --maxprocesses=4 --dist=worksteal
endif

.DEFAULT_GOAL := help
.PHONY: help setup train browse test lint format tree goldens reference evidence bench audit

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '%-16s %s\n' "$$name" "$$text"; done

setup: $(STAMP) $(NATIVE)  ## create .venv with everything that training and tests need; nothing when up to date
	@echo "setup: $(VENV) is up to date"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "setup: Tamiyo needs Python 3.11 or newer and $(PYTHON) is `$(PYTHON) --version 2>&1 || true`;" \
			"name another: make setup PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "setup: $(PYTHON) has no venv module (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "setup: creating $(VENV) with `$(PYTHON) --version`"
	@$(PYTHON) -m venv $(VENV)
	@echo "setup: installing tamiyo[$(EXTRAS)] at the versions of constraints.txt (about 2 GB, some minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $(STAMP)

# The installation built the native engine already where it could; this builds it anew when its sources changed.
# Without a C++ compiler the batched engine serves: `tamiyo doctor` says which engine runs, and why.
$(NATIVE): $(STAMP) setup.py $(wildcard crucible/engines/native/src/*)
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $(NATIVE)

train: setup  ## train an Architect; settings as ARGS="seed=1 budget.generations=3"
	@echo "train: scripts/train_architect.py $(ARGS)"
	@$(BIN)/python scripts/train_architect.py $(ARGS)

browse: setup  ## the library in a browser; another as ARGS="--library runs/first"
	@$(BIN)/tamiyo browse $(ARGS)

test: setup  ## run the tests, with a coverage floor; a part as PYTEST_ARGS=tests/test_house.py
	@echo "test: pytest $(COVERAGE) $(PROCESSES) $(PYTEST_ARGS)"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(COVERAGE) $(PROCESSES) $(PYTEST_ARGS)

lint: setup  ## ruff, its formatter and pyright
	@echo "lint: ruff check, ruff format --check, pyright"
	@$(BIN)/ruff check $(FOLDERS)
	@$(BIN)/ruff format --check $(FOLDERS)
	@$(BIN)/pyright

format: setup  ## let ruff order the imports and format every file
	@$(BIN)/ruff check --select I --fix $(FOLDERS)
	@$(BIN)/ruff format $(FOLDERS)

tree: setup  ## write the tree of files into the README
	@$(BIN)/python tests/readme_tree.py --write

goldens: setup  ## write the golden refusals anew; look at what changed before you commit it
	@$(BIN)/python tests/blueprints/goldens.py --write

reference: setup  ## write docs/language.md and its drawings from the op table
	@$(BIN)/python scripts/language_reference.py --write

evidence: setup  ## REINFORCE against its controls over five seeds; resumable; hours on two cores
	@echo "evidence: benchmarks/evidence.py $(ARGS)"
	@$(BIN)/python benchmarks/evidence.py $(ARGS)

bench: setup  ## throughput of the engines on 1,024 blueprints
	@echo "bench: benchmarks/crucible_throughput.py --num 1024 $(ARGS)"
	@$(BIN)/python benchmarks/crucible_throughput.py --num 1024 $(ARGS)

audit: setup  ## known vulnerabilities of the installed packages
	@$(BIN)/python scripts/audit.py

# Set-up and everyday commands. `make train` and `make test` need nothing but Python 3.10 to 3.12:
# the first call makes .venv and installs metaray into it, editable, with the versions of
# constraints.txt. Later calls start at once and need no network, until pyproject.toml or
# constraints.txt change. Another interpreter: make PYTHON=/path/to/python train

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Tests start hundreds of processes; each would compile the 430 files of metaray again.
unexport PYTHONDONTWRITEBYTECODE

ARGS ?=
PYTHON ?=
BIN := .venv/bin
READY := .venv/.ready

# Candidates are run, not just found: a version manager leaves names on the PATH that do not start,
# and some systems ship a Python that cannot make a virtual environment.
USABLE := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))

.PHONY: help train test lint types docs format wheel ci clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

train: $(READY)  ## meta-train; no ARGS: the built-in tasks. ARGS="config.toml --set seed=1"
	@$(BIN)/metaray train $(ARGS)

test: $(READY)  ## run the tests, on up to 4 cores; ARGS="-k reptile" runs some
	@$(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY)  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## check types
	$(BIN)/mypy

docs: $(READY)  ## build the documentation into site/; its examples run
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -f .mkdocs/mkdocs.yml

format: $(READY)  ## reformat, and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(READY)  ## build dist/*.whl, from the source archive built beside it
	rm -rf build dist
	$(BIN)/python -m build --no-isolation

ci:  ## all that a change must pass
	.ci/run

clean:  ## remove what was built and cached (delete .venv to set up again)
	rm -rf build dist site .src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# The mark is taken away before an install and put back after it. A .venv without a mark is made
# again, so that nothing of an interrupted install is used.
$(READY): pyproject.toml constraints.txt
	@set -euo pipefail; \
	if [ ! -f $@ ]; then \
	  python=''; \
	  while read -r candidate; do \
	    if "$$candidate" -c '$(USABLE)' 2>/dev/null; then python=$$candidate; break; fi; \
	  done < <(if [ -n '$(PYTHON)' ]; then echo '$(PYTHON)'; \
	           else type -ap python3.11 python3.12 python3.10 python3 python; fi); \
	  if [ -z "$$python" ]; then \
	    echo 'metaray needs Python 3.10, 3.11 or 3.12 with its venv module: install one, or name it with make PYTHON=/path/to/python.' >&2; \
	    exit 1; \
	  fi; \
	  echo "Setting up .venv with $$("$$python" --version) (once; torch is a download of some gigabytes)"; \
	  rm -rf .venv; \
	  "$$python" -m venv .venv; \
	fi; \
	rm -f $@; \
	$(BIN)/python -m pip install -c constraints.txt torch torchvision; \
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'; \
	touch $@

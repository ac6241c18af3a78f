# make demo   the main job end to end on an embedded sample; no GPU, no aiter
# make test   sets up .venv and runs lint and every test
# make matrix the same with every Python from 3.10 to 3.13 that is here
# make bench  speed and memory, by hand
# make lint   ruff and strict mypy
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed-dev
DEMO   := $(VENV)/.installed-demo
# What shares something that is long in the making goes to one worker.
PYTEST_ARGS ?= -n auto --dist loadgroup

.PHONY: demo test style lint matrix bench clean

PYTHONS ?= python3.10 python3.11 python3.12 python3.13

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "aiterfix needs Python 3.10 or later; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(DEMO): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-dev.txt --editable .
	@touch $@

$(STAMP): pyproject.toml constraints-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-dev.txt --editable '.[dev]'
	@touch $@ $(DEMO)

demo: $(DEMO)
	$(BIN)/python -m aiterfix demo

style: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

lint: style
	$(BIN)/python -m mypy

# The type checker runs beside the tests and says its word after theirs.
test: style
	@$(BIN)/python -m mypy >$(VENV)/types.txt 2>&1 & types=$$!; trap 'kill $$types' INT TERM; \
	$(BIN)/python -m pytest $(PYTEST_ARGS); tests=$$?; \
	wait $$types; types=$$?; cat $(VENV)/types.txt; \
	exit $$((tests ? tests : types))

# Each Python has an environment of its own; one that is missing is named, one that fails does not end the others.
matrix:
	@failed=; \
	for python in $(PYTHONS); do \
	  if ! "$$python" -c '' 2>/dev/null; then echo "matrix: $$python: not here, not run"; continue; fi; \
	  $(MAKE) test PYTHON="$$python" VENV=".venv-$$(basename "$$python")" || failed="$$failed $$python"; \
	done; \
	if [ -n "$$failed" ]; then echo "matrix: failed with$$failed"; exit 1; fi

bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .venv-python3.* .pytest_cache .mypy_cache .ruff_cache .hypothesis

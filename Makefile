# Every target sets up what it needs: a virtual environment in .venv, with the project in it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast test-soundness lint bench images clean help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

# Two stamps: the base install is enough to run campaigns; the developers' one adds tests, linters and the docker SDK.
$(VENV)/.base: pyproject.toml scripts/setup
	@PYTHON="$(PYTHON)" scripts/setup $(VENV) .
	@touch $@

$(VENV)/.dev: pyproject.toml scripts/setup
	@PYTHON="$(PYTHON)" scripts/setup $(VENV) '.[dev]'
	@touch $@ $(VENV)/.base

demo: $(VENV)/.base  ## three short cells on local processes: verdicts, and a report to open
	@$(BIN)/rashomon run campaigns/quickstart.yaml --cluster local

test: $(VENV)/.dev  ## all tests: fast ones, real processes, real containers
	@scripts/test

test-fast: $(VENV)/.dev  ## the tests without real clusters: under two minutes
	@$(BIN)/pytest -q -n auto --maxprocesses 4 -m "not slow and not docker"

test-soundness: $(VENV)/.dev  ## the checkers against brute force, at length
	@RASHOMON_SOUNDNESS=20000 $(BIN)/pytest -q -s --timeout 7200 tests/test_linearizable_soundness.py \
		tests/test_linearizable_models.py tests/test_linearizable_witness.py tests/test_linearizable_telling.py \
		tests/test_linearizable_hypothesis.py tests/test_linearizable_pairing.py tests/test_models.py tests/test_direct_checkers.py

lint: $(VENV)/.dev  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/.dev  ## speed, always beside something to compare with
	@for file in bench/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

images: $(VENV)/.dev  ## the container images, from a registry if one can be reached, else without
	@scripts/build-images

clean:  ## remove the virtual environment and caches; results stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

# `make sweep` runs the study on the embedded digits, `make test` and
# `make test-cluster` check everything. All set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libopencv-dev libturbojpeg0-dev pkg-config
ARGS ?=

.PHONY: sweep test test-cluster check check-types check-style help clean
.DELETE_ON_ERROR:

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

sweep: $(VENV)/.runtime ## run the study of generators on the digits: ARGS="--settings 12 --seeds 3"
	$(BIN)/python studies/generators.py sweep $(ARGS)

# Tests compute nearly all of their time: one process for each CPU, and what a file makes is made once.
test: check ## check, then run all tests that need no cluster: ARGS="tests/test_dag.py -k text"
	$(BIN)/python -m pytest -m "not cluster" -n logical --dist loadfile $(ARGS)

# Two processes, however many CPUs: four files, each with clusters of its own that share their machine.
test-cluster: $(VENV)/.tests ## run the tests on real clusters, with what may happen to them: ARGS="-k token"
	$(BIN)/python -m pytest -m cluster -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.tests ## format, lint, types, import layers, known vulnerabilities
	@$(MAKE) --no-print-directory --jobs 2 check-types check-style

check-types: # takes longest, on one CPU
	$(BIN)/mypy

check-style:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	@sh .ci/audit $(BIN)

clean: ## remove the environment
	rm -rf $(VENV)

$(VENV)/.runtime: requirements.txt pyproject.toml | $(VENV)/.system
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.tests: tests/requirements.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --disable-pip-version-check -r tests/requirements.txt
	@touch $@

# FFCV is compiled on installation and needs a compiler, OpenCV and libjpeg-turbo.
$(VENV)/.system:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11; set PYTHON=python3.11" >&2; exit 2; }
	@sh .ci/system-packages $(PACKAGES)
	@$(PYTHON) -m venv $(VENV) || { echo "error: no venv module: apt-get install python3-venv" >&2; exit 2; }
	@touch $@

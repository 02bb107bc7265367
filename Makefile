# Everything a newcomer, a contributor or CI runs. `make` alone lists the targets.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help quickstart venv test test-all lint check format clean

bin := $(VENV)/bin
pip := $(bin)/python -m pip --disable-pip-version-check install -qq
# Stamps inside the environment: it is touched again only when one of these two files changes.
core := $(VENV)/.installed-core
full := $(VENV)/.installed-test
versions := pyproject.toml constraints.txt

# One thread per process: two such processes beat one with two threads on small models.
lint test test-all check: export OMP_NUM_THREADS := 1
test test-all check: export MKL_NUM_THREADS := 1

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  (PYTHON=$(PYTHON)  VENV=$(VENV)  JOBS=$(JOBS)  PYTEST_ARGS=$(PYTEST_ARGS))"

quickstart: $(core) ## environment, a small sweep on the CPU, its table and its report
	$(bin)/python -m benchmark experiment=quickstart
	$(bin)/python -m analysis table --results results/quickstart
	$(bin)/python -m analysis report --results results/quickstart --output results/quickstart/.report

venv: $(full) ## environment with everything that tests need

test: $(full) ## environment and fast tests
	$(bin)/python -m pytest -q -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

test-all: $(full) ## fast and slow tests
	$(bin)/python -m pytest -q -n $(JOBS) --dist worksteal -m "not model and not mistakes" $(PYTEST_ARGS)

lint: $(full) ## ruff and mypy
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy

check: lint test ## lint, types, fast tests

format: $(full) ## fix what ruff can fix
	$(bin)/ruff check --fix
	$(bin)/ruff format

clean: ## remove caches and the environment, never results
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . \( -name .git -o -name .venv -o -path ./results -o -path ./shared \) -prune -o -type d -name __pycache__ -exec rm -rf {} +
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then echo "rm -rf $(VENV)"; rm -rf "$(VENV)"; fi

$(core): $(versions)
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info[:2] < (3, 14) or sys.exit("Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	@test -x $(bin)/python || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing PyTorch ($$(grep '^torch==' constraints.txt)) into $(VENV)"
	@$(pip) "$$(grep '^torch==' constraints.txt)"
	@echo "installing the benchmark into $(VENV) (about a minute)"
	@$(pip) -c constraints.txt -e .
	@touch $@

$(full): $(core)
	@echo "installing the test tools into $(VENV)"
	@$(pip) -c constraints.txt -e ".[test]"
	@touch $@

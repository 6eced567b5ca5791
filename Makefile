# Two commands on a fresh machine with Python >= 3.11 and make:
#   make run    trains four methods on the embedded digits, compares them and
#               writes a report
#   make test   runs the tests; make test-long: those that it leaves out
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNS ?= runs/digits
# A process for each core, up to four: each needs some 3 GB.
PARALLEL ?= -n auto --maxprocesses=4 --dist=worksteal
METHODS := single uniform human maxl

# The first Python >= 3.12 that starts; the newest JAX needs one.
NEWEST := python3.14 python3.13 python3.12 $(wildcard $(HOME)/.pyenv/versions/3.1[2-9]*/bin/python3)
find-newest = $(shell for p in $(NEWEST); do $$p -c 'import ensurepip' 2>/dev/null && echo $$p && break; done)

.PHONY: run report test test-fast test-long lint format test-oldest test-newest bench docs notebooks dist clean help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -4
	@echo "  make report        the report of make run again; RUNS=DIR: of other runs"
	@echo "  make test-fast     the tests without the slow ones"
	@echo "  make test-long     those that make test leaves out: more kills, seeds, steps"
	@echo "  make lint          ruff: lint and format"
	@echo "  make test-oldest   the tests on the oldest JAX that setup.cfg admits"
	@echo "  make test-newest   the tests on the newest JAX (needs Python >= 3.12)"
	@echo "  make bench         speed and memory beside PyTorch, scikit-learn and faiss"
	@echo "  make docs          the documentation as a site, in site/"
	@echo "  make dist          sdist and wheel in dist/, checked where no checkout is"
	@echo "  make notebooks     the notebooks from their scripts, executed"

# Made again when the dependencies change.
$(VENV)/.ready: setup.cfg setup.py pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "metaaux needs Python >= 3.11, this is " + sys.version.split()[0] + "; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,report]'
	touch $@

run: $(VENV)/.ready
	@for method in $(METHODS); do \
	  $(BIN)/python -m metaaux.main \
	    --config=configs/maxl_digits.py:method=$$method \
	    --workdir=$(RUNS)/$$method || exit $$?; \
	done
	@$(BIN)/python -m experiments.table --workdir=$(RUNS) --baseline=single
	@$(BIN)/python -m experiments.report --workdir=$(RUNS)

report: $(VENV)/.ready
	@$(BIN)/python -m experiments.report --workdir=$(RUNS)

test: $(VENV)/.ready
	$(BIN)/python -m pytest $(PARALLEL) -m 'not long'
	@echo 'A few longer tests are run by make test-long.'

test-long: $(VENV)/.ready
	$(BIN)/python -m pytest $(PARALLEL) -m long

test-fast: $(VENV)/.ready
	$(BIN)/python -m pytest $(PARALLEL) -m 'not slow'

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test-oldest:
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test,report]' 'jax==0.8.0' 'jaxlib==0.8.0'
	.venv-oldest/bin/python -m pytest $(PARALLEL) -m 'not long'

test-newest:
	@test -n "$(find-newest)" || { echo "no Python >= 3.12 found; install one, or put it on PATH" >&2; exit 1; }
	$(find-newest) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --editable '.[test,report]'
	.venv-newest/bin/python -c 'import jax; print("jax", jax.__version__)'
	.venv-newest/bin/python -m pytest $(PARALLEL) -m 'not long'

bench: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m benchmarks.step
	$(BIN)/python -m benchmarks.kmeans
	$(BIN)/python -m benchmarks.weighting

# The theme prints a note about another program unless told not to.
docs: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The wheel is built from the sdist; what either lacks is missing at the end.
dist: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dist]'
	rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	.ci/wheel.sh $(PYTHON) dist/*.whl

# With what the cells print and draw; reads CIFAR-100 if it is at hand.
notebooks: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[notebooks,report]'
	$(BIN)/python -m experiments.write_notebooks

clean:
	rm -rf .venv .venv-oldest .venv-newest build dist site *.egg-info

# casaprov from a clean clone: every target sets up what it needs, and is safe to repeat.
#
#   make PYTHON=python3.12 demo     another interpreter (3.11, 3.12 or 3.13)
#   make VENV=/somewhere/venv test  another place for the virtual environment

PYTHON ?= python3
VENV ?= .venv
# Another Python, whose CASA is another version: make OTHER=python3.13 test-versions
OTHER ?= python3.12
# What pytest is given in addition: make test PYTEST_ARGS="-k digest"
PYTEST_ARGS ?=
# What the benchmarks are given in addition: make bench BENCH_ARGS="--quick", or --large, or --only b c
BENCH_ARGS ?=

BIN := $(VENV)/bin
# pip must neither ask nor look for a newer version of itself.
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
PYTEST := $(BIN)/python -m pytest $(PYTEST_ARGS)
WORKERS := -n 2 --dist worksteal
# Tests start hundreds of Pythons; without byte code each would compile casaprov and what it imports again.
unexport PYTHONDONTWRITEBYTECODE
# Any program can be named by mistake: only a single word like 3.12 is a version.
SAID := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null)
VERSION := $(if $(filter 1,$(words $(SAID))),$(filter 2.% 3.%,$(SAID)))
# An environment made with another Python is made anew.
MADE := $(VENV)/python-$(VERSION).stamp
NO_PIP := echo "pip could not install what casaprov needs: see above. It needs the network once." >&2; exit 1

NOTEBOOK := examples/ngc5921.ipynb
DEMO := build/demo

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-long test-versions test-fast audit lint docs dist screenshots bench clean

help: ## say what there is to make
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16
	@echo "They work in the virtual environment $(VENV), made with $(PYTHON); see the top of the Makefile."

demo: $(VENV)/demo.stamp ## reduce NGC 5921 under recording, pack it, replay it
	@rm -rf $(DEMO) && mkdir -p $(DEMO)
	@echo "== 1/3 reduce: run the notebook $(NOTEBOOK) under recording"
	$(BIN)/casaprov run $(NOTEBOOK) --output $(DEMO)/ngc5921.ipynb
	@echo "== 2/3 pack: notebook, records and small products into one crate"
	$(BIN)/casaprov export $(DEMO)/ngc5921.ipynb -o $(DEMO)/ngc5921.crate.zip
	@echo "== 3/3 replay: the tasks of the crate in an empty folder"
	$(BIN)/casaprov replay $(DEMO)/ngc5921.crate.zip --work $(DEMO)/replay

test: export CASAPROV_WATCH_CHECKOUT = 1
test: $(VENV)/dev.stamp ## run the tests, with real CASA (9 min on two cores)
	$(PYTEST) $(WORKERS) --durations=10

test-long: export CASAPROV_WATCH_CHECKOUT = 1
test-long: export HYPOTHESIS_PROFILE = random
test-long: $(VENV)/dev.stamp ## run what takes minutes by its nature, and random examples
	$(PYTEST) $(WORKERS) --durations=10 -m "long or hypothesis"

test-versions: $(VENV)/dev.stamp $(VENV)-other/other.stamp ## replay the example with the CASA of another Python
	CASAPROV_OTHER_PYTHON=$(abspath $(VENV)-other/bin/python) $(PYTEST) tests/scenarios/test_versions.py

test-fast: $(VENV)/dev.stamp ## run the tests that need no CASA (under 2 min)
	$(PYTEST) $(WORKERS) -m "not casa and not slow and not long"

audit: $(VENV)/dev.stamp ## compare what tasks do to files, traced by strace, with their records
	$(PYTEST) tests/scenarios/test_audit.py -m "long or not long"

lint: $(VENV)/dev.stamp ## check style, format, types and spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/codespell $$(git ls-files)

docs: $(VENV)/dev.stamp ## build the documentation as a site in build/docs, and check its links
	$(BIN)/mkdocs build --quiet
	$(PYTEST) -q tests/test_project.py -k links_of_the_documentation
	@echo "Open build/docs/index.html in a browser."

dist: $(VENV)/dev.stamp ## build a wheel and a source archive in dist
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist

screenshots: $(VENV)/dev.stamp ## make the tutorial's pictures anew, in a real JupyterLab; needs Chromium
	$(BIN)/python tests/support/screenshots.py

bench: $(VENV)/dev.stamp ## run the benchmarks (30 min, 15 GB of disk), write benchmarks/results.md
	$(BIN)/python benchmarks/run_all.py --output benchmarks/results.md $(BENCH_ARGS)

clean: ## remove what the other targets made, but not the virtual environment
	rm -rf build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.git -prune -o -path './.venv' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps tell that the environment holds what pyproject.toml asks for.
$(VENV)/demo.stamp: $(MADE) pyproject.toml
	@echo "== CASA, its data and Jupyter: 590 to 700 MB to download, 2 GB on disk, 1 to 2 minutes"
	@$(PIP) install -qq --editable '.[casa,jupyter]' || { $(NO_PIP); }
	@touch $@

$(VENV)/dev.stamp: $(MADE) pyproject.toml
	@echo "== CASA, its data, Jupyter, plots and all tools: 1.2 to 1.3 GB to download, 3 GB on disk, 2 to 5 minutes"
	@$(PIP) install -qq --editable '.[all]' || { $(NO_PIP); }
	@touch $@ $(VENV)/demo.stamp

$(VENV)-other/other.stamp: pyproject.toml
	@command -v $(OTHER) >/dev/null || { \
	  echo "There is no $(OTHER). Name another Python: make OTHER=/path/to/python3.12 test-versions"; exit 1; } >&2
	@echo "== a second CASA, for $(OTHER): 590 to 700 MB to download, 2 GB on disk, 1 to 2 minutes"
	@$(OTHER) -m venv $(VENV)-other
	@$(VENV)-other/bin/python -m pip --disable-pip-version-check --no-input install -qq --editable '.[casa]' || { $(NO_PIP); }
	@touch $@

$(MADE):
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no $(PYTHON). Install Python 3.11, 3.12 or 3.13 (Debian: apt-get install python3 python3-venv),"; \
	  echo "or name one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@$(if $(filter 3.11 3.12 3.13,$(VERSION)),true,false) || { \
	  echo "$(PYTHON) is $(if $(VERSION),Python $(VERSION),no Python 3.11 or newer); CASA has wheels for Python 3.11, 3.12 and 3.13."; \
	  echo "Name another one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. Debian and Ubuntu: apt-get install python3-venv"; exit 1; } >&2
	@command -v git >/dev/null || { \
	  echo "There is no git, which records use to name a notebook's commit. Debian: apt-get install git"; exit 1; } >&2
	@echo "== a virtual environment with Python $(VERSION) in $(VENV): 5 seconds, no download"
	@$(PYTHON) -m venv $(if $(wildcard $(VENV)/pyvenv.cfg),--clear) $(VENV)
	@touch $@

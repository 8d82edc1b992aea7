# Everything here sets itself up: Python 3.11 or newer with venv, make and a package index are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NIGHTLY := $(VENV)/.nightly
# One more than the two cores that the times in the documents are for: tests wait for servers and clocks.
WORKERS ?= 3
LOWEST := $(VENV)-lowest

.PHONY: demo test nightly lowest bench format generate lock clean

# The whole way of a case on a made-up study: about 20 seconds, and it ends by itself.
demo: $(STAMP)
	$(BIN)/bsti-submit demo $(ARGS)

test: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not nightly" -n $(WORKERS) --dist worksteal --cov --cov-report=term:skip-covered --cov-fail-under=80 $(ARGS)

# The long suites also run against other people's servers: from PyPI, and from npm where Node is.
nightly: $(NIGHTLY) lowest
	if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix tests/delivery/foreign; fi
	$(BIN)/python -m pytest -m "nightly" -n $(WORKERS) $(ARGS)

# Everything on the lowest versions that pyproject.toml allows: a bound that is written down is a bound that is tested.
lowest: $(STAMP)
	$(BIN)/python tools/lowest.py > $(LOWEST).txt
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(LOWEST).txt --editable ".[registry,dev]"
	$(LOWEST)/bin/python -m pytest -m "not nightly" -n $(WORKERS) $(ARGS)

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The constraints file is what was tested: an install next year gives the same.
lock: $(STAMP)
	$(BIN)/python tools/lock.py

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[registry,dev]"
	touch $(STAMP)

$(NIGHTLY): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[registry,dev,nightly]"
	touch $(NIGHTLY)

clean:
	rm -rf $(VENV) $(LOWEST) $(LOWEST).txt dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

# Recipes, allow-lists and documents that are made from the standard's table and the profiles.
generate: $(STAMP)
	$(BIN)/python tools/generate.py

# What things cost, as ratios to copying and hashing in the same run: docs/performance.md.
bench: $(STAMP)
	$(BIN)/python tools/bench.py $(ARGS)

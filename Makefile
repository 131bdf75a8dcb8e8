# make run: everything needed, then all outputs, and outputs/summary.md. make test: everything needed, then all tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SCRIPTS := classifier_models explainability clustering_analysis pca_plot
PIP := -m pip install --quiet --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: run test test-lowest test-newest benchmark lock readme format clean

run: $(VENV)/installed.stamp
	@set -e; for script in $(SCRIPTS); do echo "== $$script.py"; $(BIN)/python $$script.py; done
	$(BIN)/python docs/summary.py

test: $(VENV)/installed.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m pytest

# The same tests with the oldest and the newest packages that requirements*.txt allow.
test-lowest:
	$(PYTHON) -m venv --clear $(VENV)-lowest
	sed -E 's/>=([^,]+),<[0-9.]+/==\1/; /^-r/d' requirements*.txt > $(VENV)-lowest/pins.txt
	$(VENV)-lowest/bin/python $(PIP) -r $(VENV)-lowest/pins.txt
	$(VENV)-lowest/bin/python -m pytest

test-newest:
	$(PYTHON) -m venv --clear $(VENV)-newest
	$(VENV)-newest/bin/python $(PIP) -r requirements-dev.txt
	$(VENV)-newest/bin/python -m pytest

# benchmarks/RESULTS.md: an hour at full size, less with SIZES="150x3000 300x3000 300x6000".
benchmark: $(VENV)/installed.stamp
	$(BIN)/python -m benchmarks.benchmark $(if $(SIZES),--sizes $(SIZES))

# One version of every package for Python 3.11 to 3.14, on Linux, Windows and macOS.
lock:
	$(PYTHON) -m venv --clear $(VENV)-lock
	$(VENV)-lock/bin/python $(PIP) uv
	$(VENV)-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--fork-strategy fewest --no-annotate --no-emit-index-url \
		--custom-compile-command "make lock" requirements-dev.txt --output-file requirements.lock

# The results and figures of README.md, from a fresh run.
readme: run
	$(BIN)/python docs/summary.py --readme

format: $(VENV)/installed.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-newest $(VENV)-lock outputs

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: python: must be 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed.stamp: requirements.lock | $(BIN)/python
	$(BIN)/python $(PIP) -r requirements.lock
	touch $@

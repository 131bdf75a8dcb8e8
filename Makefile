# make run: everything needed, then all outputs. make test: everything needed, then all tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SCRIPTS := classifier_models explainability clustering_analysis pca_plot

.DELETE_ON_ERROR:
.PHONY: run test test-lowest readme format clean

run: $(VENV)/run.stamp
	@set -e; for script in $(SCRIPTS); do echo "== $$script.py"; $(BIN)/python $$script.py; done

test: $(VENV)/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m pytest

# The same tests with the oldest version of every package that requirements*.txt allow.
test-lowest:
	$(PYTHON) -m venv --clear $(VENV)-lowest
	sed -E 's/>=([^,]+),<[0-9.]+/==\1/; /^-r/d' requirements.txt requirements-dev.txt > $(VENV)-lowest/pins.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check -r $(VENV)-lowest/pins.txt
	$(VENV)-lowest/bin/python -m pytest

# The results and figures of README.md, from a fresh run.
readme: run
	$(BIN)/python docs/readme_results.py

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) $(VENV)-lowest outputs

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: python: must be 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/test.stamp: requirements-dev.txt requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

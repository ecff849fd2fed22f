# `make run` starts the app on http://127.0.0.1:8000, `make test` checks everything.
# PYTHON chooses the interpreter that makes .venv: make PYTHON=python3.13 run

PYTHON ?= python3
BIN := .venv/bin
INPUTS := requirements.txt pyproject.toml LICENSE scripts/venv.sh

.DEFAULT_GOAL := help
.PHONY: help run test lint format clean

help:
	@echo 'make run     start the app on http://127.0.0.1:8000'
	@echo 'make test    lint, type-check and test'
	@echo 'make lint    ruff and mypy only'
	@echo 'make format  let ruff rewrite the code'
	@echo 'make clean   remove .venv and caches (chats are kept elsewhere and stay)'

run: .venv/.run
	@exec $(BIN)/chatapp

# One recipe, one order: `make -j` must not run the tests beside the linters.
test: .venv/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@CHROMIUM=$$(sh scripts/chromium.sh) && export CHROMIUM && exec sh scripts/test.sh $(BIN)/python

lint: .venv/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.run: $(INPUTS)
	@sh scripts/venv.sh '$(PYTHON)' requirements.txt
	@touch $@

.venv/.dev: $(INPUTS) requirements-dev.txt
	@sh scripts/venv.sh '$(PYTHON)' requirements-dev.txt
	@touch .venv/.run $@

# Everything a user or a contributor calls. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made
PROJECTS := shared_schemas/pyproject.toml agent_service/pyproject.toml django_app/pyproject.toml
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-package mandate-schemas --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help env demo test up down token lint types contracts lock bench chaos screenshots clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

$(STAMP): requirements-dev.txt $(PROJECTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "making the environment in $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/^ *# via/p' requirements-dev.txt > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation \
		-e shared_schemas -e agent_service -e django_app
	@touch $@

env: $(STAMP)

## make demo       a job, once: both sides, PostgreSQL and a scripted model are started, shown and stopped;
##                 JOB=author (one agent instead of three), JOB=sql, JOB=compare (three models) or JOB=research is another
demo: $(STAMP)
	@$(BIN)/python -m stack demo

## make test       all tests; ARGS="-k approval" chooses some
test: $(STAMP)
	@$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

## make up         the stack in the background; DJANGO_PORT, AGENT_PORT and AGENT_GRAPHS are honoured
up: $(STAMP)
	@$(BIN)/python -m stack up

## make token      a bearer for the agent service of the running stack, on the last line
token: $(STAMP)
	@$(BIN)/python -m stack token

## make down       stops what `make up` started; the data stays
down: $(STAMP)
	@$(BIN)/python -m stack down

## make lint       style, format and the import walls
lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

## make types      mypy, strict
types: $(STAMP)
	@$(BIN)/mypy
	@$(BIN)/mypy --config-file agent_service/pyproject.toml

## make contracts  writes the documents of both sides' HTTP into contracts/
contracts: $(STAMP)
	@$(BIN)/python -m stack contracts

## make lock       chooses and pins all dependencies anew
lock: $(STAMP)
	@$(LOCK) agent_service/pyproject.toml --upgrade -o agent_service/requirements.txt
	@$(LOCK) django_app/pyproject.toml --upgrade --extra server -o django_app/requirements.txt \
		-c agent_service/requirements.txt
	@$(LOCK) $(PROJECTS) --upgrade --extra server --group dev -o requirements-dev.txt \
		-c agent_service/requirements.txt -c django_app/requirements.txt

## make bench      calls and runs beside what they are held against, to .mandate/bench.json; ARGS="runs.cpu"
bench: $(STAMP)
	@$(BIN)/python -m tests.benchmarks $(ARGS)

## make chaos      kills both sides at every named point, holds all races, attacks, storms; ARGS="call. race storm"
chaos: $(STAMP)
	@$(BIN)/python -m tests.chaos $(ARGS)

## make screenshots writes pictures of the pages to docs/screenshots
screenshots: $(STAMP)
	@$(BIN)/pytest -n 0 -q tests/pages/screenshots.py $(ARGS)

## make clean      stops the stack and removes all its data, and the environment
clean:
	@test ! -x $(BIN)/python || $(BIN)/python -m stack clean
	@rm -rf $(VENV) .mandate

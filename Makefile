# Every target makes the virtual environment it needs; `make help` lists them. Options of a program go into ARGS:
# make demo ARGS='--events 5000'

PYTHON ?= python3
ARGS ?=
# Tests mostly wait, for brokers and processes: files of them run side by side, each process with a Kafka of its own.
JOBS ?= 2
VENV := .venv
RUN := $(VENV)/bin
CODE := schemas recommender producers consumers tests

# Stamps are named after what .venv was made from and where it stands, because it holds its own path. While one is there,
# neither pip nor the network is asked for anything.
MADE_FROM := $(shell { pwd; cat pyproject.toml constraints.txt; } | cksum | cut -d ' ' -f 1)
FOR_DEMO := $(VENV)/demo-$(MADE_FROM)
FOR_DEV := $(VENV)/dev-$(MADE_FROM)
FOR_BENCH := $(VENV)/bench-$(MADE_FROM)

# pip builds the project itself in an environment apart. Which of the two variables pins that one depends on pip's age.
PIN := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt
INSTALL := $(PIN) $(RUN)/python -m pip install --quiet --disable-pip-version-check --editable
NOT_INSTALLED = { echo "pip could not install what is above: the first run needs the network" >&2; exit 1; }

# A goal that is missed ends the run with an error, after all the others were measured.
BENCHES := budget articles peer_river freshness catch_up memory forgetting growth worker_start read_path workers ceiling ceiling_users

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint type imports unit contract system simulate chaos fuzz quality bench profile schemas format hooks constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z ]+:.*## / { printf "make %-25s %s\n", $$1, $$2 }' Makefile

demo: $(FOR_DEMO) ## MovieLens ratings through a real Kafka and the real Qdrant engine, into lists
	@$(RUN)/tastestream demo $(ARGS)

test: lint type imports ## everything that must hold: lint, types, import contracts, all tests
	$(RUN)/python -m pytest -n $(JOBS) --dist loadfile tests/unit tests/contract tests/fuzz tests/simulation tests/system $(ARGS)

lint: $(FOR_DEV) ## ruff: rules and format
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

type: $(FOR_DEV) ## mypy --strict, tests included
	$(RUN)/mypy $(CODE)

imports: $(FOR_DEV) ## which folder may import which
	$(RUN)/lint-imports

unit contract system: $(FOR_DEV) ## the tests of one folder
	$(RUN)/python -m pytest tests/$@ $(ARGS)

simulate: $(FOR_DEV) ## many seeds of the simulation: make simulate ARGS='--seeds 0..100000 --jobs 2'
	$(RUN)/python tests/simulation/simulate.py $(ARGS)

chaos: $(FOR_DEV) ## kills and faults on the real thing: make chaos ARGS='--minutes 60 --kills 1000 --events 1000000'
	PYTHONPATH=tests/doubles $(RUN)/python tests/chaos/chaos.py $(ARGS)

fuzz: $(FOR_DEV) ## whatever may come in: make fuzz ARGS='--inputs 1000000'
	$(RUN)/python tests/fuzz/fuzz.py $(ARGS)

quality: $(FOR_DEV) ## hit rates of the ranking, through the store and the cache
	$(RUN)/python tests/bench/quality.py $(ARGS)

bench: $(FOR_BENCH) ## everything that is measured, one program after the other
	@missed=; for name in $(BENCHES); do \
	    echo "== $$name"; PYTHONPATH=tests/doubles $(RUN)/python tests/bench/$$name.py $(ARGS) || missed="$$missed $$name"; done; \
	$(RUN)/python tests/bench/plots.py || missed="$$missed plots"; \
	test -z "$$missed" || { echo "not all that is required was met, see above:$$missed" >&2; exit 1; }

profile: $(FOR_DEV) ## the functions that a refresh spends its time in
	$(RUN)/python tests/bench/budget.py --quick --profile

schemas: $(FOR_DEV) ## write schemas/json anew from the models
	$(RUN)/python -m schemas.json_schema

format: $(FOR_DEV) ## let ruff format and repair what it can
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

hooks: $(FOR_DEV) ## check every commit before it is made
	$(RUN)/pre-commit install

venv: $(FOR_DEV) ## .venv with everything for development

$(FOR_DEMO):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "tastestream needs Python 3.11 or newer, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)" >&2; \
	    echo "name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Making $(VENV): the libraries of constraints.txt and a Java runtime, fetched once (a minute or two)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(INSTALL) '.[local,compiled]' || $(NOT_INSTALLED)
	@touch $@

$(FOR_DEV): | $(FOR_DEMO)
	@echo "Adding to $(VENV): the tools for tests and checks, fetched once"
	@$(INSTALL) '.[local,compiled,factors,plot,dev]' || $(NOT_INSTALLED)
	@touch $@

$(FOR_BENCH): | $(FOR_DEV)
	@echo "Adding to $(VENV): what the benchmarks compare with, fetched once"
	@$(INSTALL) '.[local,compiled,factors,plot,dev,bench]' || $(NOT_INSTALLED)
	@touch $@

# With the oldest Python that is supported: newer ones need fewer libraries, and some no longer serve the oldest.
constraints: FRESH := build/constraints
constraints: ## renew constraints.txt: the newest versions that pyproject.toml allows
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	    echo "constraints are made with Python 3.11: make PYTHON=python3.11 constraints" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(FRESH)
	$(FRESH)/bin/python -m pip install --quiet --editable '.[local,compiled,factors,plot,dev,bench]' editables hatchling
	$(FRESH)/bin/python -m pip freeze --exclude-editable > $(FRESH)/found.txt
	LC_ALL=C sort -f $(FRESH)/found.txt > constraints.txt
	rm -r $(FRESH)

clean: ## remove .venv, caches and builds; what the service stored stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

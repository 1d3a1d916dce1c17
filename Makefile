# `make help` lists what there is. Everything runs in .venv, which the first target makes by itself.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install demo sandbox check lint fast thorough test e2e deploy simulate bench pins clean

PYTHON ?= python3.13
BIN := .venv/bin
READY := .venv/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
export SAM_CLI_TELEMETRY := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

install: $(READY) ## only install what the others need, and the operators' command .venv/bin/delivery

demo: $(READY) ## deploy into a sandbox on this machine, send some messages, watch what becomes of them
	@python -m sandbox demo

sandbox: $(READY) ## the same sandbox, to play with; stays up until Ctrl-C
	@python -m sandbox up

check: lint fast ## lint, types and the fast tests: well under a minute each

lint: $(READY)
	@echo "== lint and types"
	@ruff check
	@ruff format --check
	@mypy
	@cfn-lint template.yaml

fast: $(READY)
	@echo "== fast tests"
	@pytest -q -n 2 -m "not e2e and not thorough"

test: check thorough e2e ## all tests: the above, simulated lives, and end to end through the deployed stack

thorough: $(READY)
	@echo "== thorough tests: interleavings, random input, simulated lives"
	@pytest -q -n 2 -m "thorough and not e2e"

e2e: $(READY)
	@echo "== end-to-end tests: build, deploy into a sandbox, send"
	@pytest -m e2e

deploy: $(READY) ## build and deploy into your AWS account (asks what it needs to know)
	@sam build
	@sam deploy --guided

simulate: $(READY) ## break the system in SEEDS=1000 simulated lives, and check every promise after each
	@python -m simulation --seeds $(or $(SEEDS),1000)

bench: $(READY) ## measure everything in docs/performance.md (about ten minutes); ROUNDS=3, ONLY=cold_start, QUICK=1
	@python -m bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick) $(ONLY)

pins: $(READY) ## write constraints.txt anew from what .venv holds
	@{ head -n 1 constraints.txt; pip list --format=freeze --exclude-editable | grep -v -i -E '^(pip|setuptools|wheel)=='; } > .venv/pins
	@mv .venv/pins constraints.txt

clean: ## remove what the other targets made
	rm -rf .venv .aws-sam .sandbox .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml requirements-dev.txt constraints.txt layers/delivery/requirements.txt
	@command -v $(PYTHON) >/dev/null && $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' || { \
	  echo "This needs Python 3.13 (Lambda's runtime), and '$(PYTHON)' is not it."; \
	  echo "Install it, or name it: make PYTHON=/path/to/python3.13"; exit 1; }
	@echo "== installing the pinned tools into .venv (a minute, the first time)"
	@$(PYTHON) -m venv .venv
	@set -o pipefail; pip install --progress-bar off -r requirements-dev.txt 2>.venv/pip.log | awk -v live="$$(test -t 1 && echo 1)" '\
	  /^(Collecting|Requirement already)/ { n++; if (live) { printf "\r   %d packages found", n; fflush() } \
	    else if (n % 40 == 0) { printf "   %d packages found\n", n; fflush() } } \
	  /^Installing/ { printf (live ? "\r   %d packages found, unpacking them\n" : "   %d packages found, unpacking them\n"), n; fflush() }' \
	  || { cat .venv/pip.log; echo "pip could not install the tools; this first run needs a package index."; \
	    echo "Behind a proxy set HTTPS_PROXY, for an index of your own PIP_INDEX_URL, and run this again."; exit 1; }
	@pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

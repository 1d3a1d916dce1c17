# `make help` lists the targets. Everything runs in .venv, which the first target creates.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install demo sandbox twilio check lint fast thorough test e2e deploy simulate mutation bench package pins clean

PYTHON ?= python3.13
DIST ?= dist
BIN := .venv/bin
# Neither the end-to-end tests nor the plugin that they use is imported: that takes seconds.
WITHOUT_E2E := --ignore=tests/e2e -p no:schemathesis
READY := .venv/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
export SAM_CLI_TELEMETRY := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

install: $(READY) ## install the tools and the command line .venv/bin/delivery

demo: $(READY) ## deploy into a sandbox on this machine, send messages, show and report their delivery
	@python -m sandbox demo

sandbox: $(READY) ## start the same sandbox for your own tests; runs until Ctrl-C
	@python -m sandbox up

twilio: $(READY) ## start the simulated Twilio alone, for any Twilio SDK; OPTIONS="--port 4020"
	@python -m sandbox twilio $(OPTIONS)

check: lint fast ## run lint, type checks and the fast tests (under a minute each)

lint: $(READY)
	@echo "== lint, types and import rules"
	@ruff check
	@ruff format --check
	@mypy
	@lint-imports --no-cache --no-logo
	@cfn-lint template.yaml

# Compiling the tests takes three seconds in each process, so Python keeps the result for the next run.
fast thorough: export PYTHONDONTWRITEBYTECODE :=

fast: $(READY)
	@echo "== fast tests"
	@pytest -q -n 2 $(WITHOUT_E2E) -m "not thorough"

test: check thorough e2e ## run all tests: also simulation runs and end-to-end tests of the deployed stack

thorough: $(READY)
	@echo "== thorough tests: interleavings, random input, simulation runs"
	@pytest -q -n 2 $(WITHOUT_E2E) --hypothesis-profile=thorough -m "thorough or hypothesis"

e2e: $(READY)
	@echo "== end-to-end tests: build, deploy into a sandbox, send messages"
	@pytest -m e2e -n 2 --dist loadfile --no-loadscope-reorder

deploy: $(READY) ## build and deploy to your AWS account (prompts for the parameters)
	@sam build
	@sam deploy --guided

simulate: $(READY) ## run randomized simulations with fault injection; SEEDS=1000
	@python -m simulation --seeds $(or $(SEEDS),1000)

mutation: $(READY) ## change the code in many places, one at a time, and expect a fast test to fail; SAMPLE=500
	@pip install --quiet --no-deps --upgrade --target .venv/mutation -r requirements-mutation.txt
	@PYTHONPATH=$(CURDIR)/.venv/mutation python -m tests.mutation --sample $(or $(SAMPLE),500)

bench: $(READY) ## run the benchmarks of docs/performance.md (ten minutes); ROUNDS=3, ONLY=cold_start, QUICK=1
	@python -m bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick) $(ONLY)

package: $(READY) ## build the wheel and the source archive of the last commit; DIST=dist
	@set -eu -o pipefail; version=$$(git show HEAD:delivery_cli/__init__.py | sed -n 's/^__version__ = "\(.*\)"$$/\1/p'); \
	name=delivery-tracking-$$version; source=$$(mktemp -d); export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct); \
	trap 'rm -rf "$$source"' EXIT; mkdir -p "$(DIST)"; rm -f "$(DIST)"/delivery[-_]tracking-*; \
	git archive --prefix="$$name/" --format=tar.gz --output="$(DIST)/$$name.tar.gz" HEAD; \
	tar -xzf "$(DIST)/$$name.tar.gz" -C "$$source"; \
	pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$(DIST)" "$$source/$$name"
	@ls "$(DIST)"

pins: $(READY) ## update constraints.txt with the versions installed in .venv
	@{ head -n 1 constraints.txt; pip list --format=freeze --exclude-editable | grep -v -i -E '^(pip|setuptools|wheel)=='; } > .venv/pins
	@mv .venv/pins constraints.txt

clean: ## remove everything that the other targets created
	rm -rf .venv .aws-sam .sandbox dist mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml requirements-dev.txt constraints.txt layers/delivery/requirements.txt
	@command -v $(PYTHON) >/dev/null && $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' || { \
	  echo "'$(PYTHON)' is not Python 3.13, the version of the Lambda runtime."; \
	  echo "Install Python 3.13, or set its path: make PYTHON=/path/to/python3.13"; exit 1; }
	@echo "== installing the pinned tools into .venv (about a minute, the first time only)"
	@$(PYTHON) -m venv .venv
	@set -o pipefail; pip install --progress-bar off -r requirements-dev.txt 2>.venv/pip.log | awk -v live="$$(test -t 1 && echo 1)" '\
	  /^(Collecting|Requirement already)/ { n++; if (live) { printf "\r   %d packages found", n; fflush() } \
	    else if (n % 40 == 0) { printf "   %d packages found\n", n; fflush() } } \
	  /^Installing/ { printf (live ? "\r   %d packages found, installing\n" : "   %d packages found, installing\n"), n; fflush() }' \
	  || { cat .venv/pip.log; echo "pip could not install the tools. The first run needs access to a package index."; \
	    echo "Set HTTPS_PROXY behind a proxy, or PIP_INDEX_URL for your own index, and run make again."; exit 1; }
	@pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

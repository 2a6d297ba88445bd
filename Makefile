# Everything a developer does, from a bare clone. Needs Python >= 3.11 and make; the first verb prepares .venv.
PYTHON ?= python3
UV_VERSION := 0.13.9
# Run in environments of their own, so that what they depend on is not part of ours.
PIP_AUDIT := pip-audit==2.10.1
CYCLONEDX := cyclonedx-bom==7.5.0
BIN := .venv/bin
STAMP := .venv/.synced
# `make test ARGS="-k digest"`
ARGS ?=
# What `make sbom` lists: an installation. `make sbom LOCK=requirements.lock` lists what development needs, too.
LOCK ?= deploy/requirements.lock
SBOM ?= sbom.cdx.json
# uv does not read pip's configuration, so an index that is configured for pip alone is passed on.
INDEX = $(or $(UV_DEFAULT_INDEX),$(PIP_INDEX_URL),$(shell $(BIN)/python -m pip config get global.index-url 2>/dev/null))
TOOL = $(if $(INDEX),UV_DEFAULT_INDEX=$(INDEX)) $(BIN)/uv tool run --quiet
# Parallel processes of `make test`, each with servers of its own. Tests wait more than they compute.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help compiled run test lint types fmt bench faults faults-long provider test-provider lock sbom audit rebuild

help: ## print these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

# exec: the supervisor takes the place of the shell, so it gets the terminal's Ctrl-C itself, is the child that make
# passes a SIGTERM on to, and is the one parent of everything it starts. It ends with 0, so make has nothing to report.
run: compiled ## start everything on this machine: Postgres, Temporal with its Web UI, worker, API
	@exec $(BIN)/python cli.py dev

# pytest keeps its own bytecode of the tests; without it each of the parallel processes compiles all of them, each time.
test: compiled ## run the whole suite; ARGS="-k words" for a part
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --no-loadscope-reorder $(ARGS)

lint: $(STAMP) ## check style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP) ## check types, strictly
	@$(BIN)/mypy .

fmt: $(STAMP) ## format, and fix what can be fixed without thought
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: compiled ## measure rates, latencies and CPU, with the floor of the machine; ARGS="--quick" for a short run
	@$(BIN)/python -m benchmarks $(ARGS)

faults: compiled ## kill, cut and starve real processes, and check every promise; ARGS="--seed 7" repeats one run
	@$(BIN)/python -m faults $(ARGS)
	@$(if $(ARGS),,$(BIN)/python -m pytest -m "long or hypothesis" --hypothesis-profile long)

faults-long: compiled ## the same with outages of minutes and floods of 10,000
	@$(BIN)/python -m faults --long $(ARGS)

provider: $(STAMP) ## write the skeleton of a provider; NAME=acme CHANNEL=sms [TITLE=AcmeMobile]
	@$(BIN)/python -m tests.providers.skeleton "$(NAME)" "$(CHANNEL)" "$(TITLE)"

test-provider: lint types compiled ## check that a provider is complete; NAME=acme
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -k "$(NAME)"
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) tests/code tests/docs

lock: $(STAMP) ## resolve pyproject.toml into requirements.lock
	@$(BIN)/uv pip compile --quiet pyproject.toml --extra redis --extra ses --group embedded --group dev --universal --generate-hashes \
	  --no-header --no-annotate --python-version 3.11 -o requirements.lock
	@$(BIN)/uv pip compile --quiet pyproject.toml --extra redis --extra ses --constraint requirements.lock --universal --generate-hashes \
	  --no-header --no-annotate --python-version 3.11 -o deploy/requirements.lock

sbom: $(STAMP) ## write the packages of an installation to sbom.cdx.json, as CycloneDX
	@PYTHONWARNINGS=ignore $(TOOL) --from $(CYCLONEDX) cyclonedx-py requirements --pyproject pyproject.toml --short-PURLs \
	  --output-reproducible --validate --of JSON -o $(SBOM) $(LOCK)

audit: $(STAMP) ## look up known vulnerabilities of all locked packages; needs the internet
	@$(TOOL) $(PIP_AUDIT) --requirement requirements.lock --disable-pip --require-hashes --strict --progress-spinner off

# Our own bytecode, so that no process compiles at its start, even where PYTHONDONTWRITEBYTECODE is set. It is quick
# when nothing has changed.
compiled: $(STAMP)
	@$(BIN)/python -m compileall -q -x '^\./\.' .

# The environment. A concurrent make waits for the lock on this file and then finds the work done
# (without flock, as on macOS, it is merely done twice). uv does not read pip's configuration, so an index that is
# configured for pip alone is passed on. A .venv without a working Python of the right age is made anew.
$(STAMP): requirements.lock $(shell [ -x $(BIN)/python ] || echo rebuild)
	@set -eu; \
	exec 9<Makefile; if command -v flock >/dev/null 2>&1; then flock 9; fi; \
	if [ -x $(BIN)/python ] && [ $(STAMP) -nt requirements.lock ]; then exit 0; fi; \
	echo "Preparing .venv from requirements.lock ..." >&2; \
	say() { echo "Tocsin needs Python 3.11 or newer$$1" >&2; exit 1; }; \
	recent='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(BIN)/python -c "import pip; $$recent" 2>/dev/null; then \
	  command -v "$(PYTHON)" >/dev/null 2>&1 || say ": $(PYTHON) was not found. Name another with PYTHON=..."; \
	  "$(PYTHON)" -c "$$recent" || say ", and $(PYTHON) is $$("$(PYTHON)" -V 2>&1). Name another with PYTHON=..."; \
	  "$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || \
	    say " with its venv module, which $(PYTHON) lacks: install python3-venv"; \
	  "$(PYTHON)" -m venv --clear .venv; \
	fi; \
	pip="$(BIN)/python -m pip --disable-pip-version-check"; \
	case "$$($(BIN)/uv --version 2>/dev/null)" in \
	  "uv $(UV_VERSION)"*) ;; \
	  *) $$pip install --quiet "uv==$(UV_VERSION)" ;; \
	esac; \
	index="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($$pip config get global.index-url 2>/dev/null || :)}}"; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock; \
	touch $(STAMP)

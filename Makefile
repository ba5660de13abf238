# Everything a developer or a newcomer runs. `make` alone lists it.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?= python3.11
VENV ?= .venv
# Where PyTorch comes from: extra arguments for pip. Without them PyPI's Linux wheel is the CUDA build (0.5 GB,
# and several GB of CUDA packages); this is the CPU build (0.2 GB):
#   make setup PIP_TORCH="--index-url https://download.pytorch.org/whl/cpu"
PIP_TORCH ?=
# Arguments for the command behind `make demo` (--format iceberg, --fresh, ...) and `make test` (-k name, ...).
ARGS ?=
# Processes that share the tests; each starts its own servers.
WORKERS ?= 2
REPEAT ?= 1

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALLED := $(VENV)/.installed

.PHONY: help
help: ## List what there is to make.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(INSTALLED) ## Create .venv and install the project with its locked dependencies. PIP_TORCH=... says where PyTorch comes from.

$(INSTALLED): pyproject.toml constraints.txt storage/checkpoints/codecs/words.c lstm/windows/arrays/loops.c
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV) (exact versions: constraints.txt); the first time this takes some minutes ..."
	@if [ -n '$(PIP_TORCH)' ]; then $(PIP) install -c constraints.txt torch $(PIP_TORCH); fi
	@$(PIP) install --use-pep517 -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: demo
demo: $(INSTALLED) ## Run the whole path on real data: table -> training -> checkpoints -> forecast. ARGS="--format iceberg"
	@$(BIN)/carousel demo $(ARGS)

# The tests start Python hundreds of times. Where it may not keep what it has compiled, it compiles anew each time.
test test-resume test-readme test-slow: export PYTHONDONTWRITEBYTECODE :=

.PHONY: test
test: $(INSTALLED) ## Run the tests, on both cores (WORKERS=0: in one process, as --pdb needs it). ARGS="-k name"
	@$(BIN)/python -m pytest -m "not slow and not stack and not readme" -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-resume
test-resume: $(INSTALLED) ## Kill trainings at every point and resume them, on 1, 2 and 3 ranks. REPEAT=20: as often, until one fails.
	@for i in $$(seq $(REPEAT)); do \
	  $(BIN)/python -m pytest -x tests/lstm/training/test_{exact,elastic}_resume.py tests/lstm/training/test_saving_together.py \
	    tests/pipelines/test_killed_api.py || exit 1; \
	done

.PHONY: test-readme
test-readme: $(INSTALLED) ## Run every shell block of the README, as a reader would type it.
	@$(BIN)/python -m pytest -m readme $(ARGS)

.PHONY: test-slow
test-slow: $(INSTALLED) ## Run the tests that take minutes.
	@$(BIN)/python -m pytest -m slow $(ARGS)

.PHONY: check
check: $(INSTALLED) ## Check format, lint, types, and which room imports which.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(INSTALLED) ## Format the code and mend what the linter can mend.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: up
up: ## Build and start the local stack: MinIO, PostgreSQL, Prefect, a worker (Docker with Compose v2).
	@deploy/stack.sh up

.PHONY: down
down: ## Stop the stack; its data stay.
	@deploy/stack.sh down

.PHONY: demo-stack
demo-stack: ## Run the demo on the stack, as a deployment. ARGS='kind="iceberg"'
	@deploy/stack.sh demo $(ARGS)

.PHONY: stack-status
stack-status: ## Show the stack's containers.
	@deploy/stack.sh status

.PHONY: stack-logs
stack-logs: ## Follow what the stack's containers print. ARGS="worker"
	@deploy/stack.sh logs $(ARGS)

.PHONY: test-stack
test-stack: $(INSTALLED) ## Test a stack of its own, on ports of its own: up, train, kill, resume, down, up.
	@$(BIN)/python -m pytest -m stack $(ARGS)

.PHONY: tidy
tidy: ## Remove .venv and the tools' caches. Data stay.
	@if [ -x $(BIN)/carousel ]; then $(BIN)/carousel s3 stop; fi
	rm -rf $(VENV) *.egg-info build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

.PHONY: clean
clean: ## Remove the stack with its data, and .carousel/. Says how much, and asks (FORCE=1: does not ask).
	@BIN=$(BIN) deploy/stack.sh clean

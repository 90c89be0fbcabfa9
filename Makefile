# `make demo` and `make test` work on a fresh clone: they make .venv/ first, and find it made the next time.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
# A start that may keep what it compiled costs half: some machines forbid it by default.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: bootstrap
bootstrap:  ## make .venv/ from requirements.lock
	@.ci/bootstrap

.PHONY: demo
demo:  ## play two tickets through the whole lifecycle (ARGS=--yes: without asking; ARGS="--ticket 3": another one)
	@.ci/bootstrap bubblewrap
	@$(BIN)/phasegate demo $(ARGS)

.PHONY: test
test:  ## run the tests (ARGS="tests/unit -k ledger": some of them)
	@.ci/bootstrap bubblewrap chromium go haproxy java kubernetes node postgresql prometheus redis rust ssh typescript
	@$(BIN)/pytest -n 3 --dist loadfile $(ARGS)

.PHONY: proof
proof:  ## crash the engine at every moment of every scene, restart Postgres under load, try every cheat: takes hours
	@.ci/bootstrap bubblewrap go haproxy kubernetes node postgresql prometheus ssh typescript
	@CRASH_ALL=1 $(BIN)/pytest -m "" tests/crash tests/model tests/integration/gates tests/integration/recovery tests/integration/rewind \
	  tests/acceptance tests/cheats $(ARGS)
	@FUZZ_INPUTS=10000 $(BIN)/pytest -n 2 tests/fuzz $(ARGS)

.PHONY: check
check: bootstrap  ## format, lint, import contracts, types, documentation
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy
	@$(BIN)/basedpyright
	@$(MAKE) docs

.PHONY: docs
docs: bootstrap  ## build docs/ as a site into site/; a broken link fails
	@said=$$($(BIN)/zensical build --strict --clean 2>&1) || { printf '%s\n' "$$said"; exit 1; }

.PHONY: bench
bench: bootstrap  ## measure phasegate beside its peers, into benchmarks/RESULTS.md (ARGS=decision: one measure)
	@case "$(ARGS)" in suspicions*) ;; cli) .ci/bootstrap bubblewrap ;; *) .ci/bootstrap kubernetes peers prometheus ;; esac
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: format
format: bootstrap  ## format and fix what can be fixed by itself
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: lock
lock:  ## resolve pyproject.toml into the lock files; needs uv
	uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --python-version 3.11 --group dev pyproject.toml -o requirements.lock
	uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --python-version 3.11 --group pyproject.toml:bench -o requirements-bench.lock

.PHONY: clean
clean:  ## remove what can be made again
	rm -rf site .venv .venv-bench .venv-bootstrap dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find agents benchmarks examples flows infra tests -name __pycache__ -type d -prune -exec rm -rf {} +

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run stack test lint format shell openapi bench faults browser venv venv-dev packages clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | while IFS=$$'\t' read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; done

run: venv ## start everything: servers, console, API, drainer, ingest (Ctrl-C stops it, the data stays)
	@exec $(PY) -m deploy.dev.run

stack: venv ## start the servers only, in the foreground
	@exec $(PY) -m deploy.dev.run --servers-only

test: venv-dev packages lint ## run all checks and tests, on servers of their own
	$(PY) -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal

# These checks only read the code: they need settings that load, and no servers behind them.
lint openapi: export OPS_ENV := test
lint openapi: export OPS_DOTENV := /dev/null
lint openapi: export SECRET_KEY := only-for-checks-0123456789-abcdefghijklmnopqrstuvwxyz
lint openapi: export DATABASE_URL := postgres://nobody@127.0.0.1:1/none
lint openapi: export NATS_URL := nats://127.0.0.1:1
lint openapi: export VAULT_ADDR := http://127.0.0.1:1
lint: venv-dev ## check style, types, import directions, migrations and settings
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) -W 'ignore:Got an error checking' manage.py makemigrations --check --dry-run
	$(PY) manage.py check

format: venv-dev ## rewrite the code in the house style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

shell: venv ## open a Python shell with the models loaded, on the stack that runs
	$(PY) manage.py shell

openapi: venv ## write the two OpenAPI documents under docs/ anew from the code
	$(PY) manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml
	$(PY) manage.py spectacular --validate --fail-on-warn --file docs/internal-openapi.yaml \
		--generator-class config.schema.InternalGenerator

bench: venv-dev packages ## measure outbox and ingest against the bare limit, and the console's pages
	$(PY) -m tests.bench

faults: venv-dev packages ## kill, pause and seal servers for many rounds (minutes)
	$(PY) -m pytest -m faults

browser: venv-dev packages ## try the console in a real browser (needs Chromium)
	$(PY) -m pytest -m browser

venv: .venv/run.stamp ## make .venv with what the service and its servers need

venv-dev: .venv/dev.stamp ## make .venv with what developing needs too

packages: venv ## install PostgreSQL and pg_partman where they are missing (Debian, as root)
	@$(PY) -m deploy.dev.packages

clean: ## delete the local data and all caches; .venv stays
	@if [ -e .dev/lock ] && command -v flock >/dev/null && ! flock -n .dev/lock true; then \
		echo 'It is running in this clone: stop it with Ctrl-C first.'; exit 1; fi
	@if [ -L .dev/postgres ]; then rm -rf -- "$$(dirname -- "$$(readlink -f .dev/postgres)")"; fi
	rm -rf .dev .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

.venv/bin/python:
	@deploy/dev/make_venv

.venv/run.stamp: requirements.txt deploy/dev/servers.txt | .venv/bin/python
	@echo 'Installing what the service needs ...'
	@$(PY) -m pip install --quiet -r requirements.txt
	@$(PY) -m pip install --quiet --no-deps --require-hashes -r deploy/dev/servers.txt
	@touch $@

.venv/dev.stamp: requirements-dev.txt .venv/run.stamp
	@echo 'Installing what developing needs ...'
	@$(PY) -m pip install --quiet -r requirements-dev.txt
	@touch $@

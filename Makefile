# serve, test, lint, format, bench, replay: each sets up what it needs.

VENV = .venv
BIN = $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: serve test lint format bench replay clean

serve: $(VENV)/runtime static/staticfiles.json
	@$(BIN)/python manage.py serve

test: $(VENV)/dev .venv-clients/installed
	@$(BIN)/python -m pytest

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# How fast: the window of a long conversation beside that of a short one, with query plans.
bench: $(VENV)/dev
	@$(BIN)/python benchmarks/window.py

# 7,168 real conversations through the running service, read back and compared.
replay: $(VENV)/dev
	@$(BIN)/python benchmarks/replay.py

static/staticfiles.json: $(VENV)/runtime $(shell find convstore/static -type f 2>/dev/null)
	@$(BIN)/python manage.py collectstatic --noinput --verbosity 0
	@touch $@

$(VENV)/python:
	@sh scripts/make-venv $(VENV)
	@touch $@

$(VENV)/runtime: $(VENV)/python requirements.txt
	@echo "Installing what the service needs into $(VENV) ..."
	@$(BIN)/pip install --quiet --requirement requirements.txt
	@touch $@

$(VENV)/dev: $(VENV)/runtime requirements-dev.txt
	@echo "Installing what development needs into $(VENV) ..."
	@$(BIN)/pip install --quiet --requirement requirements-dev.txt
	@touch $@

.venv-clients/installed: requirements-clients.txt
	@sh scripts/make-venv .venv-clients
	@echo "Installing other V2 clients, for the tests, into .venv-clients ..."
	@.venv-clients/bin/pip install --quiet --requirement requirements-clients.txt
	@touch $@

clean:
	rm -rf $(VENV) .venv-clients static .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

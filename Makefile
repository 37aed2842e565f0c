# serve, mlserver, wheel, image, test, test-fast, soak, lint, format, bench, bench-admin, bench-lists,
# bench-sizes, replay, screenshots: each sets up what it needs.

VENV = .venv
IMAGE = convstore
BIN = $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: serve mlserver wheel image test test-fast soak lint format bench bench-admin bench-lists bench-sizes replay screenshots clean

serve: $(VENV)/runtime
	@exec $(BIN)/python -m convstore serve

# The same memories as an MLServer runtime, on MLServer's ports: REST 8080, gRPC 8081, metrics 8082.
mlserver: .venv-mlserver/installed
	@[ -e .venv-mlserver/installed ] || exit 1; \
	models=models; [ -d models ] || models=memory_api/default_models; \
	exec env MLSERVER_HOST=$${MLSERVER_HOST:-127.0.0.1} .venv-mlserver/bin/mlserver start "$${MODELS_DIR:-$$models}"

# The package, in dist: pip install dist/convstore-*.whl gives the command convstore.
wheel: $(VENV)/runtime
	@rm -rf build dist
	@$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	@rm -rf build convstore.egg-info
	@echo dist/*.whl

# The image of both doors: with docker where its daemon answers, else with buildah.
image:
	@if docker info >/dev/null 2>&1; then docker build $(IMAGE_FLAGS) --tag $(IMAGE) .; \
	else buildah build --format docker $(IMAGE_FLAGS) --tag $(IMAGE) .; fi

JAVASCRIPT = tests/acceptance/clients/javascript

# A file is one worker's, and the slowest begin.
PYTEST = $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

# All that this machine can run: three at once, which keep two cores busy, since many wait.
test: $(VENV)/dev .venv-mlserver/installed .venv-clients/installed .venv-agents/installed \
		.venv-media/installed \
		tests/browser/node_modules/installed $(JAVASCRIPT)/node_modules/installed
	@$(PYTEST) --numprocesses 3

# What is quick and needs nothing but Python and SQLite: no MLServer, browser, other client, image
# or server.
test-fast: $(VENV)/dev
	@TEST_DATABASES=sqlite $(PYTEST) --numprocesses 2 --fast

# The long proofs at length: each is a short one in `make test`, or left out there.
soak: $(VENV)/dev .venv-mlserver/installed .venv-clients/installed .venv-agents/installed \
		.venv-frameworks/installed .venv-media/installed \
		tests/browser/node_modules/installed $(JAVASCRIPT)/node_modules/installed
	@SOAK=1 $(BIN)/python -m pytest --verbose --durations=20

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# How fast, beside what is written by hand, the original and other libraries: in about half an hour.
# WHAT=http,peers measures these parts only.
bench: $(VENV)/dev .venv-mlserver/installed
	@$(BIN)/python -m benchmarks --what "$(WHAT)" $(BENCH_FLAGS)

# How the admin's pages do with 2,000,000 messages, beside a small database.
bench-admin: $(VENV)/dev
	@$(BIN)/python -m benchmarks.admin

# How lists of conversations and pages of items do with 1,000,000 of them, beside 100.
bench-lists: $(VENV)/dev
	@$(BIN)/python -m benchmarks.lists

# How many bytes a message takes in each database, and what partitions cost.
bench-sizes: $(VENV)/dev
	@$(BIN)/python -m benchmarks.sizes

# The pictures of the admin in docs/images. They need a font with Chinese letters, such as
# fonts-noto-cjk of Debian.
screenshots: $(VENV)/dev .venv-media/installed
	@$(BIN)/python -m tests.browser.screenshots

# 7,168 real conversations through the running service, read back and compared.
replay: $(VENV)/dev
	@$(BIN)/python -m benchmarks.replay

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

# Where there is no Python that MLServer or the clients can use, their tests are left out.
.venv-mlserver/installed: requirements-mlserver.txt requirements.txt
	@if sh scripts/make-venv .venv-mlserver 3.12; then \
	    echo "Installing MLServer, and what the store needs beside it, into .venv-mlserver ..." && \
	    .venv-mlserver/bin/pip install --quiet --requirement requirements-mlserver.txt && \
	    touch $@; \
	fi

.venv-clients/installed: requirements-clients.txt
	@if sh scripts/make-venv .venv-clients 3.12; then \
	    echo "Installing other V2 clients, for the tests, into .venv-clients ..." && \
	    .venv-clients/bin/pip install --quiet --requirement requirements-clients.txt && \
	    touch $@; \
	fi

.venv-agents/installed: requirements-agents.txt requirements.txt
	@if sh scripts/make-venv .venv-agents; then \
	    echo "Installing OpenAI's Agents SDK and FastAPI, for the tests, into .venv-agents ..." && \
	    .venv-agents/bin/pip install --quiet --requirement requirements-agents.txt && \
	    touch $@; \
	fi

.venv-frameworks/installed: requirements-frameworks.txt requirements.txt
	@if sh scripts/make-venv .venv-frameworks; then \
	    echo "Installing other frameworks for agents, for make soak, into .venv-frameworks ..." && \
	    .venv-frameworks/bin/pip install --quiet --requirement requirements-frameworks.txt && \
	    touch $@; \
	fi

# No environment: packages whose photos and audio the tests need, laid out as files.
.venv-media/installed: $(VENV)/python requirements-media.txt
	@echo "Installing photos and audio, for the tests, into .venv-media ..."
	@rm -rf .venv-media
	@$(BIN)/pip install --quiet --no-deps --no-compile --target .venv-media --requirement requirements-media.txt
	@touch $@

tests/browser/node_modules/installed: tests/browser/package.json
	@if command -v npm >/dev/null; then \
	    echo "Installing axe-core, for the tests, into tests/browser/node_modules ..." && \
	    npm install --prefix tests/browser --no-package-lock --no-audit --no-fund >/dev/null && \
	    touch $@; \
	else echo "npm was not found: tests in a browser are left out."; fi

$(JAVASCRIPT)/node_modules/installed: $(JAVASCRIPT)/package.json
	@if command -v npm >/dev/null; then \
	    echo "Installing OpenAI's SDK for JavaScript, for the tests, into $(JAVASCRIPT)/node_modules ..." && \
	    npm install --prefix $(JAVASCRIPT) --no-package-lock --no-audit --no-fund >/dev/null && \
	    touch $@; \
	else echo "npm was not found: the test of OpenAI's SDK for JavaScript is left out."; fi

clean:
	rm -rf $(VENV) .venv-agents .venv-bench* .venv-clients .venv-frameworks .venv-media .venv-mlserver tests/browser/node_modules dist
	rm -rf $(JAVASCRIPT)/node_modules
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

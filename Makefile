PYTHON ?= python3
PORT ?= 8000
PRESET ?= dcgan-mnist
PART ?= -m "not slow and not long"
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
# in the order of tests/conftest.py, the longest files first
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
HAS_GPU := nvidia-smi > /dev/null 2>&1
TORCH_CPU := https://download.pytorch.org/whl/cpu
HAS_NODE := command -v npm > /dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'

.PHONY: serve test test-slow training train bench portraits lint lint-page types format format-page audit sbom clean

serve: $(VENV)/.serve  ## the service on PORT, with the generator that ships
	GAN_PORT=$(PORT) exec $(BIN)/python -m app

test: $(VENV)/.dev  ## what can be tried in a few minutes: each law, mostly in a short form
	$(PYTEST) $(PART)

test-slow: $(VENV)/.dev  ## all the rest that needs no GPU: the page in a browser, kills, floods, long runs (up to an hour)
	$(PYTEST) -m "slow or long"

training: $(VENV)/.train  ## what training needs, beside what `make serve` installs

train: $(VENV)/.train  ## a generator from the official files of PRESET; the same again resumes
	$(BIN)/python -m model.training train --preset $(PRESET) $(ARGS)

bench: $(VENV)/.bench  ## the tables of the README, with the peers that are installed
	$(BIN)/python -m benchmarks $(ARGS)

portraits: $(VENV)/.bench  ## the explorer's pictures in docs/pictures, by a Chromium that is installed
	$(BIN)/python -m benchmarks.page --pictures docs/pictures

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@if $(HAS_NODE); then $(MAKE) --no-print-directory lint-page; \
		else echo "npm with Node.js 20 or newer is not here: the page's lint is skipped"; fi

lint-page: node_modules/.package-lock.json docs/examples/node_modules/.package-lock.json
	npm run --silent lint

types: $(VENV)/.dev
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@if $(HAS_NODE); then $(MAKE) --no-print-directory format-page; fi

format-page: node_modules/.package-lock.json
	npm run --silent format

audit: $(VENV)/.audit  ## known vulnerabilities of what is installed; asks the public database
	$(BIN)/pip-audit --strict --skip-editable --progress-spinner off

sbom: $(VENV)/.audit  ## all that is installed, with versions and licences, as CycloneDX
	$(BIN)/cyclonedx-py environment $(BIN)/python --output-reproducible -o sbom.json

clean:
	rm -rf $(VENV) node_modules docs/examples/node_modules benchmarks/peers/node/node_modules sbom.json *.egg-info build dist .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; say PYTHON=... to name one"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# PyTorch only where a GPU is to be used: without it some 70 MB are downloaded, with it 3 GB
$(VENV)/.serve: pyproject.toml constraints.txt | $(BIN)/python
	@if $(HAS_GPU); then \
		echo "installing the service and, for the GPU, PyTorch into $(VENV): 3 GB, minutes"; \
		$(INSTALL) -e '.[gpu]'; \
	else \
		echo "installing the service into $(VENV): 70 MB, less than a minute"; \
		$(INSTALL) -e .; \
	fi
	@touch $@

$(VENV)/.bench: $(VENV)/.dev benchmarks/requirements.txt
	$(INSTALL) -r benchmarks/requirements.txt
	@touch $@

# 600 MB, without which some checks are skipped
$(VENV)/.scale: $(VENV)/.dev tests/scale.txt
	$(INSTALL) -r tests/scale.txt
	@touch $@

$(VENV)/.audit: $(VENV)/.dev
	$(INSTALL) -e '.[audit]'
	@touch $@

# without a GPU PyTorch's build for CPUs, of a tenth of the size, if its index can be reached
$(VENV)/.train: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing what training needs into $(VENV): minutes"
	@$(HAS_GPU) || $(BIN)/python -c 'import torch' 2> /dev/null || \
		$(INSTALL) --retries 1 --timeout 30 --no-deps --index-url $(TORCH_CPU) torch 2> /dev/null || \
		echo "$(TORCH_CPU) does not answer: PyTorch comes from where the rest does"
	$(INSTALL) -e '.[train]'
	@touch $@ $(VENV)/.serve

$(VENV)/.dev: $(VENV)/.train
	$(INSTALL) -e '.[train,dev]'
	@touch $@

node_modules/.package-lock.json: package.json package-lock.json
	npm ci
	@touch $@

docs/examples/node_modules/.package-lock.json: docs/examples/package.json docs/examples/package-lock.json
	npm ci --prefix docs/examples  # tests/test_examples.py runs and compiles them
	@touch $@

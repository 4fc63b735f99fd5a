# Two commands on a fresh machine: `make demo` and `make test`. Only Python 3.11+ and make are needed.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -p no:cacheprovider
VERSIONS := $(BIN)/python -c 'import platform, jax; print("Python", platform.python_version(), "jax", jax.__version__)'
BEAM ?= .venv-beam
SHARED ?= ../shared
DATA ?= data/mocap

# Huge pages: fewer page faults in CPU training on Linux; ignored elsewhere.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.PHONY: help demo test test-fast test-long test-beam format mocap-data clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(BIN)/.train: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(BIN)/.dev: $(BIN)/.train requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: $(BIN)/.train  ## pretrain on synthetic people (3 minutes on 2 cores) and draw the result
	$(BIN)/python -m dstformer_jax.data.prepare --dataset=synthetic --name=demo --heading=60 --data_dir=data
	$(BIN)/python -m dstformer_jax.main --config=configs/pretrain.py:demo --workdir=runs/demo
	$(BIN)/python -m dstformer_jax.show --workdir=runs/demo --output=runs/demo/pictures

test: $(BIN)/.dev  ## format, lint, types and the fast tests (under 10 minutes)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	@$(MAKE) --no-print-directory test-fast

test-fast: $(BIN)/.dev  ## the fast tests alone; another Python: make test-fast VENV=.venv312 PYTHON=python3.12
	@$(VERSIONS)
	$(PYTEST) -n 2

test-long: $(BIN)/.dev  ## the slow tests
	@$(VERSIONS)
	$(PYTEST) -n 2 -m long

$(BEAM)/bin/.beam: requirements.txt requirements-beam.txt
	$(PYTHON) -m venv $(BEAM)
	$(BEAM)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-beam.txt
	@touch $@

test-beam: $(BEAM)/bin/.beam  ## data prepared by Apache Beam, in an environment of its own
	$(BEAM)/bin/python -c 'import apache_beam'
	$(BEAM)/bin/python -m pytest -p no:cacheprovider tests/datasets/test_beam.py

format: $(BIN)/.dev  ## formats and fixes what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

mocap-data: $(BIN)/.train  ## prepares the BVH and OpenPose folders below SHARED for pretrain.py:mocap
	PYTHON=$(BIN)/python launch/prepare_mocap.sh $(SHARED)/data $(DATA)

clean:  ## removes the environment and everything that runs made
	rm -rf $(VENV) .venv312 $(BEAM) data runs build *.egg-info

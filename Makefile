# make demo: set up, segment a real brain scan, show where the report is.   make test: set up, check, test.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: install demo test lint types contracts unit test-containers clean lock audit

install: $(VENV)/.installed

# Everything is pinned in constraints.txt; pyproject.toml declares the ranges that are supported.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,dev]'
	touch $@

demo: install
	$(BIN)/python -m benchmarks.demo.run --output demo

test: lint types contracts unit

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

contracts: install
	$(BIN)/lint-imports

unit: install
	$(BIN)/pytest --ignore=tests/containers

# The image, Apptainer and SLURM: minutes. What can't be had on this machine is named in the last line.
test-containers: install
	$(BIN)/pytest --verbose tests/containers

# What users install by hash, and of it what torch needs for CUDA; needs uv.
CUDA := (cuda|nvidia|triton)[a-z0-9-]*==[^ ]+
lock:
	uv pip compile pyproject.toml --constraint constraints.txt --generate-hashes --python-version 3.11 \
	  --quiet --custom-compile-command "make lock" --output-file requirements.lock
	{ echo "# Made by 'make lock', on top of constraints.txt: torch without a local version such as +cpu, and its CUDA wheels."; \
	  sed -nE 's/^($(CUDA)).*/\1/p; s/^torch==([^ ]+).*/torch===\1/p' requirements.lock; } > docker/constraints-cuda.txt

audit:
	$(PYTHON) .ci/audit.py

clean:
	rm -rf $(VENV) demo runs

# Everything happens in an environment of its own, .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := checkpoints/demo
KERNEL_TESTS := $(addprefix tests/,kernels/test_kernels.py kernels/test_vector_product.py network training/test_loop.py generation/test_generate.py)

.PHONY: help demo network test test-avx2 check static format clean

help:
	@echo "make demo    train on the plays that ship, two minutes, then print a sample"
	@echo "make test    run the tests"
	@echo "make test-avx2   those of the kernels and the network, compiled without AVX-512"
	@echo "make network make the network that ships again, to the same bytes"
	@echo "make check   format, lint, types, import contract, tests"

$(BIN)/charrnn: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.version_info < (3, 11) and sys.exit(f"charrnn needs Python 3.11 or newer, this is {v}; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev: $(BIN)/charrnn
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(BIN)/charrnn
	@if [ -e $(DEMO)/last.safetensors ]; then \
	  $(BIN)/charrnn train --resume $(DEMO); \
	else \
	  $(BIN)/charrnn train --for 2m --out $(DEMO); \
	fi
	@echo
	$(BIN)/charrnn sample $(DEMO) --temperature 0.5 --seed 1 --prime "TAMSIN:"

network: $(BIN)/charrnn
	$(BIN)/charrnn train data/plays.txt --hidden 160 --epochs 45 --out checkpoints/network
	cp checkpoints/network/best.safetensors checkpoints/plays.safetensors

test: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses 2

test-avx2: $(VENV)/dev
	CHARRNN_SIMD=avx2 $(BIN)/python -m pytest --numprocesses 2 $(KERNEL_TESTS)

static: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: static test

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist

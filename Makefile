# Everything happens in an environment of its own, .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DOORS ?= .venv-doors
DEMO := checkpoints/demo
KERNEL_TESTS := $(addprefix tests/,kernels/test_kernels.py kernels/test_vector_product.py network training/test_loop.py generation/test_generate.py)
# those of the last four are skipped by `make test`, for want of Chromium or PyTorch
DOOR_TESTS := $(addprefix tests/,doors \
  reporting/test_report.py::test_a_browser_shows_it \
  reporting/test_units_page.py::test_a_browser_colors_the_text_by_any_unit \
  checkpoint/test_trained.py::test_the_program_of_the_page_computes_what_we_do \
  bench/test_measure.py::test_against_pytorch_itself)
PIP := -m pip install --quiet --disable-pip-version-check
NEW_ENOUGH = @$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.version_info < (3, 11) and sys.exit(f"charrnn needs Python 3.11 or newer, this is {v}; try: make PYTHON=python3.12")'

.PHONY: help demo network test test-avx2 test-doors check static format dist clean

help:
	@echo "make demo    train on the plays that ship, two minutes, then print a sample"
	@echo "make test    run the tests"
	@echo "make test-avx2   those of the kernels and the network, compiled without AVX-512"
	@echo "make test-doors  the tests that need other programs: PyTorch, onnxruntime, openai, MPI, Optuna, Chromium"
	@echo "make network make the network that ships again, to the same bytes"
	@echo "make dist    build the wheel and the source distribution in dist, twice, and compare"
	@echo "make check   format, lint, types, import contract, tests"

$(BIN)/charrnn: pyproject.toml
	$(NEW_ENOUGH)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --editable .
	@touch $@

$(VENV)/dev: $(BIN)/charrnn
	$(BIN)/python $(PIP) --editable '.[dev]'
	@touch $@

$(DOORS)/ready: pyproject.toml tests/doors/requirements.txt
	$(NEW_ENOUGH)
	$(PYTHON) -m venv $(DOORS)
	$(DOORS)/bin/python $(PIP) --requirement tests/doors/requirements.txt
	@touch $@

$(VENV)/build: $(BIN)/charrnn
	$(BIN)/python $(PIP) build twine
	@touch $@

demo: $(BIN)/charrnn
	@if [ -e $(DEMO)/last.safetensors ]; then \
	  $(BIN)/charrnn train --resume $(DEMO); \
	else \
	  $(BIN)/charrnn train --for 2m --networks 1 --out $(DEMO); \
	fi
	@echo
	$(BIN)/charrnn sample $(DEMO) --temperature 0.5 --seed 1 --prime "TAMSIN:"

network: $(BIN)/charrnn
	$(BIN)/charrnn train data/plays.txt --hidden 160 --attention 0 --epochs 45 --out checkpoints/network
	cp checkpoints/network/best.safetensors checkpoints/plays.safetensors

test: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses 2

test-avx2: $(VENV)/dev
	CHARRNN_SIMD=avx2 $(BIN)/python -m pytest --numprocesses 2 $(KERNEL_TESTS)

# A test that is skipped fails this run, so the browser has to be there.
test-doors: $(DOORS)/ready
	$(DOORS)/bin/python -m tests.reporting.browser || tests/doors/install-chromium
	CHARRNN_DOORS=1 $(DOORS)/bin/python -m pytest $(DOOR_TESTS)

static: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: static test

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

dist: $(VENV)/build
	rm -rf dist build/again
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m build --outdir build/again >/dev/null
	diff -r dist build/again
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) $(DOORS) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist

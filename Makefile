# Works on a machine that has only Python (3.11 to 3.13) and make: every target installs what it needs, once.
PYTHON ?= python3
BIN := .venv/bin
CORE := .venv/.core
READY := .venv/.ready

.PHONY: demo test test-all check style types layers bench ship web docs clean

demo: $(CORE)  ## Segment the sample images and say where the pictures are.
	$(BIN)/dinocell segment samples -o demo_output --overwrite
	@echo "Look at demo_output/*_overlay.png"

# On all cores; the tests of one file share what they prepare, so they stay together.
PARALLEL := -n auto --dist loadfile

test: $(READY)  ## The quick tests.
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-all: $(READY)  ## Every test, and hypothesis looks for new examples.
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest $(PARALLEL)

check: style types layers  ## Style, types, layers; `make -j2 check` looks at them side by side.

style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

bench: $(READY)  ## Measurements; see benchmarks/.
	$(BIN)/python benchmarks/upper_bound.py
	$(BIN)/python benchmarks/diameter.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/resume.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/batch.py --images 200
	$(BIN)/python benchmarks/fuzz.py
	$(BIN)/python benchmarks/large.py
	$(BIN)/python benchmarks/synthesis.py
	$(BIN)/python benchmarks/clicks.py
	$(BIN)/python benchmarks/speed.py

ship: $(READY)  ## Put the weights of a training into the package, and rebuild all that hangs on them: MODEL=RUN.
	$(BIN)/python benchmarks/ship.py $(MODEL) $(OPTIONS)

web:  ## The page of dinocell serve, from page/ into the package; needs Node.js.
	cd page && npm ci && npm run build

docs: $(READY)  ## The site of docs/, in site/.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "Open site/index.html"

clean:
	rm -rf .venv demo_output site

# What running needs, and no more; then, into the same environment, all that tests and changes need.
$(CORE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "DINOCell needs Python 3.11 to 3.13; choose one with make PYTHON=python3.12")'
	@echo "Installing DINOCell into .venv, once: some 200 MB."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $(CORE)

$(READY): $(CORE)
	@echo "Installing all extras and the test tools into .venv: some minutes, once. PyTorch is the largest part."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

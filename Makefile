# make test    everything CI checks        make demo    the whole road on a simulated scene
# make test-slow, make test-gpu, make bench, make coverage: what is too long, or needs hardware
PYTHON ?= python3
BIN := .venv/bin

.PHONY: test coverage test-slow test-gpu demo bench lint clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A process a core, each with one thread.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

coverage: .venv/installed
	$(BIN)/pytest --cov --cov-report=term:skip-covered

test-slow: .venv/installed
	$(BIN)/pytest -m slow

test-gpu: .venv/installed
	$(BIN)/pytest -m gpu

demo: .venv/installed
	$(BIN)/python examples/demo.py

bench: .venv/installed
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage dist demo

# make test    everything CI checks        make demo    the whole road on a simulated scene
# make test-slow, make test-gpu, make torture, make bench, make coverage: what is too long, or needs hardware
# make audit, make sbom: known vulnerabilities of the dependencies (asks the internet), and their list
PYTHON ?= python3
BIN := .venv/bin

.PHONY: test coverage test-slow test-gpu torture audit sbom demo bench lint clean

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
	$(BIN)/pytest -m slow --ignore=tests/torture --ignore=tests/hostile

test-gpu: .venv/installed
	$(BIN)/pytest -m gpu

# Hours: JSPSR_TORTURE_MOMENTS (50), JSPSR_TORTURE_SECONDS (3600); JSPSR_TORTURE_SEED repeats a failure.
torture: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow tests/torture tests/hostile -s

.venv-audit/installed:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0
	touch $@

# --strict: what could not be asked about is a failure.
audit: .venv-audit/installed
	.venv-audit/bin/pip-audit --strict -s osv --no-deps --disable-pip -r constraints.txt

sbom: .venv-audit/installed
	mkdir -p dist
	.venv-audit/bin/cyclonedx-py requirements constraints.txt --pyproject pyproject.toml --output-reproducible --no-validate -o dist/sbom.json

demo: .venv/installed
	$(BIN)/python examples/demo.py

bench: .venv/installed
	$(BIN)/python benchmarks/forward.py
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/others.py
	$(BIN)/python benchmarks/training.py

clean:
	rm -rf .venv .venv-audit .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage dist demo

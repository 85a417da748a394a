# `make demo`: install and run the main job on bundled photos.  `make test`: every test.
# `make check`: before every commit: all tests that are quick.  `make ci`: all but the slow ones.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DEMO := runs/demo/artifacts
# Two processes of one thread each: with more, the processes would wait for each other's. Files in the order of conftest.py.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
# Lint, types and tests at once.
MAKEFLAGS += --jobs=3

.PHONY: demo test ci check lint types every-test but-slow-tests quick-tests clean

# In a store of its own: its model is minutes old, and must not be what `clc compress` codes with from then on.
demo: $(INSTALLED)
	$(BIN)/python -m pipelines.rebuild --profile demo --store $(DEMO)
	@echo "All of it is in $(DEMO), apart from your own artifacts: clc compress photo.png --store $(DEMO)"
	@echo "Without --store, clc compress goes on coding with the model that comes with CLC, which is far better trained."

test: lint types every-test
ci: lint types but-slow-tests
check: lint types quick-tests

every-test: $(INSTALLED)
	$(PYTEST)

but-slow-tests: $(INSTALLED)
	$(PYTEST) -m "not slow"

quick-tests: $(INSTALLED)
	$(PYTEST) -m "not slow and not medium"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

clean:
	rm -rf .venv .prefect runs reports build dist

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

# Two commands do everything on a fresh machine with Python >= 3.11: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Threads that soon sleep instead of spinning: several times faster on a busy machine.
export GOMP_SPINCOUNT ?= 1000

.PHONY: demo test speed lint browser clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python >= 3.11 is needed; name one: make PYTHON=python3.12 demo"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[embedded,test,lint,tensorboard]'
	touch $@

demo: $(STAMP)
	$(BIN)/bench run

test: $(STAMP)
	$(BIN)/python -m pytest -m "not browser and not gpu"

browser: $(STAMP)
	$(BIN)/python -m pytest -m browser tests/browser

speed: $(STAMP)
	$(BIN)/python -m pytest tests/speed --benchmark-enable --benchmark-only

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy bench
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

# Two commands do everything on a fresh machine with Python >= 3.11: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CLUSTERS := $(VENV)/.clusters
QUICK := not browser and not gpu and not slow and not nightly and not slurm and not ray

# Freed memory is kept for the next tensor, not given back to the system and fetched anew.
export MALLOC_MMAP_THRESHOLD_ ?= 1073741824
export MALLOC_TRIM_THRESHOLD_ ?= 1073741824

.PHONY: demo test study recipes docs coverage slow clusters dist lowest pythons nightly faults scale-images \
	speed gpu-check gate-record lint mypy browser hooks clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python >= 3.11 is needed; name one: make PYTHON=python3.12 demo"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[embedded,s3,test,lint,docs,tensorboard]'
	touch $@

demo: $(STAMP)
	$(BIN)/bench run

# docs/results.md from the trained models. Yosemite is fetched, or taken from DATA=FOLDER; a run that
# was interrupted goes on.
STUDY ?= runs/study
study: $(STAMP)
	$(BIN)/bench run suites/study.toml $(if $(DATA),--data-root yosemite=$(DATA)) --out $(STUDY) \
		$(if $(wildcard $(STUDY)/suite.toml),--resume)
	$(BIN)/python -m suites.study $(STUDY)

# docs/recipes.md: nine trainings of ten to fifteen minutes of a core (three in bf16, longer without AMX).
RECIPES ?= runs/recipes
recipes: $(STAMP)
	$(BIN)/bench run suites/recipes.toml --out $(RECIPES) $(if $(wildcard $(RECIPES)/suite.toml),--resume)
	$(BIN)/python -m suites.recipes $(RECIPES)

# The site in site/, to be read from files or from a server; every warning is an error. Its gallery
# shows a run that is made once.
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(STAMP)
	test -e runs/gallery/DONE || $(BIN)/bench run docs/_site/gallery.toml --out runs/gallery \
		$(if $(wildcard runs/gallery/suite.toml),--resume)
	$(BIN)/mkdocs build --quiet
	$(BIN)/python -m pytest -q tests/docs/check_site.py

# One test beside another, each on one thread: small tensors gain nothing from a second. The slowest are
# named, because all of them are to take few minutes.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 -m "$(QUICK)" --durations=12 --durations-min=5

# Which lines and branches the tests of `make test` reach, worker processes too: htmlcov/index.html.
coverage: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 \
		-m "$(QUICK)" --cov --cov-report=term --cov-report=html

# Promises that take more than about ten seconds each: kill and resume, poisoned caches, wheels.
slow: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 -m "slow and not browser and not gpu"

$(CLUSTERS): $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[ray,slurm]'
	touch $@

# Trials on a real Slurm and a real Ray of this machine; Slurm's packages come from the system.
clusters: $(CLUSTERS)
	$(BIN)/python -m pytest -m "slurm or ray" tests/launchers

# The wheel and the sdist, in dist/.
dist: $(STAMP)
	rm -rf build/lib dist
	$(BIN)/python -m build --outdir dist .

# The quick tests with the lowest versions that pyproject.toml allows; with the newest on the other
# Pythons of this machine. Each in an environment of its own below ENVS.
ENVS ?= build/envs
TRIED := [embedded,s3,test,tensorboard]
UV = $(BIN)/python -m uv
lowest: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt uv
	$(UV) venv --quiet --clear --python $(BIN)/python $(ENVS)/lowest
	$(UV) pip install --quiet --python $(ENVS)/lowest --resolution lowest-direct -e '.$(TRIED)'
	OMP_NUM_THREADS=1 $(ENVS)/lowest/bin/python -m pytest -n auto --maxprocesses 8 -m "$(QUICK)"

pythons: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt uv
	for version in 3.11 3.12 3.13; do \
		$(UV) venv --quiet --clear --no-python-downloads --python $$version $(ENVS)/$$version || \
			{ echo "Python $$version is not here: not tried"; continue; }; \
		$(UV) pip install --quiet --python $(ENVS)/$$version -c constraints.txt -e '.$(TRIED)' && \
		OMP_NUM_THREADS=1 $(ENVS)/$$version/bin/python -m pytest -n auto --maxprocesses 8 \
			-m "$(QUICK)" || exit 1; \
	done

# What takes minutes: oracles of whole datasets, trainings that must learn, faults, other versions, and
# every speed run.
nightly: $(STAMP)
	$(BIN)/python -m pytest -m "nightly and not browser and not gpu and not slurm and not ray"
	$(MAKE) faults
	$(MAKE) lowest
	$(MAKE) pythons
	$(MAKE) speed

# Hundreds of faults, each with its promise; the tables of docs/reliability.md are made from them.
faults: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.campaign --jobs 2

browser: $(STAMP)
	$(BIN)/python -m pytest -m browser tests/browser

scale-images: $(STAMP)
	$(BIN)/python -m tests.scale_images --docs docs/datasets.md

# Times of steps, translations, scoring and the page; in .benchmarks/ for pytest-benchmark compare, and
# as the tables of docs/performance.md.
speed: $(STAMP)
	mkdir -p build
	$(BIN)/python -m pytest tests/speed --benchmark-enable --benchmark-only --benchmark-autosave \
		--benchmark-json=build/speed.json
	$(BIN)/python -m tests.speed.page build/speed.json

# docs/performance-gpu.md in ten minutes; without a GPU its course on tiny shapes, and no figure.
gpu-check: $(STAMP)
	$(BIN)/python -m tests.gpu.check

# What tests/gate compares: exact costs of steps, translations, caches and imports.
gate-record: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.gate.costs > tests/gate/recorded.new
	mv tests/gate/recorded.new tests/gate/recorded.json

lint: $(STAMP) mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

mypy: $(STAMP)
	$(BIN)/mypy bench methods datasets reports suites

# Checks before each commit, by the tools of .venv: nothing is fetched.
hooks: $(STAMP)
	$(BIN)/pre-commit install

clean:
	rm -rf $(VENV) build dist site htmlcov .coverage* *.egg-info .mypy_cache .pytest_cache .ruff_cache

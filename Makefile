# Needs python3 (3.10 or later) and make; no server and no root.
# Another Python: make test PYTHON=python3.12

PYTHON ?= python3
# Tests at the same time (most of them wait most of the time); 1 for a debugger or the output of a test: make test JOBS=1 ARGS="-s tests/unit"
JOBS   ?= 4
# The Celery of test-core; celery-suite takes several: CELERY="5.5 5.6 5.7"
CELERY ?= 5.5
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/installed.stamp
CODE   := celery_graceful tests docs/conf.py $(wildcard benchmarks example_project)
TYPED  := celery_graceful tests $(if $(wildcard benchmarks/*.py),benchmarks)
# The Django of test-django; 6.0 needs Python 3.12: make test-django DJANGO=6.0 PYTHON=python3.12
DJANGO ?= 4.2
CORE   := .tox/core-celery$(CELERY)
ORM    := .tox/django$(DJANGO)
SUITES := $(foreach v,$(CELERY),.tox/suite-celery$(v)/installed.stamp)
BESIDE  = $(if $(filter-out 0 1,$(JOBS)),-n $(JOBS) --dist worksteal)

# Where bytecode is not kept, each process of a test run compiles all of it again, 8 s of processor time.
test test-all test-core test-django fuzz lives chaos: export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help editor demo demo-django test test-all test-core test-django celery-suite fuzz lives chaos corpus lint docs bench release-check clean

help:  ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 21

editor: $(READY)  ## set up an editor and git: the environment in .venv, and the checks of each commit
	$(BIN)/pre-commit install

demo: $(READY)  ## run the main job on real input: stop it, kill it, prove that nothing is lost
	$(BIN)/celery graceful demo

demo-django: $(READY)  ## interrupt the import of a Django shop ten times, and compare it with a plain loop
	$(BIN)/python -m tests.shop $(ARGS)

test: $(READY)  ## run the tests, each case once; pick some with ARGS="tests/unit -k cursor"
	$(BIN)/python -m pytest $(BESIDE) $(ARGS)

test-all: $(READY)  ## run the whole matrix: every test on every broker, all combinations
	$(BIN)/python -m pytest $(BESIDE) --all $(ARGS)

test-core: $(CORE)/installed.stamp  ## run the core of the acceptance tests on another Celery: CELERY=5.6
	$(CORE)/bin/python -m pytest $(BESIDE) -m core tests/acceptance $(ARGS)

test-django: $(ORM)/installed.stamp  ## run the tests of sources.queryset on another Django: DJANGO=4.2
	$(ORM)/bin/python -m pytest $(BESIDE) $(or $(ARGS),tests/integration/sources/queryset)

celery-suite: $(READY) $(SUITES)  ## Celery's own tests with the plugin and without, compared: CELERY=5.7 BROKER=redis
	$(BIN)/python -m tests.celery_suite $(foreach v,$(CELERY),--python .tox/suite-celery$(v)/bin/python) \
		$(addprefix --broker ,$(BROKER)) $(ARGS)

fuzz: $(READY)  ## fuzz each decoder for a minute, other inputs each time; FUZZ=600 for ten minutes each
	GRACEFUL_FUZZ_SECONDS=$(or $(FUZZ),60) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/fuzz $(ARGS)

lives: $(READY)  ## random lives of runs on each store for a minute; LIVES=600 for ten minutes each
	GRACEFUL_LIVES_SECONDS=$(or $(LIVES),60) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -rP \
		tests/integration/stores/test_lives.py tests/unit/model/test_lives_in_memory.py $(ARGS)

chaos: $(READY)  ## strike real workers and servers at random; ARGS="--faults 50 --seed 7 --broker redis --atomic django"
	$(BIN)/python -m tests.chaos $(ARGS)

corpus: $(READY)  ## the doctor on public deployment files, which it fetches; ARGS="--from DIR" for files that are there
	$(BIN)/python -m tests.corpus $(ARGS)

lint: $(READY)  ## check style, format, types, the layers of the package, and plain words
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(TYPED)
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.words

docs: $(READY)  ## build the documentation into build/docs; a broken reference is an error
	$(BIN)/sphinx-build -E -W --keep-going --quiet -b html docs build/docs
	@echo "built build/docs/index.html"

bench: $(READY)  ## measure what the plugin costs
	$(BIN)/python -m benchmarks $(ARGS)

release-check: $(READY)  ## build what is published, check it, and run the demo from the wheel in an empty environment
	rm -rf build/release
	$(BIN)/python -m build --outdir build/release .
	$(BIN)/twine check --strict build/release/*
	$(BIN)/python -m zipfile -l build/release/*.whl >build/release/files.txt
	grep -q '^celery_graceful/py.typed ' build/release/files.txt
	! grep -Ev '^(File Name|celery_graceful[/-])' build/release/files.txt
	$(PYTHON) -m venv build/release/venv
	build/release/venv/bin/python -m pip install --quiet --disable-pip-version-check "$$(echo build/release/*.whl)[embedded,cli]"
	cd build/release && venv/bin/celery graceful demo

clean:  ## remove the environment and everything that was built
	rm -rf $(VENV) build dist .tox .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A new pyproject.toml makes a new environment.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or later is needed; '$(PYTHON)' is not. Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "==> making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV) || \
		{ echo "'$(PYTHON) -m venv' failed: on Debian and Ubuntu, install python3-venv."; exit 1; }
	@echo "==> installing celery-graceful and its tools"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,docs,release]'
	@touch $@

.tox/core-celery%/installed.stamp: pyproject.toml
	@echo "==> making $(@D) with $$($(PYTHON) --version) and Celery $*"
	@$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' 'celery[redis]==$*.*'
	@touch $@

.tox/django%/installed.stamp: pyproject.toml
	@echo "==> making $(@D) with $$($(PYTHON) --version) and Django $*"
	@$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' 'django==$*.*'
	@touch $@

# Each with the kombu of its time, whose limits on redis-py the tests need; those of 5.5 need pytest-subtests too.
.tox/suite-celery%/installed.stamp: pyproject.toml
	@echo "==> making $(@D) with $$($(PYTHON) --version), Celery and kombu $*"
	@$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' 'celery[redis]==$*.*' \
		'kombu==$*.*' 'pytest-subtests>=0.14'
	@touch $@

# Everything starts from a fresh machine: Python 3.11 or later, make, pip.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test check lint bench clean

demo: $(INSTALLED)
	$(BIN)/sweep run configs/quickstart.yaml

test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(WORKERS) tests

check: lint
	$(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow" tests

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/queue.py
	$(BIN)/python bench/prepare.py
	$(BIN)/python bench/trial.py
	@test -d $(BCCD) || echo "bench: no photos in $(BCCD); make bench BCCD=FOLDER to compare trainings"
	test ! -d $(BCCD) || $(BIN)/python bench/loader.py --photos $(BCCD)
	test ! -d $(BCCD) || $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	test ! -d $(BCCD) || $(BIN)/python bench/peers.py --bccd $(BCCD)

# The BCCD photos in COCO form: annotations.json and images/.
BCCD ?= ../shared/data/bccd

# One test process a core: every training in the tests has one thread.
WORKERS ?= auto

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(INSTALLED)

clean:
	rm -rf $(VENV)

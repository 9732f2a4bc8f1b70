# `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS_DONE := $(VENV)/.requirements-installed
PACKAGE_DONE := $(VENV)/.package-installed
PYTEST_ARGS ?=
# Two workers, of one thread each; a file stays with one of them, whose fixtures its tests share.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo test test-all lint need-folders student comparison bench fuzz screenshots clean
.DEFAULT_GOAL := help

help:
	@echo "make demo         segment a synthetic patient; CASE=folder for your own, MODALITIES=\"T2\" to choose the volumes,"
	@echo "                  STUDENT=file.safetensors for another network,"
	@echo "                  CONVENTION=brats2023 for labels whose numbers the names do not tell"
	@echo "make test         the tests that finish in minutes, in two processes; PYTEST_ARGS=... for pytest,"
	@echo "                  such as \"-n 0 Testing/core\" for one process and one room"
	@echo "make test-all     these and the slow ones"
	@echo "make lint         ruff check and format check"
	@echo "make student      train, score and describe the bundled network; TRAIN=folder TEST=folder of cases"
	@echo "make comparison   train and score recipes side by side, or systems with LINES=systems;"
	@echo "                  TRAIN=folder TEST=folder of cases, goes on where it was when called again"
	@echo "make fuzz         open damaged files of every kind for MINUTES=5; goes on where it was, findings in fuzz/"
	@echo "make bench        time and memory of whole-case segmentation, CASE=folder for your own, and of training"
	@echo "make screenshots  pictures of the panels in each state, into Resources/Screenshots"
	@echo "make install      only the environment in $(VENV) (PYTHON=python3.12 to choose the interpreter)"
	@echo "make clean        remove $(VENV) and everything generated but trainings"

install: $(PACKAGE_DONE)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo "This needs Python 3.11, 3.12 or 3.13, and '$(PYTHON)' is not one: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(REQUIREMENTS_DONE): requirements.txt | $(BIN)/python
	$(BIN)/pip install --quiet "$$(grep '^torch==' requirements.txt)"
	$(BIN)/pip install --quiet -r requirements.txt
	@touch $@

$(PACKAGE_DONE): pyproject.toml $(REQUIREMENTS_DONE)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: install
	$(BIN)/python Scripts/demo.py $(if $(filter undefined,$(origin CASE)),,--case "$(CASE)") \
	    $(if $(MODALITIES),--modalities $(MODALITIES)) $(if $(STUDENT),--student "$(STUDENT)") \
	    $(if $(CONVENTION),--convention $(CONVENTION))

test: install
	$(PYTEST) $(PYTEST_ARGS)

test-all: install
	$(PYTEST) -m "slow or not slow" $(PYTEST_ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

student comparison: need-folders

need-folders:
	@test -n "$(TRAIN)" && test -n "$(TEST)" || { echo "Name the cases: TRAIN=folder TEST=folder" >&2; exit 2; }

student: install
	$(BIN)/python Scripts/bundled_student.py --train "$(TRAIN)" --test "$(TEST)"

comparison: install
	$(BIN)/python Scripts/compare_recipes.py --train "$(TRAIN)" --test "$(TEST)" $(if $(LINES),--lines "$(LINES)")

fuzz: install
	$(BIN)/pip install --quiet "hypothesis>=6.100"
	PYTHONPATH=Testing/helpers:Testing/tools:MissingModalityTrain OMP_NUM_THREADS=1 \
	    $(BIN)/python Testing/tools/fuzz.py $(if $(MINUTES),--minutes $(MINUTES))

bench: install
	$(BIN)/python Testing/tools/bench.py
	$(BIN)/python Testing/tools/bench_training.py

screenshots: install
	PYTHONPATH=Testing/helpers $(BIN)/python Testing/tools/screenshots.py Resources/Screenshots

clean:
	rm -rf $(VENV) demo build .pytest_cache .ruff_cache MissingModalityTrain/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS_DONE := $(VENV)/.requirements-installed
PACKAGE_DONE := $(VENV)/.package-installed
DOCS_DONE := $(VENV)/.docs-installed
# torch has several builds of one version (CPU, CUDA, ROCm), whose hashes differ: pip takes the one that it finds
# for this machine. Hashes of those in the public index are in requirements-torch.txt, for whoever wants them checked.
TORCH ?= "$$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements-torch.txt)"
# What only `make lock` and `make sbom` need, apart from the environment that they describe.
TOOLS := build/tools
TOOLS_DONE := $(TOOLS)/.installed
COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 \
    --generate-hashes --annotation-style line $(LOCK)
# What one build of torch alone brings: not for a machine that has another.
ONLY_TORCH := ^(torch|triton|cuda-[a-z0-9-]+|nvidia-[a-z0-9-]+)==
SBOM := build/sbom.json
PYTEST_ARGS ?=
# Two workers, of one thread each; a file stays with one of them, whose fixtures its tests share. Files are handed
# out in the order of conftest.py, not by their number of tests: few tests may take long.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo test test-all mutations lint docs need-folders student comparison sequence-check bench fuzz screenshots picture-check lock sbom clean
.DEFAULT_GOAL := help

help:
	@echo "make demo         segment a synthetic patient; CASE=folder for your own, MODALITIES=\"T2\" to choose the volumes,"
	@echo "                  RAW=1 for a synthetic patient with skull, own grids and movements between sequences,"
	@echo "                  STUDENT=file.safetensors for another network,"
	@echo "                  CONVENTION=brats2023 for labels whose numbers the names do not tell"
	@echo "make test         the tests that finish in minutes, in two processes; PYTEST_ARGS=... for pytest,"
	@echo "                  such as \"-n 0 Testing/core\" for one process and one room"
	@echo "make test-all     these and the slow ones"
	@echo "make mutations    whether the tests notice a library that is broken in one place; takes an hour or two,"
	@echo "                  ONLY=\"imaging/ losses\" for some"
	@echo "make lint         ruff check and format check"
	@echo "make docs         the documentation as a site, with the library's reference, in build/docs"
	@echo "make student      train, score and describe the bundled network; TRAIN=folder TEST=folder of cases"
	@echo "make sequence-check  train and describe the network that tells sequences apart; TRAIN=folder TEST=folder"
	@echo "make comparison   the study of synthesis, three seeds, or STUDY=table4 (missing-modality study --help lists them);"
	@echo "                  TRAIN=folder TEST=folder of cases, goes on where it was when called again"
	@echo "make fuzz         open damaged files of every kind for MINUTES=5; goes on where it was, findings in fuzz/"
	@echo "make bench        time and memory of whole-case segmentation, CASE=folder for your own, of training, evaluation,"
	@echo "                  networks and synthetic cases"
	@echo "make screenshots  pictures of README and tutorial, into Resources/Screenshots; ONLY=training for some,"
	@echo "                  CASE=folder of a real patient whose license allows a picture (README shows BraTS2021_01478)"
	@echo "make picture-check  contrast of all colors, and their differences with every kind of color vision"
	@echo "make install      only the environment in $(VENV) (PYTHON=python3.12 to choose the interpreter,"
	@echo "                  TORCH=\"--require-hashes --no-deps -r requirements-torch.txt\" for torch's public build, checked too)"
	@echo "make lock         requirements*.txt again, with hashes, from pyproject.toml; LOCK=--upgrade for newer versions"
	@echo "make sbom         what the environment consists of, as CycloneDX, in $(SBOM)"
	@echo "make clean        remove $(VENV) and everything generated but trainings and what fuzz found"

install: $(PACKAGE_DONE)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo "This needs Python 3.11, 3.12 or 3.13, and '$(PYTHON)' is not one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { \
	    rm -rf $(VENV); echo "'$(PYTHON)' cannot make environments (Debian, Ubuntu: apt install python3-venv)." >&2; exit 2; }

$(REQUIREMENTS_DONE): requirements.txt requirements-torch.txt requirements-stripping.txt | $(BIN)/python
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --require-hashes --no-deps -r requirements-stripping.txt
	@touch $@

$(PACKAGE_DONE): pyproject.toml $(REQUIREMENTS_DONE)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: install
	$(BIN)/python Scripts/demo.py $(if $(filter undefined,$(origin CASE)),,--case "$(CASE)") \
	    $(if $(MODALITIES),--modalities $(MODALITIES)) $(if $(STUDENT),--student "$(STUDENT)") \
	    $(if $(CONVENTION),--convention $(CONVENTION)) $(if $(RAW),--raw)

test: install
	$(PYTEST) $(PYTEST_ARGS)

test-all: install
	$(PYTEST) -m "slow or not slow" $(PYTEST_ARGS)

mutations: install
	$(BIN)/python Testing/tools/mutate.py $(if $(ONLY),--only $(ONLY))

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(DOCS_DONE): requirements-docs.txt $(REQUIREMENTS_DONE)
	$(BIN)/pip install --quiet --require-hashes -r requirements-docs.txt
	@touch $@

# -W: a link that leads nowhere, or a page that no index names, is an error
docs: install $(DOCS_DONE)
	$(BIN)/python -m sphinx -W --keep-going --quiet --conf-dir Resources/Docs/site . build/docs
	@echo "Open build/docs/index.html"

student comparison sequence-check: need-folders

need-folders:
	@test -n "$(TRAIN)" && test -n "$(TEST)" || { echo "Name the cases: TRAIN=folder TEST=folder" >&2; exit 2; }

student: install
	$(BIN)/python Scripts/bundled_student.py --train "$(TRAIN)" --test "$(TEST)"

sequence-check: install
	$(BIN)/python Scripts/sequence_check.py --train "$(TRAIN)" --test "$(TEST)"

comparison: install
	$(BIN)/python -m MissingModalityLib study $(or $(STUDY),synthesis) --data "$(TRAIN)" --test "$(TEST)" \
	    --output runs/studies --preset light --seeds $(or $(SEEDS),3)

fuzz: install
	PYTHONPATH=Testing/helpers:Testing/tools:MissingModalityTrain OMP_NUM_THREADS=1 \
	    $(BIN)/python Testing/tools/fuzz.py $(if $(MINUTES),--minutes $(MINUTES))

bench: install
	$(BIN)/python Testing/tools/bench.py
	$(BIN)/python Testing/tools/bench_training.py
	$(BIN)/python Testing/tools/bench_evaluation.py
	$(BIN)/python Testing/tools/bench_networks.py
	$(BIN)/python Testing/tools/bench_processes.py
	$(BIN)/python Testing/tools/bench_synthesis.py
	$(BIN)/python Testing/tools/bench_raw.py

screenshots: install
	PYTHONPATH=Testing/helpers $(BIN)/python Testing/tools/screenshots.py Resources/Screenshots \
	    $(if $(ONLY),--only $(ONLY)) $(if $(CASE),--case "$(CASE)")

picture-check: install
	PYTHONPATH=Testing/helpers $(BIN)/python Testing/tools/picture_check.py

$(TOOLS_DONE): requirements-tools.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --require-hashes -r requirements-tools.txt
	@touch $@

lock: $(TOOLS_DONE)
	echo torch | $(COMPILE) - --output-file requirements-torch.txt
	$(COMPILE) pyproject.toml --extra test --constraints requirements-torch.txt --output-file requirements.txt \
	    $$(grep -oE '$(ONLY_TORCH)' requirements-torch.txt | sed 's/\(.*\)==/--no-emit-package \1/')
	sed -n 's/^stripping = \["\(.*\)"\]$$/\1/p' pyproject.toml | $(COMPILE) --no-deps - --output-file requirements-stripping.txt
	sed -n 's/^docs = \[\(.*\)\]$$/\1/p' pyproject.toml | tr -d '" ' | tr , '\n' | \
	    $(COMPILE) - --constraints requirements.txt --output-file requirements-docs.txt
	printf '%s\n' cyclonedx-bom uv | $(COMPILE) - --output-file requirements-tools.txt

sbom: install $(TOOLS_DONE)
	$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	    --output-file $(SBOM) $(BIN)/python

clean:
	rm -rf $(VENV) demo build .pytest_cache .ruff_cache MissingModalityTrain/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

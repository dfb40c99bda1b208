# Each target makes .venv and installs what it needs by itself.
#   make demo              the whole node on this machine, against a stand-in PACS
#   make demo DATA=folder  the same with your own DICOM files
#   make demo KEEP=1       leave the node and its page running
#   make test              all tests (installs dcmtk, Orthanc, PostgreSQL if it may)
#   make check             lint, types, import contract
#   make bench             measure this machine
PYTHON ?=
VENV ?= .venv
DATA ?=
KEEP ?=
# Tests wait for their peers much of the time: more of them than cores.
WORKERS ?= 4
TESTS ?= tests
export VENV PYTHON

INPUTS := pyproject.toml constraints.txt scripts/install scripts/uv_settings.py

.PHONY: help install demo test check bench tools clean

help: ## Say what the targets do
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

install: $(VENV)/installed-core ## Make .venv and install the node

demo: $(VENV)/installed-demo ## The whole node against a stand-in PACS (DATA=folder: your files)
	@$(VENV)/bin/dicom-node demo $(if $(DATA),--data "$(DATA)") $(if $(KEEP),--keep)

test: $(VENV)/installed-test tools ## All tests (TESTS=path: some of them)
	@env -u PYTHONDONTWRITEBYTECODE $(VENV)/bin/python -m pytest \
	  -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
	  --durations 30 --durations-min 5 $(TESTS)

check: $(VENV)/installed-test ## Lint, types and the import contract
	@scripts/check

bench: $(VENV)/installed-test ## Measure receiving and inference on this machine
	@$(VENV)/bin/python -m benchmarks

tools:
	@scripts/tools

clean: ## Remove .venv and what tools leave behind
	rm -rf $(VENV) build dist demo-output *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed-%: $(INPUTS)
	@scripts/install $*
	@touch $@

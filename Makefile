# Everything a person needs: `make demo` and `make test`.  Needs git, make and Python >= 3.11.
VENV   ?= .venv
JOBS   ?= 2
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo setup test lint format bench pictures clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/run.ok ## set up, then open the TUI on kernels/flash_attn.py (without a terminal: its summary)
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/simcore tui kernels/flash_attn.py; else $(BIN)/simcore run kernels/flash_attn.py; fi

setup: $(VENV)/dev.ok ## create .venv with everything development needs

test: $(VENV)/dev.ok ## set up, then run the whole test suite (JOBS=2 processes)
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

lint: $(VENV)/dev.ok ## ruff and the type checker
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/dev.ok ## let ruff sort imports and mend what it can
	$(BIN)/ruff check --fix .

bench: $(VENV)/run.ok ## instructions/s of capture and simulate, bytes per instruction, and how they grow
	@$(BIN)/simcore bench $(ARGS)

pictures: $(VENV)/run.ok ## draw the README's pictures again
	$(BIN)/simcore roofline kernels/naive_attn.py kernels/flash_attn.py -o docs/pictures/roofline.png
	$(BIN)/simcore gantt kernels/flash_attn.py -o docs/pictures/flash.png
	$(BIN)/simcore tui kernels/flash_attn.py -o docs/pictures/tui.svg --size 120x36 --keys up,up,up,up,W,W,W,i,i,i,c

clean: ## remove .venv and caches
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "simcore needs Python 3.11 or later; none of python3, python3.11 ... is one. Name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.ok: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

# PyTorch is a reference in some tests, which skip without it.  Only a CPU build is taken, and only where pip
# already finds one ("+cpu"): the default build for Linux brings gigabytes of GPU libraries.
$(VENV)/dev.ok: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@$(BIN)/python -m pip install -q --disable-pip-version-check 'torch==2.13.0+cpu' 'transformers>=5,<6' 2>/dev/null \
		|| echo "no CPU build of PyTorch found: tests that compare with it will be skipped (pip install torch in $(VENV) to run them)"
	@touch $(VENV)/run.ok $@

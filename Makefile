# make demo   train a small voice on four invented singers, and let two of them sing Arirang
# make test   tests (without the slow ones), then lint
# make lint   ruff and mypy
# make clean  remove what the others made
#
# Each sets up .venv by itself, with the versions of constraints.txt. DEMO_TIME=30m make demo trains longer.

PYTHON ?= python3
DEMO_TIME ?= 5m
DEMO_SINGERS := syn_bass syn_child

BIN := .venv/bin
READY := .venv/.ready
READY_DEV := .venv/.ready-dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
REQUIREMENTS := pyproject.toml constraints.txt

# Idle workers of OpenMP would spin, and take the core from those that work.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test lint clean
.DELETE_ON_ERROR:

demo: $(READY)
	@echo "Training for $(DEMO_TIME) on four invented singers (see demo/LICENSE.md) ..."
	$(BIN)/moksori train demo/singers -o demo/out/run --recipe small --for $(DEMO_TIME)
	$(foreach singer,$(DEMO_SINGERS),$(BIN)/moksori convert demo/arirang.flac -m demo/out/run -s $(singer) -o demo/out/arirang.$(singer).flac --force$(newline))
	@echo
	@echo "Listen:  demo/arirang.flac  (the song, sung by another voice than those trained on)"
	@$(foreach singer,$(DEMO_SINGERS),echo "         demo/out/arirang.$(singer).flac"$(newline))
	@echo
	@echo "What to expect: a sketch at telephone bandwidth (the model works at 8 kHz). After five minutes on two cores it is"
	@echo "mostly noise in the rhythm of the song, in which some notes can be heard and no words. More training gives more:"
	@echo "make demo DEMO_TIME=1h goes on where this run stopped."

test: export OMP_NUM_THREADS := 1
test: $(READY_DEV)
	$(BIN)/python -m pytest -m "not slow and not gpu" -n 2 -q
	$(MAKE) --no-print-directory lint

lint: $(READY_DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict

clean:
	rm -rf .venv demo/out .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv .venv

# A stamp each, so that the second call is instant; installing for development readies the demo too.
$(READY): $(REQUIREMENTS) | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(READY_DEV): $(REQUIREMENTS) | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@ $(READY)

define newline


endef

# make demo   let three singers of the shipped voice sing Arirang, and open a page to listen to
# make demo-train   train a voice on four invented singers, and let two of them sing it
# make test   tests (without the slow ones), then lint
# make lint   ruff and mypy
# make docs   the guide, in English and Korean, into site/; a warning is an error
# make audit  known vulnerabilities of the installed versions; asks the package index
# make wheel  build dist/, and let a bare environment convert a song with the wheel alone
# make release  the version of src/moksori/__init__.py: test, build, check, tag; publishing is a person's step
# make clean  remove what the others made
#
# Each sets up .venv by itself, from files whose hashes stand in locks/. DEMO_TIME=30m make demo-train trains longer.

PYTHON ?= python3
DEMO_TIME ?= 5m
DEMO_SINGERS := syn_bass syn_child

BIN := .venv/bin
READY := .venv/.ready
READY_DEV := .venv/.ready-dev
READY_DOCS := .venv/.ready-docs
INSTALL := -m pip install --quiet --disable-pip-version-check
# What is locked comes first, and nothing else with it; then ourselves, with the build tools that are there by now, and
# torch in the build that this machine's index has (see .ci/lock.py).
LOCKED := $(INSTALL) --require-hashes --no-deps -r
OURSELVES := $(INSTALL) --no-build-isolation -c constraints.txt -e
REQUIREMENTS := pyproject.toml constraints.txt $(wildcard locks/*.txt)
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/moksori/__init__.py)
# Tools of a release have an environment of their own, so that they ask for nothing in ours.
TOOLS := build/tools/bin
BARE := build/bare

# Idle workers of OpenMP would spin, and take the core from those that work.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo demo-train test lint docs audit wheel release clean
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/moksori convert demo/arirang.flac -s scottpoid -s kumi -s dorodoro -o demo/out --page demo/out/arirang.html --force
	@# A browser is opened where there is a screen; elsewhere the page's place is told.
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || [ "$$(uname)" = Darwin ]; then \
	  $(BIN)/python -m webbrowser "file://$(CURDIR)/demo/out/arirang.html" > /dev/null; fi
	@echo "Listen: demo/out/arirang.html"
	@echo "Yours:  $(BIN)/moksori convert SONG -s kumi"

demo-train: $(READY)
	@echo "Training for $(DEMO_TIME) on four invented singers (see demo/LICENSE.md) ..."
	$(BIN)/moksori train demo/singers -o demo/out/run --for $(DEMO_TIME)
	$(BIN)/moksori convert demo/arirang.flac -m demo/out/run $(addprefix -s ,$(DEMO_SINGERS)) -o demo/out/trained --page demo/out/trained.html --force

# A file's fixtures are made once, by the process that has the file; files in their order, so that the last are short.
test: export OMP_NUM_THREADS := 1
test: $(READY_DEV)
	$(BIN)/python -m pytest -m "not slow and not gpu" -n 2 --dist loadfile --no-loadscope-reorder -q
	$(MAKE) --no-print-directory lint

lint: $(READY_DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict

docs: $(READY_DOCS)
	$(BIN)/python docs/build.py

audit: $(READY_DEV) | $(TOOLS)/python
	$(TOOLS)/python $(LOCKED) locks/tools.txt
	@# A build's own suffix (+cpu) is no version that anybody reports on. What is not known there is an error: --strict.
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+[^ ]*$$//' > build/installed.txt
	$(TOOLS)/pip-audit --strict --disable-pip --no-deps -r build/installed.txt

# The wheel is built from the source archive, so both are looked at. What is tried is the installed package: away from
# the sources, with what it asks for and no more.
wheel: | $(TOOLS)/python
	rm -rf dist $(BARE)
	$(TOOLS)/python $(LOCKED) locks/tools.txt
	$(TOOLS)/python -m build --no-isolation --outdir dist
	$(PYTHON) -m venv $(BARE)
	$(BARE)/bin/python $(INSTALL) -c constraints.txt dist/*.whl
	mkdir $(BARE)/elsewhere
	cd $(BARE)/elsewhere && unset PYTHONPATH && ../bin/moksori --version && ../bin/moksori singers \
	  && ../bin/moksori convert $(CURDIR)/demo/arirang.flac -s kumi -o sung.flac && test -s sung.flac

release:
	@test -z "$$(git status --porcelain)" || { echo "commit first: a release is a commit"; exit 1; }
	@grep -q '^## $(VERSION)$$' CHANGELOG.md || { echo "CHANGELOG.md has no heading '## $(VERSION)'"; exit 1; }
	@! git rev-parse -q --verify refs/tags/v$(VERSION) > /dev/null || { echo "v$(VERSION) is tagged already"; exit 1; }
	$(MAKE) --no-print-directory test wheel
	git tag -a v$(VERSION) -m "Moksori $(VERSION)"
	@echo "Tagged v$(VERSION); dist/ holds what to publish."

clean:
	rm -rf .venv build dist site demo/out .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(TOOLS)/python:
	$(PYTHON) -m venv build/tools

# A stamp each, so that the second call is instant; installing for development readies the demo too.
$(READY): $(REQUIREMENTS) | $(BIN)/python
	@echo "setting up .venv: 1.4 GB to fetch, some minutes on a slow line"
	$(BIN)/python $(LOCKED) locks/base.txt
	$(BIN)/python $(OURSELVES) .
	@touch $@

$(READY_DEV): $(REQUIREMENTS) | $(BIN)/python
	@echo "setting up .venv: 1.4 GB to fetch, some minutes on a slow line"
	$(BIN)/python $(LOCKED) locks/dev.txt
	$(BIN)/python $(OURSELVES) '.[dev]'
	@touch $@ $(READY)

$(READY_DOCS): $(REQUIREMENTS) | $(BIN)/python
	@echo "setting up .venv: 1.4 GB to fetch, some minutes on a slow line"
	$(BIN)/python $(LOCKED) locks/docs.txt
	$(BIN)/python $(OURSELVES) '.[docs]'
	@touch $@ $(READY)

define newline


endef

# `make help` lists what there is to do. Nothing but Python (>= 3.11) and make has to be here beforehand.
#
# .venv, node_modules and js-shim/dist each hold a file `.made`, newer than what they were made from.

PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Node.js is linked into .venv/bin, so that this one folder has all the tools.
BIN := $(CURDIR)/.venv/bin
PY := $(BIN)/python
export PATH := $(BIN):$(CURDIR)/node_modules/.bin:$(PATH)
export PYTHONDONTWRITEBYTECODE := 1
export PIP_ROOT_USER_ACTION := ignore

PIP := $(PY) -m pip --quiet --quiet --disable-pip-version-check
REPORTS := build/reports
PYTHON_CODE := python tests tools examples benchmarks
CONDUCTOR := examples/conductor
# Folder, contracts, where their TypeScript goes.
CONTRACTS := $(CONDUCTOR):contracts:src/generated $(CONDUCTOR):ionbus.admin:src/generated e2e/app:contracts:generated tests/codegen:showcase:generated
EACH_CONTRACT = for each in $(CONTRACTS); do IFS=: read -r folder module target <<< "$$each"; \
	  (cd $$folder && $(BIN)/ionbus codegen $$module --typescript $$target $(1)); done; \
	  cd examples/schema-first && $(BIN)/ionbus codegen chat.asyncapi.yaml --python generated --typescript generated $(1)
# Under Xvfb even where there is a screen, so that no window takes the focus.
SCREEN := xvfb-run -a -s "-screen 0 1280x1024x24"
ELECTRON = IONBUS_ELECTRON="$$($(PY) tools/electron_runtime.py)"

##@ Use
.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/.made node_modules/.made ## Make .venv and node_modules from the lock files (all that follows does it too)

.PHONY: runtimes
runtimes: setup ## Get Electron, Chromium and a virtual screen (what needs them does it too)
	@$(PY) tools/system_packages.py screen
	@$(PY) tools/electron_runtime.py > /dev/null

.PHONY: demo
demo: setup runtimes js-shim/dist/.made ## Open the conductor, or play through it under Xvfb where there is no screen
	$(ELECTRON) $(PY) $(CONDUCTOR)/demo.py

##@ Develop
.PHONY: check
check: setup js-shim/dist/.made ## The inner loop: lint, types, and the quick tests of both sides
	@$(MAKE) --jobs=2 --output-sync=target lint check-python check-js

.PHONY: check-python
check-python: setup
	$(PY) -m pytest -q -m "not slow"

.PHONY: check-js
check-js: setup
	npm --workspace js-shim test -- --reporter=dot

.PHONY: lint
lint: lint-python lint-js lint-generated ## Formatting, lint, strict types, and that nothing generated is stale

.PHONY: lint-python
lint-python: setup
	$(BIN)/ruff check $(wildcard $(PYTHON_CODE))
	$(BIN)/ruff format --check $(wildcard $(PYTHON_CODE))
	$(BIN)/mypy $(wildcard $(PYTHON_CODE))

.PHONY: lint-js
lint-js: setup js-shim/dist/.made
	biome check --error-on-warnings
	set -- $(wildcard js-shim/tsconfig.json e2e/tsconfig.json e2e/*/tsconfig.json examples/*/tsconfig.json); \
	  for project; do echo "tsc --project $$project"; tsc --noEmit --project $$project; done

.PHONY: lint-generated
lint-generated: setup
	$(PY) tools/generate.py --check
	$(PY) tools/packs.py --check
	$(call EACH_CONTRACT,--check)

.PHONY: format
format: setup ## Format all code, and mend what the linters can mend
	$(BIN)/ruff check --fix $(wildcard $(PYTHON_CODE))
	$(BIN)/ruff format $(wildcard $(PYTHON_CODE))
	biome check --write

.PHONY: generate
generate: setup ## Write the generated files: tables from schemas/, contracts in TypeScript
	$(PY) tools/generate.py
	$(PY) tools/packs.py
	$(call EACH_CONTRACT,)

.PHONY: vectors
vectors: setup ## Record schemas/vectors anew, after a deliberate change of the wire; read the difference
	PYTHONPATH=tests $(PY) tools/record_vectors.py

.PHONY: build
build: setup js-shim/dist/.made ## Build what would be published, into build/dist: wheel, sdist, npm package
	mkdir -p build/dist
	$(BIN)/hatchling build --directory build/dist
	npm pack --workspace js-shim --pack-destination build/dist

.PHONY: lock
lock: .venv/.made ## Resolve the dependencies anew: requirements/*.txt and package-lock.json
	$(PIP) install --require-hashes -r requirements/uv.txt
	compile() { $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" "$$@"; }; \
	compile pyproject.toml --all-extras --group dev --output-file requirements/dev.txt; \
	compile --no-deps requirements/node.in --output-file requirements/node.txt; \
	compile pyproject.toml --group bench --output-file requirements/bench.txt; \
	compile --group fuzz --output-file requirements/fuzz.txt; \
	compile --no-deps requirements/uv.in --output-file requirements/uv.txt
	rm -rf node_modules package-lock.json
	npm install --package-lock-only
	rm -f benchmarks/package-lock.json
	cd benchmarks && npm install --package-lock-only --userconfig ../.npmrc

##@ Test
.PHONY: test
test: lint test-python test-js test-e2e test-demo ## Lint and all tests; reports go to build/reports

.PHONY: test-python
test-python: setup js-shim/dist/.made ## The Python side: unit, vector, property and typing tests
	$(PY) -m pytest --junit-xml=$(REPORTS)/python.xml

.PHONY: test-codegen
test-codegen: setup js-shim/dist/.made ## The generator: every type, models from outside, documents, both sides of the schema-first example
	$(PY) -m pytest tests/codegen tests/examples/test_schema_first.py tests/examples/test_conductor_generated.py

.PHONY: test-js
test-js: setup js-shim/dist/.made ## The JavaScript side: the same
	npm --workspace js-shim test -- --reporter=default --reporter=junit --outputFile.junit=$(CURDIR)/$(REPORTS)/js.xml

EVENT_REPORTS := $(CURDIR)/$(REPORTS)/events

.PHONY: test-events
test-events: setup ## The emitter's semantics, the same rows by Python and by TypeScript, and how many each ran (docs/events.md)
	rm -f $(EVENT_REPORTS)-python.xml $(EVENT_REPORTS)-typescript.xml
	$(PY) -m pytest -q tests/events/test_cases.py --junit-xml=$(EVENT_REPORTS)-python.xml
	npm --workspace js-shim test -- test/events/cases.test.ts --passWithNoTests --reporter=junit --outputFile.junit=$(EVENT_REPORTS)-typescript.xml
	$(PY) tools/event_rows.py Python=$(EVENT_REPORTS)-python.xml TypeScript=$(EVENT_REPORTS)-typescript.xml

.PHONY: test-e2e
test-e2e: setup runtimes js-shim/dist/.made ## Real processes: Electron, Chromium and Node.js against Python
	$(ELECTRON) $(SCREEN) npm --workspace ionbus-e2e test -- --reporter=default --reporter=junit \
	  --outputFile.junit=$(CURDIR)/$(REPORTS)/e2e.xml

.PHONY: test-demo
test-demo: setup runtimes js-shim/dist/.made ## Play through the demo, under Xvfb even where there is a screen
	$(ELECTRON) env -u DISPLAY -u WAYLAND_DISPLAY $(PY) $(CONDUCTOR)/demo.py

##@ Trials
# Each prints one JSON object of what it counted, and fails on a violation (docs/reliability.md).
TRIAL = PYTHONPATH=tests $(PY) -m trials

.PHONY: soak
soak: setup js-shim/dist/.made ## A million events and 100,000 calls over each channel, through a thousand cuts: nothing lost (SOAK_MINUTES=60 for longer)
	$(TRIAL).soak

.PHONY: every-byte
every-byte: setup ## A short conversation, cut at each of its bytes in every way: it goes on, and all comes about once
	$(TRIAL).every_byte

.PHONY: stalled
stalled: setup ## One client among 200 that reads nothing, while a million events are emitted: the others' calls, the broker's memory
	$(TRIAL).stalled

.PHONY: capacity
capacity: setup ## 10,000 calls under way in one session; 5,000 sessions at one broker, all answering; what an idle one costs
	$(TRIAL).capacity

.PHONY: fairness
fairness: setup ## Other sessions' calls while 200 MB travel each way, events flood, and a neighbour reads nothing
	$(TRIAL).fairness

.PHONY: kill-test
kill-test: setup runtimes js-shim/dist/.made ## Kill Python behind a window, and Electron, Node.js and Python parents, 50 times each: windows recover, nobody is left
	$(ELECTRON) PYTHONPATH=tests $(SCREEN) $(PY) -m trials.kill

.PHONY: simulate
simulate: setup ## 10,000 seeds of clients, a broker and hostile channels, every step checked, and 500 with the engines in TypeScript
	$(TRIAL).simulate --typescript

.PHONY: fuzz
fuzz: setup .venv/.fuzz build/fuzz/fuzz.mjs ## Hostile input at each layer, a million a target: no crash, no hang, no growth (FUZZ_INPUTS=10000 for fewer, FUZZ_SEED=7 for others)
	@PYTHONPATH=tests $(PY) -m fuzz

##@ Measure
# The peers are installed beside the project, in an environment of their own (benchmarks/README.md). Bytecode is kept: starts are measured.
BENCH = PYTHONDONTWRITEBYTECODE= PYTHONPATH=$(CURDIR):$(CURDIR)/python build/bench/bin/python -m benchmarks
ON = $(if $(LOOP),--loop $(LOOP))

.PHONY: bench
bench: build/bench/.made runtimes js-shim/dist/.made ## Everything, beside its peers: benchmarks/results, and the figures of docs/benchmarks.md (25 min; RELEASE=1.2.0 keeps its line)
	$(BENCH) --quick --loop asyncio --output benchmarks/results/asyncio.json > /dev/null
	$(ELECTRON) $(SCREEN) env $(BENCH) --output benchmarks/results/latest.json --publish $(if $(RELEASE),--release $(RELEASE))

.PHONY: bench-quick
bench-quick: build/bench/.made js-shim/dist/.made ## The same in brief, under 3 min (ONLY="call events-in" SYSTEMS="ionbus-stdio raw-stdio" LOOP=asyncio for less)
	$(BENCH) --quick $(if $(ONLY),--workloads $(ONLY)) $(if $(SYSTEMS),--systems $(SYSTEMS)) $(ON) --output build/bench-quick.json

.PHONY: bench-targets
bench-targets: build/bench/.made runtimes js-shim/dist/.made ## What ionbus is to reach (benchmarks/targets.toml), measured and judged; fails on a miss (ONLY="call call-64" for some)
	$(ELECTRON) $(SCREEN) env $(BENCH).targets $(if $(ONLY),--only $(ONLY)) $(ON) --output build/bench-targets.json

.PHONY: profile
profile: build/bench/.made js-shim/dist/.made ## Where the time of WORKLOAD= goes (SYSTEM=ionbus-stdio for another): flame graph of Python, CPU profile of JavaScript
	$(BENCH).profiling $(WORKLOAD) $(if $(SYSTEM),--system $(SYSTEM)) $(ON)

.PHONY: bench-codegen
bench-codegen: setup ## What generating 500 models costs beyond importing them
	$(PY) benchmarks/codegen.py

.PHONY: bench-electron
bench-electron: build/bench/.made runtimes js-shim/dist/.made ## Calls from a window to Python over each transport, beside Electron's own and bare channels (under 2 min)
	$(ELECTRON) $(SCREEN) env $(BENCH) --workloads window-call window-call-64 $(ON) --output build/bench-electron.json

##@ Tidy up
.PHONY: clean
clean: ## Remove what was built and installed here (Electron stays in its cache)
	rm -rf .venv node_modules build benchmarks/node_modules js-shim/dist $(CONDUCTOR)/build e2e/electron-vite-app/out
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- What the targets above stand on --------------------------------------------------------------------------

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; this is " + sys.version)'
	@$(PYTHON) tools/system_packages.py venv
	$(PYTHON) -m venv .venv

.venv/.made: .venv/pyvenv.cfg requirements/dev.txt pyproject.toml
	@echo "installing Python packages into .venv"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

build/fuzz/fuzz.mjs: node_modules/.made $(shell find js-shim/src js-shim/test/fuzz) js-shim/test/replay.ts
	@esbuild js-shim/test/fuzz/main.ts --bundle --platform=node --format=esm --outfile=$@ --log-level=warning

.venv/.fuzz: .venv/.made requirements/fuzz.txt
	@$(PIP) install --require-hashes -r requirements/fuzz.txt
	@touch $@

build/bench/.made: .venv/.made node_modules/.made requirements/bench.txt benchmarks/package-lock.json
	@echo "installing the peers into build/bench and benchmarks/node_modules"
	@$(PYTHON) -m venv build/bench
	@build/bench/bin/python -m pip --quiet --quiet --disable-pip-version-check install --require-hashes -r requirements/bench.txt
	@npm ci --prefix benchmarks --userconfig .npmrc --no-fund
	@touch $@

node_modules/.made: .venv/.made requirements/node.txt package-lock.json package.json .npmrc
	@$(PY) tools/node_runtime.py --link $(BIN)
	@echo "installing npm packages into node_modules"
	@npm ci
	@npm rebuild --silent typescript # its command, not that of the older ones that tests use
	@touch $@

js-shim/dist/.made: node_modules/.made js-shim/build.mjs js-shim/package.json $(wildcard js-shim/tsconfig*.json) \
  $(shell find js-shim/src)
	@npm --workspace js-shim run --silent build
	@touch $@

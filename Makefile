# Two commands are enough: `make demo` and `make test`. Each makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check bench bench-fetching addresses hostile web lock lock-bench docs campaign pictures fuzz recall system clean

$(STAMP): requirements.lock pyproject.toml setup.py $(wildcard native/*.c native/*.h) | system
	$(PYTHON) -c 'import sys; sys.exit("vetset needs Python 3.11 or newer; set PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(STAMP)   ## a whole audit on rows made on the spot; opens nothing, sends nothing
	$(BIN)/vetset demo

test: $(STAMP) system   ## every check and test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 tests
	$(BIN)/vetset demo --out $$(mktemp -d)/demo

system:          ## Debian packages: a C compiler for the native kernels, and what some tests use
	@{ command -v age && command -v strace && command -v cc && command -v ip && command -v openssl; } >/dev/null \
		|| { apt-get update -qq && apt-get install -y -qq age strace gcc libc6-dev iproute2 openssl ca-certificates; } \
		|| echo "age, strace, iproute2, openssl or a C compiler could not be installed: vetset runs without, slower, and some tests are skipped"

docs: $(STAMP)   ## writes docs/reference from the code
	$(BIN)/python -m tests.write_reference

fuzz: $(STAMP)     ## the native kernels under AddressSanitizer and UndefinedBehaviorSanitizer, 30 seconds each
	$(BIN)/python -m tests.fuzz_native

pictures: $(STAMP) ## a million mutated picture files through the sandbox; its counts stand in the README
	$(BIN)/python -m tests.campaign_pictures --files 1000000 --processes 2

addresses: $(STAMP) ## 100,000 links to addresses that are not public, under strace
	$(BIN)/python -m tests.campaign_addresses

hostile: $(STAMP)  ## every hostile server, twenty times
	$(BIN)/python -m tests.campaign_hostile

web: $(STAMP)      ## a generated web of 20,000 pictures, audited, killed at random and resumed; a part under strace
	$(BIN)/python -m tests.campaign_web

campaign: $(STAMP) ## the long crash campaign; its counts stand in the README
	$(BIN)/python -m tests.campaign

bench:           ## side by side with the peers, in an environment of their own
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bench/requirements.lock
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	.venv-bench/bin/python bench/columns.py
	.venv-bench/bin/python bench/kernels.py
	.venv-bench/bin/python -m bench.hamming --counts 1000000
	.venv-bench/bin/python bench/tars.py
	.venv-bench/bin/python bench/clean.py
	.venv-bench/bin/python -m bench.sandbox

bench-fetching:  ## fetching beside img2dataset, whose needs contradict the other peers'; needs nginx (Debian: nginx-light)
	$(PYTHON) -m venv .venv-bench-fetching
	.venv-bench-fetching/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bench/fetching.lock
	.venv-bench-fetching/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	.venv-bench-fetching/bin/python bench/fetching.py

recall: $(STAMP)   ## PDQ after harmless edits, and false near matches: the table of bench/README.md
	$(BIN)/python bench/recall.py

lock:            ## renews requirements.lock (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

lock-bench:
	uv pip compile pyproject.toml bench/requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o bench/requirements.lock
	uv pip compile pyproject.toml bench/fetching.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o bench/fetching.lock

clean:
	rm -rf $(VENV) .venv-bench .venv-bench-fetching build dist

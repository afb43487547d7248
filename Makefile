# make demo    set-up and the demo
# make test    set-up, formatter, linter, types, tests
# make test-systemd    the installed service under a real systemd

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: setup setup-dev demo test test-delivery test-systemd test-arm test-arm32 test-board fuzz \
  soak trace check format mosquitto bench bench-arm lock schema

setup:
	@EDITABLE=1 systemd/venv.sh $(VENV) demo

setup-dev:
	@EDITABLE=1 systemd/venv.sh $(VENV) demo build dev

demo:
	@[ -x $(BIN)/edgevision ] && $(BIN)/python -c 'import iotcore, cv2' 2>/dev/null || $(MAKE) --no-print-directory setup
	@$(BIN)/edgevision demo $(ARGS)

test: setup-dev mosquitto check
	$(BIN)/python -m pytest -n 2 $(ARGS)

# Thousands of damaged inputs for everything that reads external input: about 5 minutes.
fuzz: setup-dev
	FUZZ_INPUTS=$${FUZZ_INPUTS:-4000} timeout 1200 $(BIN)/python -m pytest -q tests/fuzz $(ARGS)

# Faults for minutes or, with ARGS="--minutes 600", hours: does memory grow, is an event lost?
soak: setup-dev mosquitto
	$(BIN)/python tests/soak/soak.py $(ARGS)

# The modules and functions that one frame enters, and the hops of its detections to the socket.
trace: setup-dev
	@$(BIN)/python tests/trace/trace_frame.py --max-modules 36 --max-hops 5 $(ARGS)

# Installs the service under a real systemd, in namespaces of its own: Debian 12, root or sudo.
test-systemd: setup-dev mosquitto
	@if [ "$$(id -u)" = 0 ]; then as=; else as="sudo -n"; fi; \
	  $$as true || { echo "edgevision: expected root, or a sudo that asks for no password" >&2; exit 1; }; \
	  /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || { \
	    echo "installing python3-venv for the tests"; \
	    $$as apt-get update -qq && $$as apt-get install -y -qq python3-venv; } >/dev/null 2>&1 || { \
	    echo "edgevision: the tests need Debian's Python: install the package python3-venv" >&2; exit 1; }; \
	  $(BIN)/python tests/systemd/box/packages.py && \
	  $$as env SYSTEMD_BOX=1 PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m pytest -p no:cacheprovider \
	    tests/systemd/box $(ARGS)

# ARM without a board, emulated by QEMU: 64-bit, 32-bit, and a whole machine with systemd.
test-arm: setup-dev
	$(BIN)/python -m pytest tests/arm/test_arm64.py $(ARGS)

test-arm32: setup-dev
	$(BIN)/python -m pytest tests/arm/test_arm32.py $(ARGS)

test-board: setup-dev
	$(BIN)/python -m pytest tests/arm/test_board.py $(ARGS)

check:
	$(BIN)/ruff format --check edgevision tests
	$(BIN)/ruff check edgevision tests
	$(BIN)/mypy

format:
	$(BIN)/ruff format edgevision tests
	$(BIN)/ruff check --fix edgevision tests

# The tests use a real broker.
mosquitto:
	@command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || { \
	  echo "installing mosquitto for the tests"; \
	  if [ "$$(id -u)" = 0 ]; then as=; else as="sudo -n"; fi; \
	  { $$as apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as apt-get install -y -qq --no-install-recommends mosquitto; } >/dev/null 2>&1 || { \
	    echo "edgevision: the tests need a broker: install the package mosquitto" >&2; exit 1; }; }

# Compares events recorded with events received while everything is killed at random; minutes.
test-delivery: setup-dev mosquitto
	$(BIN)/python -m pytest -s tests/mqtt/test_delivery.py --delivery-cycles=200 $(ARGS)

bench: setup
	@$(BIN)/edgevision bench $(ARGS)

# Counts instructions on emulated ARM: the same on every machine, but not cycles.
bench-arm: setup-dev
	@PYTHONPATH=tests $(BIN)/python -m arm.bench $(ARGS)

# Pin the requirements of pyproject.toml and of its build again; hashes, no addresses.
lock: setup-dev
	@echo "hatchling>=1.27,<2\neditables" | $(BIN)/pip-compile -q --upgrade --generate-hashes \
	  --all-extras --allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host \
	  --no-emit-find-links --no-header --annotation-style=line -o constraints.txt pyproject.toml -

# Write the documents that the code defines.
schema:
	$(BIN)/edgevision schema config >docs/config.schema.json
	$(BIN)/edgevision schema mqtt >docs/mqtt.schema.json
	$(BIN)/edgevision schema asyncapi >docs/asyncapi.json

# Every target sets up what it needs (scripts/setup); CI runs these and nothing else.
.DEFAULT_GOAL := help
.PHONY: help setup lint check test chaos demo lab golden docs wheel bench
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -p no:cacheprovider
# A file stays with one worker, so what it builds (a lab, a demo) is built once.
BOTH := -n 2 --dist loadfile
SHELL_FILES := .ci/run scripts/as-root scripts/lab scripts/setup $(wildcard node/*)

help:  ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup:  ## install what the other targets need: system tools by apt-get, .venv
	@scripts/setup

lint: setup  ## ruff, mypy and shellcheck
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	shellcheck $(SHELL_FILES)

check: lint  ## style, types, shellcheck and the tests that need no root
	$(PYTEST) -q $(BOTH) -m 'not live'

test: lint  ## everything, also the tests in network namespaces (root or sudo)
	scripts/as-root test $(PYTEST) $(BOTH) $(ARGS)

chaos: setup  ## apply, broken in every way at every step (root or sudo; two hours)
	scripts/as-root chaos env TAILGIT_CHAOS=1 $(if $(SEED),TAILGIT_SEED=$(SEED)) \
	$(PYTEST) -q -n 2 --dist worksteal $(ARGS) tests/chaos

demo: setup  ## from an empty repo to packets (root or sudo); JSON=FILE for data
	scripts/as-root demo $(PYTHON) scripts/demo.py $(if $(JSON),--json $(JSON))

lab: setup  ## the example tailnet on this machine: up, its tests as packets, down
	scripts/as-root lab scripts/lab $(or $(REPO),examples/acme)

golden: setup  ## write the expected outputs of the golden tests anew
	$(PYTEST) -q -m 'not live' --golden

docs: setup  ## write the pages anew that say what commands, schemas and findings say
	$(PYTHON) scripts/commands.py
	$(PYTHON) -m scripts.format
	$(PYTHON) -m scripts.findings

wheel: setup  ## sdist, wheel from it into dist/, tried in a fresh venv
	$(PYTHON) scripts/wheel.py

bench: setup  ## all of benchmarks/; fails if one misses its bound (root: namespaces)
	@status=0; for file in benchmarks/*.py; do echo "== $$file"; \
	case $$file in */push*) scripts/as-root bench $(PYTHON) $$file ;; \
	*) $(PYTHON) $$file ;; esac || status=1; done; exit $$status

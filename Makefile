# Every target does its own set-up (tools/setup.sh) and can be the first one typed in a new checkout.
# Variables: CORES (processors to use), PYTHON (interpreter for the environment), VENV (where the
# environment goes), PYTEST (more arguments for the tests), MUTANTS (more for tools/mutants.py),
# PART (of as many faults, one).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CORES ?= $(shell nproc)
PART ?= 1
part = $$(( ($(1) + $(PART) - 1) / $(PART) ))
ENV := . tools/env.sh

.DEFAULT_GOAL := help
.PHONY: help setup demo real test test-setup docs faults mutants lint check-env lock tag clean distclean

help:  ## this list
	@awk -F ':.*  ## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## locked Python environment in .venv, and WSClean where root may install it
	@tools/setup.sh

demo: setup  ## simulate a small known sky, run everything on it, compare with the truth
	@tools/run.sh --configfile config/demo.yaml --cores $(CORES)
	@echo "report: results/demo/report/index.html"
	@$(ENV); contimg compare-truth --show results/demo/simulated/comparison.csv
	@if grep -q ',FAIL$$' results/demo/simulated/comparison.csv; then echo "demo: a line FAILS"; exit 1; fi
	@$(ENV); python tools/audit.py results/demo --raw results/demo/raw

real: setup  ## the VLA observations of NGC 5921 and 3C 273 that come with CASA, from UVH5 to image
	@$(ENV); contimg rewrap --observation ngc5921 --telescope VLA --subbands 3 --out-dir results/ngc5921/raw
	@$(ENV); contimg rewrap --observation 3c273 --telescope VLA --subbands 1 --out-dir results/3c273/raw
	@tools/run.sh --configfile config/ngc5921.yaml --cores $(CORES)
	@tools/run.sh --configfile config/3c273.yaml --cores $(CORES)
	@for name in ngc5921 3c273; do echo "report: results/$$name/report/index.html"; done
	@$(ENV); contimg check-fluxes --show results/ngc5921/qa/expected.csv
	@$(ENV); contimg check-fluxes --show results/3c273/qa/expected.csv
	@$(ENV); python tools/audit.py results/ngc5921 --raw results/ngc5921/raw
	@$(ENV); python tools/audit.py results/3c273 --raw results/3c273/raw

test-setup:
	@tools/setup.sh test

test: test-setup lint  ## set-up, lint and all tests (AOFlagger, SLURM, validators, Chromium where root may install)
	@$(ENV); export PATH="$$PATH:/usr/sbin:/sbin"; \
	python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder $(PYTEST)

docs: setup  ## the documentation as a site in site/, with references written from the models
	@tools/docs.sh

faults: setup  ## two thousand faults of raw files, products, plans and disks of a small run, and 500 kills (hours; PART=100: a sample)
	@tools/run.sh --configfile config/tiny.yaml --cores $(CORES)
	@$(ENV); export PYTHONPATH=tests:scripts; \
	python -m faults.campaign --seed 1 --raw $(call part,1140) --products $(call part,380) \
		--sets $(call part,204) --inventory $(call part,100) --disks $(call part,230) \
		--results results/tiny && \
	python -m faults.kills --seed 1 --kills $(call part,400) --work results/kills && \
	python -m faults.kills --seed 2 --kills $(call part,100) --children --work results/kills-children

mutants: test-setup  ## small errors put into the numeric cores: which would no test notice? (an hour)
	@$(ENV); python tools/mutants.py --processes $(CORES) $(MUTANTS)

lint: setup  ## style of Python, rules and workflow
	@$(ENV); ruff check .; ruff format --check .; snakefmt --check Snakefile rules; \
	snakemake --lint --configfile config/demo.yaml

check-env: setup  ## versions of what a run uses
	@$(ENV); python --version; \
	python -m pip list --disable-pip-version-check | grep -iE '^(numpy|scipy|astropy|casa|pyuvdata|snakemake) *' ; \
	command -v wsclean && wsclean --version | head -n 2 || echo "no wsclean (image.backend: wsclean)"; \
	command -v sbatch || echo "no SLURM here"

lock:  ## resolve requirements.in again (developers; needs uv)
	@tools/lock.sh

tag:  ## the git tag of the version in scripts/contimg/__init__.py (developers)
	@version=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' scripts/contimg/__init__.py); \
	grep -q "^## $$version$$" CHANGELOG.md || { echo "CHANGELOG.md has no entry $$version"; exit 1; }; \
	git tag --annotate "v$$version" --message "contimg $$version" && echo "v$$version"

clean:  ## remove caches and the products of demo and real; other results stay
	rm -rf results/demo results/ngc5921 results/3c273 .cache .pytest_cache .ruff_cache .hypothesis
	find scripts tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the environment as well
	rm -rf .venv

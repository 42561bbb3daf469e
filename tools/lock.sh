#!/usr/bin/env bash
# Resolve requirements.in into requirements.lock, for all supported Pythons at once.
# Needs uv (https://docs.astral.sh/uv); only a developer who changes a dependency runs this.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Ranges of other packages that we overrule:
# numpy: the SLURM plugin asks for >=2.4.5, which numba 0.62 and CASA do not accept; the plugin
#        runs with 2.3 (tests/slurm).
# numba: pyuvdata asks for a newer one on Pythons that we do not support.
printf 'numpy>=2.3,<2.4\nnumba==0.62.1\n' > "$work/overrides.txt"
# what need not change stays as it is (tools/lock.sh --upgrade renews everything)
grep -v '^#' requirements.lock > "$work/lock"
"$uv" pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
    --no-emit-index-url --override "$work/overrides.txt" requirements.in -o "$work/lock" "$@"

{
    cat <<'HEADER'
# Made by tools/lock.sh from requirements.in; do not edit.
# CPython 3.11, 3.12, 3.13 (not 3.10: Snakemake 9 needs 3.11 or newer).
#
# Install with `pip install --no-deps -r requirements.lock`. The list is complete, and without
# --no-deps pip would refuse it: snakemake-executor-plugin-slurm 2.8.0 declares numpy>=2.4.5
# while numba 0.62 needs numpy<2.4. The plugin uses nothing of the newer numpy (tests/slurm).
HEADER
    grep -v "sys_platform == 'win32'" "$work/lock"
} > requirements.lock

# the conda environments follow
"${PYTHON:-python3}" tools/pin_envs.py

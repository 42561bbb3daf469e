# The environment of every command of the Makefile: `. tools/env.sh`.
# The locked Python comes first on PATH; caches live in the checkout, so that an empty, missing or
# read-only HOME does not matter and nothing of the user's own Python set-up gets in.
# shellcheck shell=bash

CONTIMG_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)
VENV=${VENV:-$CONTIMG_ROOT/.venv}
case $VENV in /*) ;; *) VENV=$CONTIMG_ROOT/$VENV ;; esac
CONTIMG_CACHE=$CONTIMG_ROOT/.cache
mkdir -p "$CONTIMG_CACHE/config"

unset PYTHONPATH PYTHONHOME
export VENV PATH="$VENV/bin:$PATH"
export PYTHONNOUSERSITE=1 PIP_USER=0
export XDG_CACHE_HOME="$CONTIMG_CACHE"
export XDG_CONFIG_HOME="${XDG_CONFIG_HOME:-$CONTIMG_CACHE/config}"
export MPLCONFIGDIR="$CONTIMG_CACHE/matplotlib"
export MPLBACKEND=Agg
export NUMBA_CACHE_DIR="$CONTIMG_CACHE/numba"
export IPYTHONDIR="$CONTIMG_CACHE/ipython"
if [ ! -w "${HOME:-/nonexistent}" ]; then
    export HOME="$CONTIMG_CACHE/home"
    mkdir -p "$HOME"
fi

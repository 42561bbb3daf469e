#!/usr/bin/env bash
# Make the checkout able to run: Python environment, WSClean and, with `tools/setup.sh test`,
# AOFlagger, SLURM, fitsverify, Chromium, STILTS and Aladin.
#
# Costs nothing when everything is there. Respects PYTHON= (interpreter to use) and VENV= (where
# the environment goes). Only PyPI and the Debian or Ubuntu archive are used.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/env.sh

say() { echo "setup: $*"; }
have() { command -v "$1" > /dev/null 2>&1; }

can_apt() { [ "$(id -u)" = 0 ] && have apt-get; }

# Programs that are not Python come from the distribution, and only root can install them there.
apt_listed=no
apt_install() {
    if [ "$apt_listed" = no ]; then
        DEBIAN_FRONTEND=noninteractive apt-get update -qq < /dev/null || return 1
        apt_listed=yes
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" < /dev/null
}

suitable() { # a Python that we support and that can make environments
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
        > /dev/null 2>&1
}

find_python() {
    local candidate
    local -a candidates=(python3.11 /usr/bin/python3.11 python3.12 python3.13 python3)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if suitable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

install_packages() { # two pips at once: CASA and its data are two thirds of the bytes
    local pip=("$VENV/bin/python" -m pip --disable-pip-version-check install --quiet --no-cache-dir
        --no-deps --no-compile --use-pep517) work big
    work=$(mktemp -d)
    grep -E '^casa(data|tools)==' requirements.lock > "$work/big.txt"
    grep -vE '^casa(data|tools)==' requirements.lock > "$work/rest.txt"
    "${pip[@]}" -r "$work/big.txt" &
    big=$!
    "${pip[@]}" -r "$work/rest.txt" || { kill "$big"; return 1; }
    wait "$big"
    rm -r "$work"
    # Byte code now and in parallel; pip would do it on one core, test suites of packages included.
    # A few shipped files are not valid Python; they are templates that nobody imports.
    "$VENV/bin/python" -W ignore -m compileall -q -q -j 0 -x 'site-packages/.*/tests?/' \
        "$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" || true
}

install_contimg() { # the checkout itself: on the import path, and as a command
    local site
    site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo "$CONTIMG_ROOT/scripts" > "$site/contimg.pth"
    printf '#!/bin/sh\nexec "$(dirname "$0")/python" -m contimg.cli "$@"\n' > "$VENV/bin/contimg"
    chmod +x "$VENV/bin/contimg"
}

setup_python() {
    local stamp="$VENV/contimg.stamp" want python
    want=$({ cat requirements.lock; echo "$CONTIMG_ROOT"; } | sha256sum | cut -d' ' -f1)
    if [ -x "$VENV/bin/python" ] && [ "$(cat "$stamp" 2> /dev/null)" = "$want" ]; then
        return
    fi
    if [ -e "$VENV" ] && [ ! -e "$stamp" ]; then
        say "$VENV exists but was not made by this script; move it away or set VENV= to another path"
        return 1
    fi
    local other
    other=$(cat "$VENV"/lib/python3*/site-packages/contimg.pth 2> /dev/null || true)
    if [ -n "$other" ] && [ "$other" != "$CONTIMG_ROOT/scripts" ] && [ -d "$other" ]; then
        say "$VENV belongs to the checkout ${other%/scripts}; set VENV= to another path"
        return 1
    fi
    if ! python=$(find_python); then
        if [ -z "${PYTHON:-}" ] && can_apt; then
            say "no usable Python yet; installing python3 and python3-venv"
            apt_install python3 python3-venv
        fi
        if ! python=$(find_python); then
            say "need CPython 3.11, 3.12 or 3.13 with its venv module (Debian: python3-venv);"
            say "name one with PYTHON=/path/to/python3.11"
            return 1
        fi
    fi
    say "installing the locked packages into $VENV with $("$python" --version) (2.5 GB, minutes)"
    rm -rf "$VENV"
    mkdir -p "$VENV"
    echo incomplete > "$stamp"
    "$python" -m venv "$VENV"
    install_packages
    install_contimg
    echo "$want" > "$stamp"
    say "Python environment ready after $SECONDS s"
}

setup_programs() { # setup_programs "what happens without" PACKAGE PROGRAM [PROGRAM...]
    local without=$1 packages=$2 program missing=""
    shift 2
    for program in "$@"; do
        have "$program" || missing="$missing $program"
    done
    [ -n "$missing" ] || return 0
    if can_apt; then
        say "installing $packages"
        # shellcheck disable=SC2086
        apt_install $packages > "$CONTIMG_CACHE/apt.log" 2>&1 || true
        for program in "$@"; do
            have "$program" || { say "no $program ($CONTIMG_CACHE/apt.log): $without"; return 0; }
        done
    else
        say "no$missing (Debian: apt install $packages): $without"
    fi
}

case $VENV in *:*)
    say "$VENV: PATH cannot hold a path with a colon; move the checkout or set VENV= to another path"
    exit 1
    ;;
esac
exec 8> "$CONTIMG_CACHE/setup.lock"
# two of these at once would spoil each other's environment
flock 8 2> /dev/null || say "no file locks here: do not run this twice at the same time"
export PATH="$PATH:/usr/sbin:/sbin"
setup_python
setup_programs "image.backend wsclean cannot be had, its tests are skipped" wsclean wsclean
if [ "${1:-}" = test ]; then
    setup_programs "the AOFlagger tests are skipped" aoflagger aoflagger
    setup_programs "the SLURM tests are skipped" "slurm-wlm munge" slurmctld slurmd munged srun
    setup_programs "no FITS file is verified by it" fitsverify fitsverify
    setup_programs "no page is opened in a browser" chromium chromium
    setup_programs "no VOTable and no HiPS is validated" "stilts aladin" stilts aladin
fi

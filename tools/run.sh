#!/usr/bin/env bash
# Run Snakemake in this checkout, whatever happened to an earlier run.
#
# A run that was killed (kill -9, power) leaves Snakemake's lock and perhaps some of its jobs
# behind. When no run is alive here, such jobs are ended and the lock is taken away; when one is,
# this script refuses to start a second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/env.sh

run_is_alive() { # a snakemake that works in this directory, started by us or by hand
    local process
    for process in /proc/[0-9]*; do
        if [ "$(readlink "$process/cwd" 2> /dev/null)" = "$PWD" ] \
            && tr '\0' ' ' < "$process/cmdline" 2> /dev/null | grep -qE '(/|-m )snakemake '; then
            return 0
        fi
    done
    return 1
}

end_orphans() { # jobs carry the directory of their run in their environment
    local environ pid
    for environ in $(grep -lzxF "CONTIMG_RUN=$PWD" /proc/[0-9]*/environ 2> /dev/null || true); do
        pid=${environ#/proc/}
        pid=${pid%/environ}
        echo "run: ending process $pid, left behind by a run that was killed"
        kill -KILL "$pid" 2> /dev/null || true
    done
}

mkdir -p .snakemake
exec 9> .snakemake/contimg.flock
held=0
flock --nonblock --conflict-exit-code 75 9 2> /dev/null || held=$?
# any other status: a file system without locks, where looking at the processes has to do
if [ "$held" = 75 ] || run_is_alive; then
    echo "run: another run is alive in $PWD; wait for it or stop it first" >&2
    exit 1
fi
end_orphans
export CONTIMG_RUN=$PWD
if [ -n "$(ls -A .snakemake/locks 2> /dev/null)" ]; then
    echo "run: the last run was killed; removing its lock"
    snakemake --unlock "$@" > /dev/null
fi
exec snakemake "$@"

"""Whether a job runs, or how it ended without a product: a small note beside its log.

A verb whose output goes to ``RESULTS/logs/RULE/JOB.log`` is a job of the workflow. It writes
``JOB.job`` when it starts, keeps that note's time stamp fresh, and removes it when it is done. A
note that stays names the error that ended the job, or, when the job was killed, a process that is
no more. A job that died before it could write one is known by its log: Snakemake writes the
benchmark of a job after its log, and only when it succeeded.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.core.objects import read_object

BEAT_S = 30
STALE_S = 300  # a process elsewhere that gave no sign of life for so long is gone
BEGIN_S = 120  # from the start of a job's shell to its note
_SIGNED = {"host": str, "pid": int}
_LOG = re.compile(r".+/logs/\w+/.+\.log")
_ERROR = re.compile(r"error|exception|killed|not found|no space|denied|fail", re.IGNORECASE)
# ends with its parent, however that one ends: then there is nothing left that could be read
_BEAT = 'while read -r -t "$3" _; [ $? -gt 128 ] && kill -0 "$1"; do touch -c -- "$2"; done'


@dataclass(frozen=True)
class JobState:
    """A job that has no product: it is ``running``, or it is ``crashed`` and why."""

    state: str
    reason: str = ""
    tries: int = 0


class Note:
    """What a running job will leave behind if it fails."""

    error = ""


@contextlib.contextmanager
def noted() -> Iterator[Note]:
    """Keep the note of this process while the block runs, if it is a job of the workflow.

    The note goes when the block ends without an exception and without ``note.error``.
    """
    note, log = Note(), _own_log()
    if log is None:
        yield note
        return
    path = log.with_suffix(".job")
    earlier = read_note(path)
    content = sign() | {"tries": 1 + (_tries(earlier) if earlier else 0)}
    path.write_text(json.dumps(content))
    beat = heartbeat(path)
    done = False
    try:
        yield note
        done = not note.error
    finally:
        beat.communicate()
        if done:
            path.unlink(missing_ok=True)
        else:
            error = note.error or _exception_text()
            path.write_text(json.dumps(content | {"ended_utc": _now(), "error": error}))


def sign() -> dict[str, Any]:
    """What tells this process from all others."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "began": process_began(os.getpid()),
        "slurm_job": os.environ.get("SLURM_JOB_ID", ""),
        "started_utc": _now(),
    }


def heartbeat(path: Path) -> subprocess.Popen[bytes]:
    """Touch `path` as long as this process lives, whatever its interpreter is busy with."""
    return subprocess.Popen(
        ["bash", "-c", _BEAT, "bash", str(os.getpid()), str(path), str(BEAT_S)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def alive(note: dict[str, Any], path: Path) -> bool:
    """Whether the process that signed `note` lives: here by its number, elsewhere by its beat."""
    if "ended_utc" in note:
        return False
    if note["host"] == platform.node():
        return process_began(note["pid"]) == note.get("began") is not None
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime < STALE_S
    return False


def read_note(path: Path) -> dict[str, Any] | None:
    """A note; None where there is none, or one that is being written or cannot be read."""
    return read_object(path) or None


def signed(note: dict[str, Any] | None) -> bool:
    """Whether a note says which process wrote it."""
    return note is not None and all(isinstance(note.get(k), kind) for k, kind in _SIGNED.items())


def job_state(log: Path, benchmark: Path, begin_s: float = BEGIN_S) -> JobState | None:
    """State of a job that left no product; None if it never began, or its product was removed.

    `begin_s` is how long a job that wrote nothing yet counts as running; 0 after a run's end.
    """
    try:
        written = log.stat().st_mtime
    except FileNotFoundError:
        return None
    path = log.with_suffix(".job")
    note = read_note(path)
    if note is None or not signed(note):
        if benchmark.exists() and benchmark.stat().st_mtime >= written:
            return None
        if time.time() - written < begin_s:
            return JobState("running")
        return JobState("crashed", error_line(log) or "ended before it began", 1)
    if alive(note, path):
        return JobState("running", "", _tries(note))
    if "ended_utc" in note:
        reason = str(note.get("error") or error_line(log) or "ended with an error")
        return JobState("crashed", reason, _tries(note))
    where = f"SLURM job {note['slurm_job']}" if note.get("slurm_job") else f"process {note['pid']}"
    words = error_line(log, only_errors=True)
    reason = f"killed ({where} on {note['host']}): out of memory or time, or cancelled"
    return JobState("crashed", f"{reason}; log: {words}" if words else reason, _tries(note))


def _tries(note: dict[str, Any]) -> int:
    tries = note.get("tries")
    return tries if isinstance(tries, int) else 1


def error_line(log: Path, only_errors: bool = False) -> str:
    """The last line of a log that speaks of an error, else its last line."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 20000))
        text = stream.read().decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.search(line)]
    chosen = errors[-1:] or ([] if only_errors else lines[-1:])
    return chosen[0][:300] if chosen else ""


def _own_log() -> Path | None:
    """The log that this process writes to, if it is one of a job."""
    try:
        names = {os.readlink(f"/proc/self/fd/{number}") for number in (1, 2)}
    except OSError:
        return None
    name = names.pop()
    return Path(name) if not names and _LOG.fullmatch(name) else None


def process_began(pid: int) -> str | None:
    """When a process of this host began, in clock ticks since boot; None if it is no more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _exception_text() -> str:
    """The exception that ends the block, in a line; empty where the log has its own words."""
    kind, value, _ = sys.exc_info()
    if kind is KeyboardInterrupt:
        return "interrupted"
    if kind is None or kind is SystemExit:
        return ""
    return f"{kind.__name__}: {' '.join(str(value).split())[:300]}".rstrip(": ")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

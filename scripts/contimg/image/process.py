"""Running an imager as a child process; the ways in which it can break, by name."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

from contimg.core.errors import ContimgError

_TAIL = 12  # log lines that go into the message of a failure
_LITTLE_BYTES = 50_000_000


def run_imager(command: list[str], scratch: Path) -> str:
    """Run `command` in `scratch`, its output copied to the log; the output.

    :class:`ContimgError` says whether it was killed, ran out of disk or crashed, with the last
    lines it printed.
    """
    program = command[0]
    print(" ".join(command), file=sys.stderr, flush=True)
    lines = []
    try:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=scratch,
        )
    except FileNotFoundError:
        raise ContimgError(f"{program} is not installed or not on PATH") from None
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stderr.write(line)
            lines.append(line)
    if process.returncode != 0:
        tail = "".join(deque(lines, _TAIL)).strip()
        raise ContimgError(
            f"{_what_happened(program, process.returncode, tail, scratch)}; its last lines:\n{tail}"
        )
    return "".join(lines)


def _what_happened(program: str, status: int, tail: str, scratch: Path) -> str:
    if status == -signal.SIGXFSZ:
        return f"{program}: disk full (file size limit, ulimit -f); raise it"
    if status < 0:
        name = signal.Signals(-status).name
        hint = " (memory? image.memory_gb limits it)" if status == -signal.SIGKILL else ""
        return f"{program} was killed by {name}{hint}"
    free = shutil.disk_usage(scratch).free
    words = ("No space left", "error writing to FITS file", "Disk quota exceeded")
    if free < _LITTLE_BYTES or any(word in tail for word in words):
        return f"{program}: disk full, {free / 1e9:.2g} GB free in {scratch.parent}; make room"
    return f"{program} crashed with status {status} (run again; is the disk well?)"

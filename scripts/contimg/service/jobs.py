"""Jobs: folders below ``results/service/jobs``, each a run of the workflow for some targets.

All that is known of a job is in its folder and in the process table, so that a server that is
killed loses nothing: ``job.json`` says what was asked, ``process.json`` which process does it,
``log.txt`` what it prints, ``exit.json`` how it ended, ``cancelled`` that it was stopped.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.core.jobs import process_began, read_note
from contimg.core.records import write_text

MOST_UNFINISHED = 20
GRACE_S = 20.0  # from the wish to end to the kill
STATES = ("pending", "running", "done", "failed", "cancelled")
_ID_LENGTH = 24
# the exit status is written by the leader of the job's process group, after its command has ended
_RUN = """
import datetime, json, os, subprocess, sys
folder, command = sys.argv[1], sys.argv[2:]
with open(f"{folder}/log.txt", "ab") as log:
    status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
with open(f"{folder}/exit.partial", "w") as stream:
    json.dump({"status": status, "finished_at": now}, stream)
os.replace(f"{folder}/exit.partial", f"{folder}/exit.json")
"""


class Busy(Exception):
    """Too many jobs have not ended yet."""


@dataclass(frozen=True)
class JobFolder:
    """A job as its folder and the process table show it."""

    folder: Path
    asked: dict[str, Any]

    @property
    def id(self) -> str:
        """Name of the job."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """What the job prints."""
        return self.folder / "log.txt"

    def status(self) -> str:
        """One of :data:`STATES`."""
        alive = self._alive()
        ended = read_note(self.folder / "exit.json")  # after that: a job that ends now has ended
        if ended is None and alive:
            return "running"
        if (self.folder / "cancelled").exists():
            return "cancelled"
        if ended is not None:
            return "done" if ended["status"] == 0 else "failed"
        begun = (self.folder / "process.json").exists()
        young = time.time() - self.folder.stat().st_mtime < GRACE_S
        return "pending" if young and not begun else "failed"

    def error(self) -> str:
        """Why a job failed; empty for others."""
        if self.status() != "failed":
            return ""
        ended = read_note(self.folder / "exit.json")
        if ended is None:
            return "killed: the process is gone and left no exit status"
        lines = [line for line in self.tail(40).splitlines() if line.strip()]
        return f"exit status {ended['status']}: {lines[-1] if lines else 'no output'}"

    def times(self) -> tuple[str, str | None, str | None]:
        """When it was created, started and finished (ISO, UTC)."""
        started = (read_note(self.folder / "process.json") or {}).get("started_at")
        finished = (read_note(self.folder / "exit.json") or {}).get("finished_at")
        return self.asked["created_at"], started, finished

    def tail(self, lines: int) -> str:
        """The end of the log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - 400 * lines))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])

    def cancel(self) -> bool:
        """End the processes of the job, politely first; False when it had ended."""
        if self.status() not in {"pending", "running"}:
            return False
        (self.folder / "cancelled").touch()
        group = (read_note(self.folder / "process.json") or {}).get("pid")
        if group is None or not self._alive():
            return True
        subprocess.Popen(  # the kill comes also when the server is gone by then
            ["bash", "-c", f"kill -TERM -- -{group}; sleep {GRACE_S}; kill -KILL -- -{group}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return True

    def _alive(self) -> bool:
        """Whether a process of the job lives: its leader, or others of its group.

        The number of a leader is not given to another process as long as its group is there.
        """
        note = read_note(self.folder / "process.json") or {}
        if "pid" not in note:
            return False
        if process_began(note["pid"]) == note["began"] is not None:
            return True
        if process_began(note["pid"]) is not None:
            return False  # another process by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(note["pid"], 0)
            return group_works(note["pid"])
        return False


def group_works(group: int) -> bool:
    """Whether a process of a group is more than a zombie."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] not in "ZX":
                return True
    return False


class JobStore:
    """All jobs and batches of a results directory."""

    def __init__(self, results: str) -> None:
        self.root = Path(results) / "service"

    def create(
        self, kind: str, subject: str, params: dict[str, Any], artifacts: Sequence[str]
    ) -> JobFolder:
        """The folder of a new job; :class:`Busy` when too many have not ended."""
        unfinished = sum(job.status() in {"pending", "running"} for job in self.jobs())
        if unfinished >= MOST_UNFINISHED:
            raise Busy(f"{unfinished} jobs have not ended yet")
        now = datetime.datetime.now(datetime.UTC)
        folder = self.root / "jobs" / f"{now:%Y%m%dT%H%M%S%f}"[:-3]
        folder = folder.with_name(f"{folder.name}-{secrets.token_hex(3)}")
        folder.mkdir(parents=True)
        asked = {
            **{"type": kind, "ms_path": subject, "params": params, "artifacts": list(artifacts)},
            "created_at": now.isoformat(timespec="seconds"),
        }
        write_text(folder / "job.json", json.dumps(asked, indent=1) + "\n")
        return JobFolder(folder, asked)

    def start(self, job: JobFolder, command: Sequence[str], directory: str) -> None:
        """Run the command of a job in a process group of its own."""
        write_text(
            job.folder / "command.json",
            json.dumps({"command": list(command), "directory": directory}, indent=1) + "\n",
        )
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(job.folder.absolute()), *command],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        note = {"pid": process.pid, "began": process_began(process.pid), "started_at": now}
        write_text(job.folder / "process.json", json.dumps(note) + "\n")

    def jobs(self) -> list[JobFolder]:
        """All jobs, the latest first."""
        folders = sorted((self.root / "jobs").glob("*/job.json"), reverse=True)
        found = ((file.parent, read_note(file)) for file in folders)
        return [JobFolder(folder, asked) for folder, asked in found if asked is not None]

    def job(self, name: str) -> JobFolder | None:
        """A job by its name; None when there is none of that name."""
        if not name.replace("-", "").isalnum() or len(name) > 2 * _ID_LENGTH:
            return None
        folder = self.root / "jobs" / name
        asked = read_note(folder / "job.json")
        return None if asked is None else JobFolder(folder, asked)

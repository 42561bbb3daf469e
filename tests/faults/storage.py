"""Disks that fail, and power cuts, at the n-th call: what storage.c is told, and by whom.

The library is preloaded; a shared file says which calls below which folder it counts, and what
becomes of those from the n-th on. Processes that share the file share the count.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("storage.c")
KINDS = {
    "open": 1,
    "write": 2,
    "fsync": 4,
    "rename": 8,
    "mkdir": 16,
    "open to read": 32,
    "read": 64,
    "lock": 128,
    "unlink": 256,
}
POWER_CUT = 0  # instead of an error number: all processes of the group are killed
DELAY = -1  # the call is late, and then as ever
FOREVER = 1 << 40
_LAYOUT = struct.Struct("6q72x1024s1024s")


def compiler() -> str | None:
    """The system's compiler of C, if there is one."""
    return shutil.which("cc") or shutil.which("gcc")


def compiled(work: Path) -> Path:
    """The library, made in `work`."""
    library = work / "storage.so"
    command = [str(compiler()), "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


class Storage:
    """The disk below a folder, as processes with `environment` see it."""

    def __init__(self, library: Path, file: Path) -> None:
        """Of a shared file that is made anew, unless it is that of this process."""
        self.library, self.file = library, file
        if os.environ.get("FAULTS_PLAN") != str(file):
            file.write_bytes(bytes(_LAYOUT.size))
        with file.open("r+b") as stream:
            self._map = mmap.mmap(stream.fileno(), _LAYOUT.size)

    @staticmethod
    def in_folder(work: Path) -> Storage:
        """With library and shared file in `work`."""
        return Storage(compiled(work), work / "storage.plan")

    @staticmethod
    def of_this_process() -> Storage:
        """That which this process was started with (`environment`)."""
        return Storage(Path(os.environ["LD_PRELOAD"]), Path(os.environ["FAULTS_PLAN"]))

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to see this disk."""
        return {"LD_PRELOAD": str(self.library), "FAULTS_PLAN": str(self.file)}

    def fail(
        self,
        below: Path,
        calls: tuple[str, ...],
        error: int,
        at: int,
        times: int = FOREVER,
        delay_us: int = 0,
    ) -> None:
        """From the `at`-th of these calls below a folder on, `times` of them fail."""
        bits = sum(KINDS[call] for call in calls)
        folder = os.path.abspath(below).encode()
        # `at` comes last, as it arms
        new = _LAYOUT.pack(0, 0, times, bits, error, delay_us, folder, b"")
        self._map[:] = new
        self._map[8:16] = struct.pack("q", at)

    def count(self, below: Path) -> None:
        """Only count calls."""
        self.fail(below, (), 0, at=FOREVER)

    def heal(self) -> None:
        """Nothing fails, nothing is counted any more."""
        self._map[8:16] = bytes(8)

    @property
    def counted(self) -> dict[str, int]:
        """Calls of each kind so far."""
        return dict(zip(KINDS, struct.unpack("9q", self._map[48:120]), strict=True))

    @property
    def hit(self) -> str:
        """Kind and file of the first call that failed; empty when none did."""
        return self._map[120 + 1024 :].rstrip(b"\0").decode()

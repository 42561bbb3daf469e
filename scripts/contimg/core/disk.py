"""Room on the disk: asked for before it is needed, named when it is gone."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from pathlib import Path

from contimg.core.errors import ContimgError

_ROOM = "make room there (contimg plan says what a run takes), or put the results elsewhere"
_MOUNT = "mount it again and run again"
# what a disk says that is full, broken or away, and what there is to do: it is not the data
_MEDIUM = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EROFS: "mount it for writing, or put the results elsewhere",
    errno.EIO: "see the system's log about that disk, then run again or put the results elsewhere",
    errno.ESTALE: _MOUNT,
    errno.ETIMEDOUT: _MOUNT,
    errno.ENOLCK: f"it has no locks: {_MOUNT}, or put the results elsewhere",
}
# astropy, which asks before it writes, and numpy, of which a write came to no end
_SHORT = re.compile(r"Not enough space on disk|\d+ requested and \d+ written")
_RIGHTS = "give the user of the run the right to it, or put the results elsewhere"
_IN_THE_WAY = "move away what lies there, and run again"
_HANDLES = "raise the limit (ulimit -n), and run again"
_REMEDIES = _MEDIUM | {
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.ELOOP), _IN_THE_WAY),
    errno.ENAMETOOLONG: "give it a shorter name",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _HANDLES),
}


def free_bytes(path: Path) -> tuple[Path, int]:
    """(directory, bytes free) of the disk on which `path` lies or would lie."""
    folder = path.absolute()
    while not folder.is_dir():
        folder = folder.parent
    return folder, shutil.disk_usage(folder).free


def need_space(path: Path, needed: float) -> None:
    """Raise :class:`ContimgError` when `path`, of so many bytes, finds no room."""
    folder, free = free_bytes(path)
    if free < needed:
        raise ContimgError(
            f"{path} takes {needed / 1e9:.3g} GB, on the disk of {folder} {free / 1e9:.3g} GB are"
            " free; make room there, or put the results elsewhere"
        )


def no_file(path: str | Path) -> str:
    """What lies at `path`, in words, where it is no file; empty for files and what is not there.

    To be asked before reading: a pipe would let its reader wait for ever, a device have no end.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:  # its reader tells
        return ""
    if stat.S_ISDIR(mode):
        return "a directory, not a file"
    return "" if stat.S_ISREG(mode) else "a pipe, socket or device, not a file"


def trouble(error: Exception, path: Path) -> str:
    """What an error of a disk means, in words; empty for other errors."""
    number = getattr(error, "errno", None)
    number = number if number in _REMEDIES else _told(error)
    if number is None:
        return ""
    file = getattr(error, "filename2", None) or getattr(error, "filename", None)
    if file is None and number == getattr(error, "errno", None):
        file = path
    what = f"{file}: {os.strerror(number)}" if file else " ".join(str(error).split())[:500]
    where = Path(os.fsdecode(file)) if file else path
    room = f": {free_text(where)}" if number in _MEDIUM else ""
    return f"{what}{room}; {_REMEDIES[number]}"


def free_text(path: Path) -> str:
    """How much is free on the disk of `path`, in words."""
    folder, free = free_bytes(path)
    return f"on the disk of {folder} {free / 1e9:.3g} GB are free"


def named(error: Exception, path: str | Path) -> None:
    """Let an error of the disk know its file, which one of reading or writing does not.

    Nor does one of a library, which has words of its own and no number.
    """
    if not isinstance(error, OSError):
        return
    if error.errno is None:
        error.errno = _told(error)
    if error.errno is not None and error.filename is None:
        error.filename = str(path)


def of_the_medium(error: Exception) -> bool:
    """Whether an error is one of the disk, not of what is read from it."""
    return getattr(error, "errno", None) in _MEDIUM or _told(error) is not None


def _told(error: Exception) -> int | None:
    """The number of the disk's error that the text of a library's names."""
    text = str(error)
    if _SHORT.search(text):
        return errno.ENOSPC
    return next((number for number in _MEDIUM if os.strerror(number) in text), None)

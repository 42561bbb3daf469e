"""Room on the disk: asked for before it is needed, named when it is gone."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from contimg.core.errors import ContimgError

# what a disk says that takes no more
_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}


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


def trouble(error: OSError, path: Path) -> str:
    """What an error of a disk means, in words; empty for other errors."""
    if error.errno not in _TROUBLE:
        return ""
    folder, free = free_bytes(Path(error.filename) if error.filename else path)
    what = os.strerror(error.errno or 0)
    return (
        f"{error.filename or path}: {what}: on the disk of {folder} {free / 1e9:.3g} GB are free;"
        " make room there (contimg plan says what a run takes), or put the results elsewhere"
    )

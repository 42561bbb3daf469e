"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from contimg.core.disk import named

_HOST = platform.node().replace("/", "_")
_ABANDONED_S = 86400.0  # no job takes so long


def write_text(path: str | Path, text: str) -> None:
    """Write a text file so that it appears whole or not at all."""
    with atomic(path) as partial:
        partial.write_text(text)


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (same suffix); rename it into place on success.

    Works for files and directories; an older product of the same name is replaced, and what a
    killed job left of it is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f"{glob.escape(path.stem)}.partial-*{path.suffix}"):
        if _abandoned(leftover):
            _remove(leftover)
    partial = path.with_name(f"{path.stem}.partial-{_HOST}-{os.getpid()}{path.suffix}")
    _remove(partial)
    try:
        yield partial
        if partial.is_dir() and path.is_dir():
            _remove(path)
        os.replace(partial, path)
    except OSError as error:
        named(error, path)
        raise
    finally:  # nothing is left to remove unless something went wrong: that is what counts
        with contextlib.suppress(OSError):
            _remove(partial)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder of files whose names never come again."""
    for leftover in folder.glob("*.partial-*"):
        if _abandoned(leftover):
            _remove(leftover)


def _abandoned(partial: Path) -> bool:
    """Whether nobody writes a partial product any more: its process is gone from this host."""
    name = partial.name.rpartition(".partial-")[2].removesuffix(partial.suffix)
    host, _, number = name.rpartition("-")
    if host != _HOST or not number.isdigit():  # that of another host, if it is old
        with contextlib.suppress(FileNotFoundError):
            return time.time() - partial.stat().st_mtime > _ABANDONED_S
        return False
    if int(number) == os.getpid():
        return False
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"  # killed, and waited for by nobody


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

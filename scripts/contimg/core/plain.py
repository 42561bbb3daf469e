"""Names that casacore, CASA and cfitsio take as they are.

casacore replaces ``~`` and ``$NAME`` in paths, CASA's calibration library has no way to write a
quote, cfitsio reads brackets as selections. Where a path holds such characters these programs get
a link in a directory of this process, which goes when it ends.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

_PLAIN = re.compile(r"[A-Za-z0-9_./+:,=@%-]*")


def plain(path: str | Path) -> str:
    """`path`, or the same place by a link to its directory when characters ask for it.

    The last part of the path is kept: products have plain names, directories are the user's.
    """
    path = Path(path)
    whole = path.absolute()
    if _PLAIN.fullmatch(str(path)) and (path.is_absolute() or _PLAIN.fullmatch(str(whole))):
        return str(path)
    return f"{_link(whole.parent)}/{whole.name}"


@cache
def _links() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="contimg-paths-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _link(directory: Path) -> Path:
    link = _links() / str(len(list(_links().iterdir())))
    link.symlink_to(directory)
    return link

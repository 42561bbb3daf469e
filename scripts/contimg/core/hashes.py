"""Hashes of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from contimg.core.disk import named, no_file
from contimg.core.errors import DamagedError


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes; :class:`DamagedError` for a pipe or device."""
    if (why := no_file(path)) and not path.is_dir():
        raise DamagedError(path, why)
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        named(error, path)
        raise

"""Hashes of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from contimg.core.disk import named


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        named(error, path)
        raise

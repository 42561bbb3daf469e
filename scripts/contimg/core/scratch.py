"""Room beside a product for what a job needs only while it works."""

from __future__ import annotations

import contextlib
import errno
import glob
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from contimg.core.errors import ContimgError
from contimg.core.plain import plain

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def not_removed(scratch: Path) -> Iterator[None]:
    """Say so where others have removed the directory `scratch` in which a library worked.

    Its own words, of files that are not there, name what nobody has asked for.
    """
    try:
        yield
    except (OSError, RuntimeError, ContimgError) as error:
        if scratch.is_dir():
            raise
        raise ContimgError(
            f"{scratch}: removed while the job worked there ({' '.join(str(error).split())[:200]});"
            " set TMPDIR to where nobody cleans up, and run again"
        ) from error


@contextlib.contextmanager
def scratch_directory(product: Path) -> Iterator[Path]:
    """A directory beside `product`; what a killed run of the same product left is removed.

    A full disk is a :class:`ContimgError` that says so.
    """
    try:
        product.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{product.stem}.scratch-"
        for leftover in product.parent.glob(f"{glob.escape(prefix)}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        made = tempfile.TemporaryDirectory(prefix=prefix, dir=product.parent)
        with made as work, not_removed(Path(work)):
            yield Path(plain(Path(work) / "tile")).absolute().parent
    except OSError as error:
        if error.errno in _FULL:
            raise ContimgError(f"{product.parent}: disk full ({error}); make room") from None
        raise

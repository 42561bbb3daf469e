"""The cache of compiled kernels: numba reads it at the first call, and does not look before."""

from __future__ import annotations

import os
import traceback


def trouble(error: Exception) -> str:
    """What to do about a cache that numba could not read; empty for other errors.

    A power cut may leave its files empty or cut short, as numba does not wait for the disk.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if not any(frame.filename.endswith("numba/core/caching.py") for frame in frames):
        return ""
    folder = os.environ.get("NUMBA_CACHE_DIR") or "the __pycache__ of its module"
    return (
        f"{folder}: the cache of compiled kernels is damaged ({error});"
        " delete it (*.nbi, *.nbc) and run again"
    )

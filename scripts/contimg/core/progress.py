"""A bar of progress for who waits at a terminal; nothing where nobody does."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator
from typing import TextIO, TypeVar

Item = TypeVar("Item")
_WAIT_S = 1.0  # what is done sooner needs no bar
_STEP_S = 0.1
_WIDTH = 30


def progress(items: Collection[Item], what: str, stream: TextIO | None = None) -> Iterator[Item]:
    """Yield `items`; on a terminal (of stderr) say how many are done and how long it will take."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield from items
        return
    total, begun, shown = len(items), time.monotonic(), 0.0
    try:
        for done, item in enumerate(items):
            now = time.monotonic()
            if now - begun > _WAIT_S and now - shown > _STEP_S:
                shown = now
                stream.write(f"\r{line(what, done, total, now - begun)}")
                stream.flush()
            yield item
    finally:
        if shown:
            stream.write("\r\x1b[K")
            stream.flush()


def line(what: str, done: int, total: int, seconds: float) -> str:
    """``what [####......] 12 of 40, 30 s left``"""
    bar = "#" * (_WIDTH * done // max(total, 1))
    left = f", {seconds / done * (total - done):.0f} s left" if done else ""
    return f"{what} [{bar:.<{_WIDTH}}] {done} of {total}{left}"

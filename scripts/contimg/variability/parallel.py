"""The same function on many items, in several processes."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

SECONDS = 15.0  # between two lines of progress
_CHUNKS = 32  # of the items for each process: the last to end does not wait long


def parallel_map(
    function: Callable, items: Sequence, common: tuple, workers: int, show: str = ""
) -> list[Any]:
    """``[function(item, *common) for item in items]``; their order is kept.

    Processes are forked: what is in memory is shared, not sent. With `show` a line a while says
    how many are done.
    """
    if workers <= 1 or len(items) < 2 * workers:
        return list(_told((function(item, *common) for item in items), len(items), show))
    size = max(1, min(64, len(items) // (workers * _CHUNKS)))
    context = multiprocessing.get_context("fork")
    global _work
    _work = (function, items, common)
    with context.Pool(workers) as pool:
        results = pool.imap(_at, range(len(items)), chunksize=size)
        return list(_told(results, len(items), show))


def _told(results: Iterable, number: int, show: str) -> Iterable:
    last = time.monotonic()
    for done, result in enumerate(results, start=1):
        if show and (time.monotonic() - last > SECONDS or done == number):
            last = time.monotonic()
            print(f"{show}: {done} of {number}", file=sys.stderr, flush=True)
        yield result


_work: tuple[Callable, Sequence, tuple] = (len, [], ())


def _at(index: int) -> Any:
    function, items, common = _work
    return function(items[index], *common)

"""Many files read by processes of their own.

HDF5 holds a lock, so threads gain nothing; and a broken file may kill or hang the library that
reads it, which must cost that file and nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

TIMEOUT_S = 120.0  # for one file; a slow file system answers within
SHARE = 200  # files a process reads before another takes over


class _Reader:
    """A process on its share of the files, and what it has answered."""

    def __init__(self, function: Callable[[str], Any], paths: Sequence[str], first: int) -> None:
        context = multiprocessing.get_context("fork")  # the others import everything again
        self.connection, sender = context.Pipe(duplex=False)
        self.at, self.end = first, min(first + SHARE, len(paths))
        self.process = context.Process(
            target=_answer, args=(sender, function, paths[first : self.end]), daemon=True
        )
        self.process.start()
        sender.close()
        self.heard = time.monotonic()

    def stop(self) -> int | None:
        """End the process; its exit code."""
        if self.process.is_alive() and self.at < self.end:
            self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode


def read_all(
    function: Callable[[str], Any],
    paths: Sequence[str],
    processes: int | None = None,
    timeout_s: float = TIMEOUT_S,
) -> list[Any]:
    """``function(path)`` of every path, in order; a `str` says why there is no answer.

    `function` must not return a `str`. A process that dies or takes longer than `timeout_s` for
    one file costs that file; another process goes on with the next one.
    """
    answers: list[Any] = [None] * len(paths)
    most = processes or len(os.sched_getaffinity(0))
    waiting = list(range(0, len(paths), SHARE))[::-1]
    readers: dict[Connection, _Reader] = {}
    try:
        while waiting or readers:
            while waiting and len(readers) < most:
                reader = _Reader(function, paths, waiting.pop())
                readers[reader.connection] = reader
            for connection in wait(list(readers), timeout=min(timeout_s, 1.0)):
                reader = readers[connection]
                try:
                    answers[reader.at] = connection.recv()
                except EOFError:
                    code = reader.stop()
                    if reader.at < reader.end:
                        answers[reader.at] = f"reading it ended the reader ({_end(code)})"
                        _go_on(readers, reader, function, paths)
                    del readers[connection]
                    continue
                reader.at += 1
                reader.heard = time.monotonic()
            for connection, reader in list(readers.items()):
                late = time.monotonic() - reader.heard > timeout_s
                if late and reader.at < reader.end and not connection.poll():
                    reader.stop()
                    answers[reader.at] = f"no answer from the reader within {timeout_s:g} s"
                    _go_on(readers, reader, function, paths)
                    del readers[connection]
    finally:
        for reader in readers.values():
            reader.stop()
    return answers


def _go_on(
    readers: dict[Connection, _Reader], ended: _Reader, function: Callable, paths: Sequence[str]
) -> None:
    """Start another process behind the file at which one ended."""
    if ended.at + 1 < ended.end:
        after = _Reader(function, paths[: ended.end], ended.at + 1)
        readers[after.connection] = after


def _answer(sender: Connection, function: Callable[[str], Any], paths: Sequence[str]) -> None:
    for path in paths:
        sender.send(function(path))
    sender.close()
    os._exit(0)  # no clean-up of what the parent opened


def _end(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}, {signal.Signals(-code).name}"
    return f"exit status {code}"

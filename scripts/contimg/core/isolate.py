"""Run a reader in a process of its own: a broken file may kill or hang the library that reads it.

HDF5 and casacore can end the whole process, or never return, on a file whose bytes were
overwritten. A check has to survive what it is there to find.
"""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from contimg.core.errors import ContimgError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# what readers of broken files are known to raise
READ_ERRORS = (
    ContimgError,
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    MemoryError,
)


class ReaderError(Exception):
    """The reader gave no answer; the message says what became of it."""


def isolated(function: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
    """``function(*args)`` from a child process; :class:`ReaderError` when it dies or hangs."""
    context = multiprocessing.get_context("fork")  # the others import everything again
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(sender, function, args))
    child.start()
    sender.close()
    try:
        if not receiver.poll(timeout_s):
            raise ReaderError(f"no answer from the reader within {timeout_s:g} s")
        good, value = receiver.recv()
    except EOFError:
        child.join()
        raise ReaderError(f"the reader was ended by {_end(child.exitcode)}") from None
    finally:
        if child.is_alive():
            child.kill()
        child.join()
        receiver.close()
    if not good:
        raise ReaderError(value)
    return value


def end_with_parent() -> None:
    """Let this process be killed when the one that started it ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def explain(error: BaseException) -> str:
    """One line about an exception of a reader."""
    text = " ".join(str(error).split())
    if isinstance(error, ContimgError):  # written for a person
        return text
    return f"{type(error).__name__}: {text[:240]}" if text else type(error).__name__


def _answer(sender: Connection, function: Callable[..., Any], args: tuple) -> None:
    warnings.simplefilter("ignore")  # what is wrong is said in the answer, once
    faulthandler.disable()
    try:
        message = (True, function(*args))
    except READ_ERRORS as error:
        message = (False, explain(error))
    sender.send(message)
    sender.close()
    # no clean-up of what the parent opened, nor of tables that cannot be flushed
    os._exit(0)


def _end(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code} ({signal.Signals(-code).name})"
    return f"exit status {code}"

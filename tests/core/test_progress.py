"""The bar of progress is for terminals, and keeps everything that passes."""

from __future__ import annotations

import io

import pytest

from contimg.core import progress as module
from contimg.core.progress import line, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_said_where_nobody_looks():
    stream = io.StringIO()
    assert list(progress([1, 2, 3], "tiles", stream)) == [1, 2, 3]
    assert stream.getvalue() == ""


def test_a_terminal_sees_numbers_and_the_time_left(monkeypatch):
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    stream = Terminal()
    assert list(progress([*"abcd"], "tiles", stream)) == [*"abcd"]
    said = stream.getvalue()
    assert "2 of 4, 30 s left" in said and said.endswith("\r\x1b[K")


def test_what_is_quick_needs_no_bar():
    stream = Terminal()
    list(progress(range(5), "tiles", stream))
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("done", "marks"), [(0, 0), (20, 15), (40, 30)])
def test_the_bar_is_as_long_as_what_is_done(done, marks):
    text = line("x", done, 40, 10.0)
    assert text.count("#") == marks and text.count(".") >= 30 - marks

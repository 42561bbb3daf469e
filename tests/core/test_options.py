"""Options: config, flags and model say the same."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from contimg.core.options import Options, add_flags, from_namespace, to_flags


class Sample(Options):
    """One field of every kind that stages use."""

    section = "sample"
    name: str = Field("x", description="100 % of a name")
    count: int = Field(3, ge=1)
    ratio: float | None = Field(None, gt=-1e300)
    on: bool = True
    off: bool = False
    mode: Literal["a", "b"] = "a"
    table: Path | None = None
    steps: list[str] = Field(default_factory=lambda: ["one"])
    days: list[str] | None = None
    band: tuple[float, float] | None = None


def parse(line: str) -> Sample:
    parser = argparse.ArgumentParser()
    add_flags(parser, Sample)
    return from_namespace(parser.parse_args(shlex.split(line)), Sample)


# a word that begins with a dash would be a flag: none of the lists holds such words
items = st.lists(st.from_regex(r"[A-Za-z0-9+._: '\"$&]{1,10}", fullmatch=True), max_size=4)
numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e200)


@settings(deadline=None)
@given(
    st.builds(
        Sample,
        name=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
        count=st.integers(1, 10**12),
        ratio=st.none() | numbers,
        on=st.booleans(),
        off=st.booleans(),
        mode=st.sampled_from(["a", "b"]),
        table=st.none() | st.just(Path("config/a table.csv")),
        steps=items,
        days=st.none() | items,
        band=st.none() | st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)),
    )
)
def test_flags_rebuild_the_options(options: Sample) -> None:
    assert parse(to_flags(options)) == options


def test_no_flags_are_the_defaults() -> None:
    assert parse("") == Sample()


def test_flags_of_booleans_can_be_turned_both_ways() -> None:
    options = parse("--no-on --off")
    assert (options.on, options.off) == (False, True)


def test_negative_numbers_are_values() -> None:
    assert parse("--ratio=-0.5").ratio == -0.5
    assert parse(to_flags(Sample(ratio=-2e-5))).ratio == -2e-5


@pytest.mark.parametrize(
    "content", [{"count": 0}, {"unknown": 1}, {"mode": "c"}, {"ratio": float("nan")}]
)
def test_wrong_values_and_unknown_keys_are_refused(content: dict) -> None:
    with pytest.raises(ValidationError):
        Sample(**content)

"""Paths: every pattern can be filled in and read back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.core.paths import PATTERNS, WILDCARDS, day_of, fields, parse, path, pattern

# wildcards of logs and benchmarks have no fixed form: their paths are written, never read
READABLE = sorted(n for n in PATTERNS if set(fields(n)) <= set(WILDCARDS))

groups = st.datetimes().map(lambda t: t.replace(year=2000 + t.year % 100).strftime("%Y%m%dT%H%M%S"))
words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,15}", fullmatch=True)
keys = st.fixed_dictionaries(
    {
        "group": groups,
        "calibrator": words,
        "mosaic": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,20}", fullmatch=True),
        "deep": st.from_regex(r"deep_[0-9]{8}_[A-Za-z0-9_.+-]{0,20}", fullmatch=True),
        "tier": st.sampled_from(["development", "standard", "high_precision"]),
        "table": st.sampled_from(["K", "B", "G", "2G"]),
        "view": st.sampled_from(["bandpass", "gains", "delays", "quality"]),
    }
)


@pytest.mark.parametrize("name", READABLE)
@settings(max_examples=25, deadline=None)
@given(key=keys)
def test_parse_undoes_path(name: str, key: dict[str, str]) -> None:
    key = {
        "plan": "0123456789",
        **key,
        "calset": f"{key['group']}_{key['calibrator']}",
        "day": day_of(key["group"]),
    }
    key = {field: key[field] for field in fields(name)}
    assert parse(name, path(name, "out/results", **key), "out/results") == key


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_pattern_keeps_its_wildcards(name: str) -> None:
    assert all(f"{{{field}}}" in pattern(name, "results") for field in fields(name))
    assert pattern(name, "results").startswith("results/")


def test_no_two_products_share_a_path() -> None:
    key = {"group": "20251005T034512", "calset": "20251005T034512_3C286", "mosaic": "m"}
    key |= {"tier": "standard", "table": "K", "view": "gains", "rule": "rule", "job": "job"}
    key |= {"run": "run", "plan": "0123456789", "deep": "deep_20251001_d+16.00"}
    key |= {"day": "2025-10-05"}
    paths = [path(name, "r", **key) for name in PATTERNS]
    assert len(set(paths)) == len(paths)


def test_day_follows_from_the_group() -> None:
    assert path("ms", "r", group="20251005T034512") == "r/ms/2025-10-05/20251005T034512.ms"
    calset = "20251005T034512_0834+555"
    assert path("solutions", "r", calset=calset).startswith("r/cal/2025-10-05/")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ms", "r/ms/2025-10-05/2025-10-05T03:45:12.ms"),
        ("ms", "other/ms/2025-10-05/20251005T034512.ms"),
        ("image", "r/images/2025-10-05/20251005T034512/20251005T034513.standard.image.fits"),
        ("image", "r/images/2025-10-05/20251005T034512/20251005T034512.best.image.fits"),
        ("mosaic_record", "r/mosaics/a/b.json"),
    ],
)
def test_foreign_paths_are_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError, match="not a path of the kind"):
        parse(name, text, "r")

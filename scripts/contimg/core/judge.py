"""A product that is there, held against limits that have changed, by the checks in its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from contimg.core.options import Options
from contimg.core.records import judged, read_record, rewrite_record


def by_checks(record: Path, options: Sequence[Options], limits: Mapping[str, float]) -> None:
    """Rewrite `record` with the verdict that the values of its checks have now."""
    before = read_record(record)
    after = judged(before, limits, options)
    if after != before:
        rewrite_record(record, after)

"""Reasons of verdicts, grouped: the same reason with other numbers and names counts as one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BAD = ("crashed", "failed", "incomplete", "warned")
_NAME = re.compile(
    r"\b\d{8}(?:T\d{2,6})?(?:_[\w.+-]*\w)?(?:\.(?:development|standard|high_precision))?"
)
_SOURCE = re.compile(r"\bJ\d{4,6}(?:\.\d+)?[+-]\d{4,6}(?:\.\d+)?\b")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?\b|(?<=-)\d+\b")
_LIST = re.compile(r"(\S+)(?:, \1)+")


@dataclass
class Group:
    """A reason without its numbers, how often it holds, and where."""

    stage: str
    state: str
    reason: str
    example: str
    items: list[tuple[str, str]] = field(default_factory=list)  # kind, name

    @property
    def count(self) -> int:
        """Number of items."""
        return len(self.items)

    @property
    def mark(self) -> str:
        """Name of its place in the page of reasons."""
        words = re.sub(r"[^a-z]+", "-", f"{self.stage}-{self.state}-{self.reason}".lower())
        return words.strip("-")[:80]


def plain(reason: str) -> str:
    """A reason with names and numbers taken out, lists of them shortened."""
    text = _NUMBER.sub("#", _SOURCE.sub("NAME", _NAME.sub("NAME", reason)))
    return _LIST.sub(r"\1, ..", text).strip()


def group(rows: Iterable[Mapping[str, str]]) -> list[Group]:
    """Groups of what is not well, the worst state first, then the most frequent.

    Of an item only the first stage that failed or crashed counts: the later ones follow from it.
    An item with several warnings counts at each of them.
    """
    groups: dict[tuple[str, str, str], Group] = {}
    broken: set[tuple[str, str]] = set()
    for row in rows:
        item = (row["kind"], row["item"])
        if row["state"] not in BAD or item in broken:
            continue
        if row["state"] in {"crashed", "failed"}:
            broken.add(item)
        for part in (row["reason"] or "no reason given").split("; "):
            key = (row["stage"], row["state"], plain(part))
            found = groups.setdefault(key, Group(*key, example=part))
            if item not in found.items[-1:]:
                found.items.append(item)
    return sorted(groups.values(), key=lambda g: (BAD.index(g.state), -g.count, g.reason))


def rejected(rows: Iterable[Mapping[str, str]]) -> list[tuple[str, int, str]]:
    """Reasons for which files were rejected: reason, count, an example."""
    count: Counter[str] = Counter()
    example: dict[str, str] = {}
    for row in rows:
        reason = plain(row["reason"])
        count[reason] += 1
        example.setdefault(reason, row["path"])
    return [(reason, n, example[reason]) for reason, n in count.most_common()]

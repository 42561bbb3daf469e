"""The products that an operator names: groups, calsets and mosaics, by name or pattern."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from contimg.core.command import Files
from contimg.core.errors import ContimgError
from contimg.core.options import POSITIONAL
from contimg.help import did_you_mean
from contimg.report.status import Status


class NamedFiles(Files):
    """Products of a results directory."""

    names: Annotated[list[str], POSITIONAL] = Field(
        [], description="names of groups, calsets or mosaics; patterns such as '20251005T*' too"
    )
    names_from: Path | None = Field(None, description="file with a name a line (- to read them)")
    results: str = Field("results", description="results directory")

    def wanted(self) -> list[str]:
        """All names that were given."""
        if self.names_from is None:
            return self.names
        try:
            text = sys.stdin.read() if str(self.names_from) == "-" else self.names_from.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ContimgError(f"{self.names_from}: no list of names there ({error})") from None
        return [*self.names, *(line for raw in text.splitlines() if (line := raw.strip()))]


def some(names: Sequence[str], what: str) -> Sequence[str]:
    """`names`, or :class:`ContimgError` when there are none."""
    if not names:
        raise ContimgError(f"name the {what}; contimg status and contimg plan list them")
    return names


def match(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """The items that `names` mean, each once; :class:`ContimgError` for one that is unknown."""
    items = list(dict.fromkeys(known))
    there = set(items)
    found: list[str] = []
    for name in names:
        hits = [name] if name in there else fnmatch.filter(items, name)
        if not hits:
            raise ContimgError(
                f"no product {name} in the plan{did_you_mean(name, items)}"
                " (groups, calsets and mosaics have the names of contimg plan)"
            )
        found += hits
    return list(dict.fromkeys(found))


def items_of(plan: dict[str, Any]) -> list[str]:
    """Names of all groups, calsets and mosaics of a plan."""
    return [*plan["groups"], *plan["calsets"], *plan["mosaics"]]


def roots(rows: Iterable[Status], states: Sequence[str]) -> list[Status]:
    """Of every item its first row in one of `states`: what comes after it is a consequence."""
    first: dict[tuple[str, str], Status] = {}
    for row in rows:
        if row.state in states and row.kind != "file":
            first.setdefault((row.kind, row.item), row)
    return list(first.values())

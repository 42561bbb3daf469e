"""A person's decisions on single tiles of a mosaic, from a table under ``config/``."""

from __future__ import annotations

import csv
from pathlib import Path

from contimg.core.errors import ContimgError

COLUMNS = ("mosaic", "tile", "decision", "reason")
DECISIONS = ("use", "leave_out", "release")  # release: no decision any more

Decision = tuple[str, str]  # what, why


def read_decisions(path: Path | None, mosaic: str) -> dict[str, Decision]:
    """Decisions for the tiles of `mosaic`, by tile; a row naming the mosaic stands above ``*``."""
    if path is None:
        return {}
    if not path.exists():
        raise ContimgError(f"{path}: table of decisions on tiles not found (mosaic.overrides)")
    found: dict[str, dict[str, Decision]] = {"*": {}, mosaic: {}}
    with path.open(newline="") as stream:
        reader = csv.DictReader(line for line in stream if not line.startswith("#"))
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
        if missing:
            raise ContimgError(f"{path}: lacks the columns {', '.join(missing)}")
        for row in reader:
            where, tile, decision, reason = ((row[name] or "").strip() for name in COLUMNS)
            if decision not in DECISIONS:
                raise ContimgError(
                    f"{path}: {tile}: decision {decision!r} is none of {', '.join(DECISIONS)}"
                )
            if not reason:
                raise ContimgError(f"{path}: {tile}: a decision needs a reason")
            if where not in found:
                continue
            if tile in found[where]:
                raise ContimgError(f"{path}: {where}, {tile}: more than one decision")
            signed = [(row.get(name) or "").strip() for name in ("by", "decided_utc")]
            signed = [word for word in signed if word]
            found[where][tile] = (decision, f"{reason} ({', '.join(signed)})" if signed else reason)
    decisions = found["*"] | found[mosaic]
    return {tile: said for tile, said in decisions.items() if said[0] != "release"}

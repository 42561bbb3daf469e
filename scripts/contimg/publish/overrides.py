"""A person's decisions on single products, with their reasons, from a table under ``config/``."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from contimg.core.errors import ContimgError

COLUMNS = ("product", "decision", "reason")
DECISIONS = ("publish", "hold", "release")  # release: the verdict alone decides


@dataclass(frozen=True)
class Override:
    """One decision that stands above the verdict."""

    decision: str
    reason: str
    by: str = ""
    decided_utc: str = ""

    @property
    def why(self) -> str:
        """The reason, who gave it and when."""
        signed = ", ".join(word for word in (self.by, self.decided_utc) if word)
        return f"{self.reason} ({signed})" if signed else self.reason


def read_overrides(path: Path | None) -> dict[str, Override]:
    """The decisions by product; :class:`ContimgError` when the table is not in order."""
    if path is None:
        return {}
    if not path.exists():
        raise ContimgError(f"{path}: table of decisions not found (publish.overrides)")
    with path.open(newline="") as stream:
        reader = csv.DictReader(line for line in stream if not line.startswith("#"))
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
        if missing:
            raise ContimgError(f"{path}: lacks the columns {', '.join(missing)}")
        found: dict[str, Override] = {}
        for row in reader:
            product, decision, reason = ((row[name] or "").strip() for name in COLUMNS)
            if decision not in DECISIONS:
                raise ContimgError(
                    f"{path}: {product}: decision {decision!r} is none of {', '.join(DECISIONS)}"
                )
            if not reason:
                raise ContimgError(f"{path}: {product}: a decision needs a reason")
            if product in found:
                raise ContimgError(f"{path}: {product}: more than one decision")
            signed = ((row.get(name) or "").strip() for name in ("by", "decided_utc"))
            found[product] = Override(decision, reason, *signed)
    return found

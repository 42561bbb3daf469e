"""How a tile was calibrated, along the records that its record names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.core.records import read_record


@dataclass(frozen=True)
class Calibration:
    """How a tile was calibrated; what the records do not tell is empty or None.

    Its calsets (two between which was interpolated), their presets, the tile's tier, why a calset
    failed, and how far away in declination the farther one was observed [deg].
    """

    calsets: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    tier: str = ""
    failed: str = ""
    dec_offset_deg: float | None = None

    @property
    def named(self) -> str:
        """The calsets, apart by a blank: no name of one has any."""
        return " ".join(self.calsets)


def calibration_of(record: Path) -> Calibration:
    """Follow an image's record to its calsets; records that are gone or unnamed tell nothing."""
    image = read_record(record)
    applied = _upstream(image, "apply")
    solved = [content for content in _inputs(applied) if content.get("stage") == "solve"]
    failed = "; ".join(content["reason"] for content in solved if content["verdict"] == "fail")
    here, there = _pointing(applied), [_pointing(content) for content in solved]
    offsets = [abs(here - dec) for dec in there if here is not None and dec is not None]
    return Calibration(
        tuple(image["data"].get("calsets") or ()),
        tuple(str(content["data"].get("tier") or "") for content in solved),
        str(image["data"].get("tier") or ""),
        failed,
        max(offsets, default=None),
    )


def _upstream(record: dict[str, Any] | None, stage: str) -> dict[str, Any] | None:
    """The record of `stage` among the inputs of `record`."""
    for content in _inputs(record):
        if content.get("stage") == stage:
            return content
    return None


def _pointing(record: dict[str, Any] | None) -> float | None:
    """Declination [deg] at which the data behind a record were observed, from their manifest."""
    for content in _inputs(_upstream(record, "convert")):
        group = content.get("group")
        if isinstance(group, dict):
            dec = group.get("dec_app_deg")
            return float(group["dec_deg"] if dec is None else dec)
    return None


def _inputs(record: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Contents of the JSON inputs of a record that exist; of a directory, the record beside it."""
    found = []
    for item in (record or {}).get("inputs", []):
        path = Path(item["path"])
        if "record_sha256" in item:
            path = path.with_suffix(".json")
        if path.suffix == ".json" and path.exists():
            found.append(json.loads(path.read_text()))
    return found

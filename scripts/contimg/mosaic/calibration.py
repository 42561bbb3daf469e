"""How a tile was calibrated, along the records that its record names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.core.records import read_record


@dataclass(frozen=True)
class Calibration:
    """Calset of a tile, its preset, the tile's tier, why the calset failed, and how far away in
    declination it was observed [deg]. What the records do not tell is empty or None."""

    calset: str = ""
    preset: str = ""
    tier: str = ""
    failed: str = ""
    dec_offset_deg: float | None = None


def calibration_of(record: Path) -> Calibration:
    """Follow an image's record to its calset; records that are gone or unnamed tell nothing."""
    image = read_record(record)
    applied = _upstream(image, "apply")
    calset = str(image["data"].get("calset") or "")
    solved = _upstream(applied, "solve") if applied else None
    failed = solved["reason"] if solved and solved["verdict"] == "fail" else ""
    here, there = _pointing(applied), _pointing(solved)
    offset = None if here is None or there is None else abs(here - there)
    preset = str((solved or {}).get("data", {}).get("tier") or "")
    return Calibration(calset, preset, str(image["data"].get("tier") or ""), failed, offset)


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

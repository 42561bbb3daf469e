"""How a tile was calibrated, along the records that its record names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.core.records import followed, read_record


@dataclass(frozen=True)
class Calibration:
    """How a tile was calibrated; what the records do not tell is empty or None.

    Its calsets (two between which was interpolated), their presets, the tile's tier, why a calset
    failed, how far away in declination the farther one was observed [deg], and the declination at
    which the tile was.
    """

    calsets: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    tier: str = ""
    failed: str = ""
    dec_offset_deg: float | None = None
    pointing_dec_deg: float | None = None

    @property
    def named(self) -> str:
        """The calsets, apart by a blank: no name of one has any."""
        return " ".join(self.calsets)


def calibration_of(record: Path) -> Calibration:
    """Follow an image's record to its calsets; records from elsewhere that are gone tell nothing.

    :class:`DataQualityError` when one below the results is gone.
    """
    image = read_record(record)
    applied = _upstream([(record, image)], "apply")
    solved = [named for named in _inputs(applied) if named[1].get("stage") == "solve"]
    failed = "; ".join(content["reason"] for _, content in solved if content["verdict"] == "fail")
    here, there = _pointing(applied), [_pointing([named]) for named in solved]
    offsets = [abs(here - dec) for dec in there if here is not None and dec is not None]
    return Calibration(
        tuple(image["data"].get("calsets") or ()),
        tuple(str(content["data"].get("tier") or "") for _, content in solved),
        str(image["data"].get("tier") or ""),
        failed,
        max(offsets, default=None),
        here,
    )


Named = list[tuple[Path, dict[str, Any]]]  # records with their paths


def _upstream(records: Named, stage: str) -> Named:
    """The record of `stage` among the inputs of `records`; none, or one."""
    return [named for named in _inputs(records) if named[1].get("stage") == stage][:1]


def _pointing(records: Named) -> float | None:
    """Declination [deg] at which the data behind a record were observed, from their manifest."""
    for _, content in _inputs(_upstream(records, "convert")):
        group = content.get("group")
        if isinstance(group, dict):
            dec = group.get("dec_app_deg")
            return float(group["dec_deg"] if dec is None else dec)
    return None


def _inputs(records: Named) -> Named:
    """The records and manifests that `records` were made from."""
    return [named for path, content in records for named in followed(content, path)]

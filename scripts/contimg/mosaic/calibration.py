"""How a tile was calibrated, along the records that its record names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contimg.core.records import read_record
from contimg.core.upstream import inputs_of, pointing_of, upstream


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
    applied = upstream([(record, image)], "apply")
    solved = [named for named in inputs_of(applied) if named[1].get("stage") == "solve"]
    failed = "; ".join(content["reason"] for _, content in solved if content["verdict"] == "fail")
    here, there = pointing_of(applied), [pointing_of([named]) for named in solved]
    offsets = [abs(here - dec) for dec in there if here is not None and dec is not None]
    return Calibration(
        tuple(image["data"].get("calsets") or ()),
        tuple(str(content["data"].get("tier") or "") for _, content in solved),
        str(image["data"].get("tier") or ""),
        failed,
        max(offsets, default=None),
        here,
    )

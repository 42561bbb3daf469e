"""Files of the verbs that calibrate a tile; declarations only."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from contimg.core.command import Files
from contimg.core.shared import DEC_TOLERANCE_DEG, STALENESS_HOURS


class CalsetFiles(Files):
    """The calsets that may serve a tile, what one must keep to, and what is written."""

    solutions: list[Path] = Field([], description="records of the calsets that may serve")
    inspections: list[Path] = Field([], description="records of the inspections of these")
    catalog: Path | None = Field(None, description="table of the sources to make steady")
    tier: Literal["development", "standard", "high_precision"] = Field(
        "standard", description="tier of the images; development calsets serve no other"
    )
    staleness_hours: float = Field(
        STALENESS_HOURS, gt=0, description="largest time between calset and tile [h]"
    )
    dec_tolerance_deg: float = Field(
        DEC_TOLERANCE_DEG,
        gt=0,
        description="largest difference in pointing declination of calset and tile [deg]",
    )
    calibrated: Path = Field(description="Measurement Set to write")
    choice: Path = Field(description="JSON file of the calset's choice to write")
    record: Path = Field(description="JSON record to write")

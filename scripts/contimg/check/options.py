"""Options of the quality checks."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contimg.core.options import Options


class CheckOptions(Options):
    """What is checked beyond each stage's own limits."""

    section = "check"
    expected: Path | None = Field(
        None,
        description="table of sources of known flux density and position to compare with: source,"
        " ra_deg, dec_deg, flux_jy, flux_tolerance, position_tolerance_arcsec (empty: no point)",
    )


class AllTilesOptions(Options):
    """What all tiles of the results say together."""

    section = "all_tiles"
    match_beams: float = Field(
        0.5,
        gt=0,
        description="detections of tiles nearer than this to each other are one source [beams]",
    )
    max_dish_error: float = Field(
        0.01,
        gt=0,
        description="relative error of the dish diameter, over all tiles, that warns if it is five"
        " times its own error",
    )

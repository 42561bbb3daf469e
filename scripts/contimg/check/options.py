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
        " ra_deg, dec_deg, flux_jy, flux_tolerance, position_tolerance_arcsec",
    )

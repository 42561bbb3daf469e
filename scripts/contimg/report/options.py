"""Options of the report."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contimg.core.options import Options


class ReportOptions(Options):
    """How the pages look."""

    section = "report"
    title: str = Field("DSA-110 continuum imaging", description="title of the pages")
    max_tiles: int = Field(
        400,
        ge=0,
        description="tile previews on the page of a day; failed tiles first, then by time",
    )
    cutout_pixels: int = Field(
        31,
        ge=0,
        le=255,
        description="side of the cut-outs of sources [pixels of the mosaic]; 0: none",
    )
    candidate_decisions: Path | None = Field(
        None,
        description="table of what people think of candidates (contimg flag-candidate adds to it)",
    )

"""Options of the report."""

from __future__ import annotations

from pydantic import Field

from contimg.core.options import Options


class ReportOptions(Options):
    """How the page looks."""

    section = "report"
    title: str = Field("DSA-110 continuum imaging", description="title of the page")
    max_tiles: int = Field(
        400, ge=0, description="tile previews shown; failed tiles first, then in order of time"
    )

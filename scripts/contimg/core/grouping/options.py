"""Options of what makes a group."""

from __future__ import annotations

from pydantic import Field

from contimg.core.options import Options


class GroupingOptions(Options):
    """What makes a group of the subband files; part of the section ``discover``."""

    section = "discover"
    tolerance_s: float = Field(
        6.0,
        gt=0,
        le=150,
        description="files whose data start within this time are of one observation [s]",
    )
    time_agreement: float = Field(
        0.01,
        gt=0,
        lt=0.5,
        description="a file whose times differ from its group's by more is rejected [integrations]",
    )
    pointing_tolerance_deg: float = Field(
        0.01, gt=0, description="largest difference in pointing between files of a group [deg]"
    )
    min_subbands: int | None = Field(
        None,
        ge=1,
        description="subbands a group must have; missing ones are flagged (all if unset)",
    )
    max_clock_offset_s: float = Field(
        600.0,
        gt=0,
        description="largest difference of the time in a name from that in the data [s]",
    )
    declinations_deg: list[float] | None = Field(
        None, description="only groups that point at these declinations [deg]"
    )
    declination_margin_deg: float = Field(
        0.25, gt=0, description="how far from declinations_deg a pointing may be [deg]"
    )

"""Options of discovery and planning."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contimg.core.options import Options


class DiscoverOptions(Options):
    """Where the data are and what makes a group."""

    section = "discover"
    raw_dir: Path = Field(Path("raw"), description="directory of the UVH5 files (searched below)")
    scan: bool = Field(True, description="look for new files at start; off freezes the plan")
    tolerance_s: float = Field(
        6.0, gt=0, description="files whose data start within this time form one group [s]"
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
    days: list[str] | None = Field(None, description="only these UTC days (YYYY-MM-DD)")
    groups: list[str] | None = Field(None, description="only these groups")


class PlanOptions(Options):
    """Which calibrators serve which tiles."""

    section = "plan"
    calibrators: Path = Field(
        Path("config/calibrators.csv"), description="table of the calibrators"
    )
    use: list[str] | None = Field(None, description="only these calibrators of the table")
    min_pb: float = Field(
        0.3, gt=0, le=1, description="smallest primary-beam response for a calibrator at transit"
    )
    min_flux_jy: float = Field(
        1.0, ge=0, description="smallest apparent flux density of a calibrator at transit [Jy]"
    )
    dec_tolerance_deg: float = Field(
        0.5, gt=0, description="largest difference in pointing declination of calset and tile [deg]"
    )
    staleness_hours: float = Field(
        24.0, gt=0, description="largest time between calibrator observation and tile [h]"
    )
    max_calsets: int = Field(3, ge=1, description="candidate calsets offered to a tile")

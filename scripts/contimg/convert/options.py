"""Options of conversion and flagging."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contimg.core.options import Options


class ConvertOptions(Options):
    """How a group becomes a Measurement Set."""

    section = "convert"
    uvw_tolerance_m: float = Field(
        0.5,
        gt=0,
        description="warn when uvw of the file and of its antenna positions differ by more [m]",
    )
    antenna_positions: Path | None = Field(
        None,
        description="table of antenna positions that replace the file's (CSV: name, x_m, y_m, z_m,"
        " ITRF)",
    )
    min_usable: float = Field(
        0.1, ge=0, le=1, description="fraction of unflagged data below which a group fails"
    )
    warn_usable: float = Field(
        0.3, ge=0, le=1, description="fraction of unflagged data below which a group warns"
    )


class FlagOptions(Options):
    """Flagging during conversion, subband by subband. Steps run in the order given."""

    section = "flag"
    steps: list[str] = Field(
        ["dead", "array_rfi", "clip", "occupancy"],
        description="dead (antennas), array_rfi, clip, occupancy; invalid values always go",
    )
    dead_ratio: float = Field(
        0.1, ge=0, description="antenna dead if its median amplitude is below this x the array's"
    )
    array_rfi_sigma: float = Field(
        6.0, gt=0, description="threshold on the array's mean amplitude per time and channel"
    )
    clip_sigma: float = Field(
        7.0, gt=0, description="threshold on a sample against its baseline's median amplitude"
    )
    occupancy: float = Field(
        0.5, gt=0, le=1, description="flag a channel, time or antenna flagged beyond this fraction"
    )

"""Options of conversion."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contimg.core.options import Limit, Options


class ConvertOptions(Options):
    """How a group becomes a Measurement Set."""

    section = "convert"
    uvw_tolerance_m: Limit = Field(
        0.5,
        gt=0,
        description="warn when uvw of the file and of its antenna positions differ by more [m]",
    )
    uvw_fail_m: Limit = Field(
        5.0,
        gt=0,
        description="fail when they differ by more: then antennas are not where the file says [m]",
    )
    effective_warn: Limit = Field(
        0.7,
        ge=0,
        le=1,
        description="warn when the weights leave less of the data: (sum w)^2 / (N sum w^2)",
    )
    effective_fail: Limit = Field(0.3, ge=0, le=1, description="fail when they leave less")
    max_broken_subbands: int = Field(
        2,
        ge=0,
        description="files of a group that turn out to be broken and are left out; with more of"
        " them the group fails",
    )
    antenna_positions: Path | None = Field(
        None,
        description="table of antenna positions that replace the file's: name, x_m, y_m, z_m"
        " (ITRF); each row must be an antenna of the data (DSA-2, DSA-002, 2 and pad 2 are one)",
    )

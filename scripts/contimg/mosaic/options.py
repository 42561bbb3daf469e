"""Options of the mosaics: which tiles form one, and how they are added."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from contimg.core.options import Options


class MosaicOptions(Options):
    """How tiles are chosen, brought to one beam and one grid, and added."""

    section = "mosaic"
    mode: Literal["calibrator", "window", "field"] = Field(
        "calibrator",
        description="what a mosaic is: the tiles about a calibrator's transit, a sliding window "
        "of consecutive tiles, or all tiles of a day at one declination",
    )
    span_minutes: float = Field(
        60.0, gt=0, description="calibrator mode: length of time centred on the transit [min]"
    )
    window_tiles: int = Field(10, ge=1, description="window mode: tiles in one mosaic")
    window_overlap: int = Field(2, ge=0, description="window mode: tiles shared with the next one")
    method: Literal["pbweighted", "weighted", "mean"] = Field(
        "pbweighted",
        description="weights of the beam-corrected tiles: pb^2/rms^2, 1/rms^2 or equal",
    )
    pb_limit: float = Field(
        0.2, gt=0, lt=1, description="a tile is not used where its primary beam is below this"
    )
    max_rms_ratio: float = Field(
        3.0, gt=1, description="leave out tiles noisier than this times the median of the tiles"
    )
    beam_tolerance: float = Field(
        0.001,
        ge=0,
        description="relative difference of beam axes above which tiles are convolved to a "
        "common beam",
    )
    spline_order: int = Field(5, description="degree of the regridding spline, 3 or 5")
    rms_box_beams: float = Field(
        16.0, gt=4, description="box in which the local noise is measured [beam major axes]"
    )
    max_radius_deg: float = Field(
        30.0,
        gt=0,
        le=60,
        description="no tile centre may be farther from the mosaic's centre [deg]",
    )

    @field_validator("spline_order")
    @classmethod
    def _known_order(cls, value: int) -> int:
        if value not in (3, 5):
            raise ValueError("must be 3 or 5")
        return value

"""Options of the mosaics: which tiles form one, how they are added, how the result is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from contimg.core.options import Options


class MosaicOptions(Options):
    """How tiles are chosen, brought to one beam and one grid, and added."""

    section = "mosaic"
    planning = frozenset(
        {"mode", "span_minutes", "window_tiles", "window_overlap", "min_tiles"}
        | {"strip_tolerance_deg"}
    )
    mode: Literal["calibrator", "window", "day", "field", "none"] = Field(
        "calibrator",
        description="what a mosaic is: the tiles about a calibrator's transit, a sliding window "
        "of consecutive tiles, all tiles of a UTC day and declination strip, or of a UTC day at "
        "one position; none: only the lists of plan.mosaics",
    )
    span_minutes: float = Field(
        60.0, gt=0, description="calibrator mode: length of time centred on the transit [min]"
    )
    window_tiles: int = Field(10, ge=1, description="window mode: tiles in one mosaic")
    window_overlap: int = Field(
        2,
        ge=0,
        description="window mode: tiles shared with the next one (the stride is window_tiles "
        "minus this); a missing tile ends a run of windows",
    )
    min_tiles: int = Field(
        1,
        ge=1,
        description="mosaics of fewer tiles are not made; in window mode the tiles left over at "
        "the end of a run then join the last window",
    )
    strip_tolerance_deg: float = Field(
        0.1, gt=0, description="pointings nearer in declination are of one strip [deg]"
    )
    method: Literal["pbweighted", "weighted", "mean"] = Field(
        "pbweighted",
        description="weights of the beam-corrected tiles: pb^2/rms^2, 1/rms^2 or equal",
    )
    pb_limit: float = Field(
        0.2, gt=0, lt=1, description="a tile is not used where its primary beam is below this"
    )
    tiles_corrected: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="whether the tiles given are corrected for the primary beam (which is then "
        "undone); auto: as the keyword PBCOR of each file says, not corrected without it",
    )
    max_rms_ratio: float = Field(
        3.0, gt=1, description="leave out tiles noisier than this times the median of the tiles"
    )
    min_dynamic_range: float = Field(
        5.0, ge=0, description="leave out tiles whose peak over noise is below this"
    )
    max_beam_ratio: float = Field(
        1.3,
        gt=1,
        description="leave out tiles whose beam is longer than this times the median of the tiles",
    )
    max_pb_difference: float = Field(
        0.2,
        gt=0,
        description="leave out tiles whose primary beam differs in peak or in width from the "
        "median of the tiles by more than this (relative)",
    )
    max_calset_dec_deg: float = Field(
        0.5,
        gt=0,
        description="leave out tiles whose calset was observed farther than this in declination "
        "[deg]",
    )
    max_offset_beams: float = Field(
        0.25,
        gt=0,
        description="leave out tiles whose sources lie farther than this from those of the other "
        "tiles [beams]",
    )
    max_flux_difference: float = Field(
        0.3,
        gt=0,
        description="leave out tiles whose flux scale differs from that of the other tiles by "
        "more than this (relative)",
    )
    match_snr: float = Field(
        20.0, gt=5, description="signal to noise of the sources compared between tiles"
    )
    overrides: Path | None = Field(
        None,
        description="CSV of a person's decisions: mosaic (* for all), tile, decision (use or "
        "leave_out), reason",
    )
    beam_tolerance: float = Field(
        0.001,
        ge=0,
        description="relative difference of beam axes above which tiles are convolved to a "
        "common beam",
    )
    cell_arcsec: float | None = Field(
        None,
        ge=1e-3,
        le=3600,
        description="pixel of the mosaic [arcsec] (the smallest of the tiles if unset)",
    )
    spline_order: int = Field(5, description="degree of the regridding spline, 3 or 5")
    rms_box_beams: float = Field(
        16.0, gt=4, description="box in which the local noise is measured [beam major axes]"
    )
    max_radius_deg: float = Field(
        8.0,
        gt=0,
        le=60,
        description="no tile centre may be farther from the mosaic's centre [deg]; a day is "
        "parted so; memory grows with it",
    )

    @model_validator(mode="after")
    def _windows_go_on(self) -> MosaicOptions:
        if self.window_overlap >= self.window_tiles:
            raise ValueError("window_overlap must be less than window_tiles")
        if self.mode == "window" and self.min_tiles > self.window_tiles:
            raise ValueError("min_tiles is more than window_tiles")
        return self

    @field_validator("spline_order")
    @classmethod
    def _known_order(cls, value: int) -> int:
        if value not in (3, 5):
            raise ValueError("must be 3 or 5")
        return value


class ValidationOptions(Options):
    """How a finished mosaic is judged. Lengths are in beams, levels in units of the noise."""

    section = "mosaic_validation"
    min_covered: float = Field(
        0.1, ge=0, le=1, description="fail below this covered fraction of the grid"
    )
    max_holes: float = Field(
        0.01, ge=0, description="warn above this uncovered fraction inside the mosaic"
    )
    max_noise_spread: float = Field(
        2.0,
        gt=1,
        description="warn when the noise of a region exceeds the expectation by this much more "
        "than in the median region; twice that fails",
    )
    max_seam_sigma: float = Field(
        0.5,
        gt=0,
        description="warn on steps of the background across a tile's edge [noise]; four times "
        "that fails",
    )
    seam_beams: float = Field(
        3.0, gt=1, description="width of the strips compared at an edge [beam major axes]"
    )
    max_bowl_sigma: float = Field(
        0.5,
        gt=0,
        description="warn where the background of a region is negative by this much [noise]; "
        "four times that fails",
    )
    max_negative: float = Field(
        1e-4, gt=0, description="warn above this fraction of pixels below -5 sigma"
    )
    fail_negative: float = Field(
        0.01, gt=0, description="fail above this fraction of pixels below -5 sigma"
    )
    max_ring: float = Field(
        0.01,
        gt=0,
        description="warn on rings around the brightest sources above this fraction of their peak",
    )
    max_offset_beams: float = Field(
        0.1,
        gt=0,
        description="warn when tiles disagree in position by more than this [beams]; three times "
        "that fails",
    )
    max_flux_difference: float = Field(
        0.1,
        gt=0,
        description="warn when tiles disagree in flux scale by more than this (relative); three "
        "times that fails",
    )

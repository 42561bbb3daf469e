"""Options of the photometry."""

from __future__ import annotations

from pydantic import Field

from contimg.core.options import Options


class PhotometryOptions(Options):
    """How flux densities are measured; lengths are in beams, so they hold at every resolution."""

    section = "photometry"
    stamp_beams: float = Field(
        1.0,
        ge=0.4,
        le=3,
        description="radius of the fitted ellipse, in full widths of the beam; a smaller one is "
        "less noisy where the noise is correlated like the beam, a larger one less biased where "
        "clean components off the pixel centres have widened a source",
    )
    blend_beams: float = Field(
        2.5,
        ge=1,
        le=6,
        description="sources closer than this many major axes are fitted together",
    )
    duplicate_beams: float = Field(
        0.05,
        ge=0,
        lt=0.5,
        description="sources closer than this many major axes are measured as one and flagged",
    )
    free_fit_snr: float = Field(
        5.0, ge=3, description="signal to noise from which the position is fitted as well"
    )
    acf_beams: float = Field(
        3.0, ge=2, description="greatest lag of the noise autocorrelation [beam major axes]"
    )
    acf_min_beams: float = Field(
        300.0,
        gt=0,
        description="beam areas the residual must cover for its autocorrelation to be measured; "
        "with fewer that of the restoring beam is taken",
    )

"""Options of the model of the field that is made of deep mosaics."""

from __future__ import annotations

from pydantic import Field

from contimg.core.options import Options


class DeepFieldOptions(Options):
    """What of a deep mosaic is taken for a source that the catalogue lacks."""

    section = "deep_field"
    snr: float = Field(7.0, ge=5, description="least signal to noise in the deep mosaic")
    match_beams: float = Field(
        1.0, gt=0, description="nearer than this to a known source it is that one [beams]"
    )
    dynamic: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="part of a bright source's flux density below which a peak a beam away from it"
        " is not believed; falls with the distance",
    )

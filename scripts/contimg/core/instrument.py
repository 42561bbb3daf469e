"""Options of the telescope that took the data."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from contimg.core.options import Options


class InstrumentOptions(Options):
    """The telescope that took the data."""

    section = "instrument"
    telescope: str = Field("OVRO_MMA", description="telescope name that the data must carry")
    subbands: int = Field(16, ge=1, description="subband files of a complete group")
    band_mhz: tuple[float, float] | None = Field(
        None,
        description="edges of the whole band [MHz]; fixes the grid when subbands are missing",
    )
    dish_diameter_m: float = Field(4.65, ge=0.1, le=1000, description="dish diameter [m]")
    beam_model: Literal["airy", "gaussian", "table"] = Field(
        "airy", description="primary beam model"
    )
    beam_fwhm_deg: float | None = Field(
        None, gt=0, description="full width at half power at 1.4 GHz [deg], for the Gaussian beam"
    )
    beam_table: Path | None = Field(
        None, description="CSV of sin(theta)*freq_ghz and power, for the measured beam"
    )
    sefd_jy: float = Field(
        6500.0, gt=0, description="system equivalent flux density of one antenna [Jy]"
    )
    antenna_prefix: str = Field(
        "DSA-",
        description="put before antenna names that are bare numbers (CASA takes those for indices)",
    )

    @model_validator(mode="after")
    def _band_is_one(self) -> InstrumentOptions:
        if self.band_mhz is not None and not 10 < self.band_mhz[0] < self.band_mhz[1] < 1e6:
            low, high = self.band_mhz
            raise ValueError(
                f"band_mhz {low:g} to {high:g} is no band in MHz, from its lower to its upper edge"
            )
        return self

    @model_validator(mode="after")
    def _beam_is_complete(self) -> InstrumentOptions:
        if self.beam_model == "gaussian" and self.beam_fwhm_deg is None:
            raise ValueError("beam_model gaussian needs beam_fwhm_deg")
        if self.beam_model == "table" and self.beam_table is None:
            raise ValueError("beam_model table needs beam_table")
        return self

"""The primary beam: one definition for simulator, calibration, images, mosaics, photometry."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from contimg.core.options import Options

C_M_S = 299_792_458.0


class InstrumentOptions(Options):
    """The telescope that took the data."""

    section = "instrument"
    telescope: str = Field("OVRO_MMA", description="telescope name that the data must carry")
    subbands: int = Field(16, ge=1, description="subband files of a complete group")
    band_mhz: tuple[float, float] | None = Field(
        None,
        description="edges of the whole band [MHz]; fixes the grid when subbands are missing",
    )
    dish_diameter_m: float = Field(4.65, gt=0, description="dish diameter [m]")
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
    def _beam_is_complete(self) -> InstrumentOptions:
        if self.beam_model == "gaussian" and self.beam_fwhm_deg is None:
            raise ValueError("beam_model gaussian needs beam_fwhm_deg")
        if self.beam_model == "table" and self.beam_table is None:
            raise ValueError("beam_model table needs beam_table")
        return self


class PrimaryBeam:
    """Power response of one dish, unity on axis, equal for both feeds.

    ``airy`` is the uniformly illuminated circular aperture, [2 J1(x)/x]^2 with
    x = pi D sin(theta)/lambda (Born & Wolf, section 8.5.2); ``gaussian`` scales its width with
    wavelength; ``table`` interpolates a measured power beam in sin(theta) * freq_ghz.
    """

    def __init__(self, options: InstrumentOptions) -> None:
        self.options = options
        if options.beam_model == "table":
            table = np.loadtxt(options.beam_table, delimiter=",", comments="#", ndmin=2)
            self._abscissa, self._power = table[:, 0], table[:, 1]

    def power(self, separation_rad: ArrayLike, freq_hz: ArrayLike) -> NDArray[np.float64]:
        """Power response at `separation_rad` from the axis and `freq_hz`, broadcast together."""
        sin_theta = np.sin(np.minimum(np.abs(separation_rad), np.pi / 2))
        freq = np.asarray(freq_hz, dtype=float)
        if self.options.beam_model == "airy":
            from scipy.special import j1

            x = np.pi * self.options.dish_diameter_m * freq / C_M_S * sin_theta
            safe = np.where(np.abs(x) < 1e-4, 1.0, x)
            return np.where(np.abs(x) < 1e-4, 1 - x**2 / 4, (2 * j1(safe) / safe) ** 2)
        if self.options.beam_model == "gaussian":
            assert self.options.beam_fwhm_deg is not None
            half = np.sin(np.radians(self.options.beam_fwhm_deg) / 2) * 1.4e9 / freq
            return np.exp(-np.log(2) * (sin_theta / half) ** 2)
        return np.interp(sin_theta * freq / 1e9, self._abscissa, self._power, right=0.0)

    def fwhm_rad(self, freq_hz: float) -> float:
        """Full width at half power at `freq_hz` [rad]."""
        from scipy.optimize import brentq

        upper = 1.6 * C_M_S / freq_hz / self.options.dish_diameter_m
        return 2 * brentq(lambda t: float(self.power(t, freq_hz)) - 0.5, 1e-6, min(upper, 1.5))

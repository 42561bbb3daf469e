"""The primary beam: one definition for simulator, calibration, images, mosaics, photometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.core.constants import C_M_S
from contimg.core.instrument import InstrumentOptions
from contimg.core.roots import falling


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
        upper = 1.6 * C_M_S / freq_hz / self.options.dish_diameter_m
        return 2 * falling(lambda t: float(self.power(t, freq_hz)) - 0.5, 1e-6, min(upper, 1.5))

    def radius_rad(self, level: float, freq_hz: float) -> float:
        """Distance from the axis, in the main lobe, where the response falls to `level` [rad]."""
        reach = 1.1 * self.fwhm_rad(freq_hz)
        return falling(lambda t: float(self.power(t, freq_hz)) - level, 0, reach)

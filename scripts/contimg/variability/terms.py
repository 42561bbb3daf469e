"""Systematics that a light curve may have besides its noise.

A source is measured differently in another declination strip (the primary beam is not known better
than that), and something may follow the Sun or the rotation of the sky: day and night, or where in
the field a source was. Each is a sum of known shapes with amplitudes of unknown size, Gaussian with
the widths of the options; they are integrated out as the mean is, in data and simulations alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contimg.core.coords import SIDEREAL_DAY
from contimg.core.strips import linked
from contimg.variability.options import VariabilityOptions

STRIP_DEG = 0.1  # pointings nearer in declination are of one strip, as of mosaics
PER_DEGREE, UNKNOWN = 100, -32768


def terms_of(
    mjd: NDArray, strip: NDArray | None, options: VariabilityOptions
) -> NDArray[np.float64] | None:
    """Shapes (N, R), each as large as one standard deviation, in parts of the flux density.

    `strip` (N,) are numbers of declination strips, where there are several. None without any term.
    """
    shapes = []
    if options.strip_offset and strip is not None:
        present = np.unique(strip)
        if len(present) > 1:
            shapes += [options.strip_offset * (strip == k) for k in present]
    for size, day in ((options.solar_term, 1.0), (options.sidereal_term, SIDEREAL_DAY)):
        if size:
            angle = 2 * np.pi * (mjd / day % 1)
            shapes += [size * np.cos(angle), size * np.sin(angle)]
    return np.column_stack(shapes).astype(float) if shapes else None


def drawn(terms: NDArray | None, random: np.random.Generator) -> NDArray[np.float64] | float:
    """What `terms` (N, R) add to a simulated light curve: their amplitudes are drawn."""
    return 0.0 if terms is None else terms @ random.standard_normal(terms.shape[1])


def strips_of(pointing: NDArray[np.int16]) -> NDArray[np.int16] | None:
    """Numbers (N,) of the strips of pointings as :func:`kept`; what is not known is a strip, too.

    None if there is one only.
    """
    places, which = np.unique(pointing, return_inverse=True)
    number = np.full(len(places), -1)
    known = places != UNKNOWN
    number[known] = linked(places[known] / PER_DEGREE, STRIP_DEG)
    return number[which].astype(np.int16) if len(np.unique(number)) > 1 else None


def kept(dec_deg: NDArray) -> NDArray[np.int16]:
    """Declinations [deg] of pointings in hundredths: there may be a hundred million of them."""
    known = np.isfinite(dec_deg)
    return np.where(known, np.round(PER_DEGREE * np.where(known, dec_deg, 0)), UNKNOWN).astype(
        np.int16
    )

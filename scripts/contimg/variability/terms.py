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
from contimg.variability.options import VariabilityOptions


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

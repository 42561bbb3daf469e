"""The declination strips that epochs were measured in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contimg.core.strips import linked

STRIP_DEG = 0.1  # pointings nearer in declination are of one strip, as of mosaics
PER_DEGREE, UNKNOWN = 100, -32768


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

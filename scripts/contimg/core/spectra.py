"""Spectra as they are measured in parts of the band, where they are not those of the catalogue.

A plasma lens, a curved spectrum or a subband that is too strong change a source over the band by
more than an error. Such a source is described by what it is in each part over what the catalogue's
spectrum would make of it: a *factor*, between the parts a cubic spline.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FEWEST = 4  # parts with data that a spline wants


def deviating(
    flux: NDArray[np.float64],
    error: NDArray[np.float64],
    part_flux: NDArray[np.float64],
    part_error: NDArray[np.float64],
    *,
    least_snr: float,
    chi2: float,
) -> NDArray[np.bool_]:
    """Sources (source,) brighter than `least_snr` errors whose parts differ from the whole.

    Parts are (part, source), NaN where there are no data; `chi2` is the limit of the sum of their
    squared deviations, in errors, over their number.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        pull = (part_flux - flux) / part_error
        bright = flux > least_snr * error
    seen = np.isfinite(pull)
    mean = np.where(seen, pull**2, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    return bright & (mean > chi2) & (seen.sum(axis=0) >= _FEWEST)


def between(
    part_hz: NDArray[np.float64], factor: NDArray[np.float64], freq_hz: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Factors (part,) of parts about `part_hz` (part,) at `freq_hz` (channel,).

    A natural cubic spline through the parts that are finite, at most half a part beyond the first
    and the last of them.
    """
    from scipy.interpolate import CubicSpline

    known = np.isfinite(factor)
    at, value = part_hz[known], factor[known]
    half = np.diff(at).min() / 2
    return CubicSpline(at, value, bc_type="natural")(np.clip(freq_hz, at[0] - half, at[-1] + half))

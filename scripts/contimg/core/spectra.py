"""Spectra as they are measured in parts of the band, where they are not those of the catalogue.

A plasma lens, a curved spectrum or a subband that is too strong change a source over the band by
more than an error. Such a source is described by what it is in each part over what the catalogue's
spectrum would make of it: a *factor*, between the parts a cubic spline.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CATALOGUED, SMOOTH, OWN = 0, 1, 2  # how much a spectrum is not the catalogue's
_FEWEST = 5  # parts with data that tell a spectrum
_BRIGHT = 20.0  # errors of the whole from which a slope is looked for
_SURE = 30.0  # chi^2 that a slope and a curvature must take away
_MANY = 8  # sources too faint for a spectrum that together tell whether parts are disturbed
_DISTURBED = 4.0  # their chi^2 a part, of one in twenty, that no noise makes


def deviation(
    part_hz: NDArray[np.float64],
    flux: NDArray[np.float64],
    error: NDArray[np.float64],
    part_flux: NDArray[np.float64],
    part_error: NDArray[np.float64],
    *,
    least_snr: float,
    chi2: float,
) -> NDArray[np.int64]:
    """How each source (source,) deviates: `CATALOGUED`, `SMOOTH` or `OWN`.

    Smooth are those above 20 errors for which a slope and a curvature are sure; a spectrum of its
    own has what is brighter than `least_snr` errors and of whose parts even these leave more than
    `chi2` a part. Parts are (part, source), NaN where there are no data. Where sidelobes of
    something that is not fitted disturb the parts of faint sources, no spectrum can be told.
    """
    result = np.zeros(flux.size, np.int64)
    with np.errstate(invalid="ignore"):
        bright = flux > _BRIGHT * error
    if _disturbed(part_flux[:, ~bright], part_error[:, ~bright]):
        return result
    for k in np.flatnonzero(bright):
        seen = np.isfinite(part_flux[:, k]) & (part_error[:, k] > 0)
        if seen.sum() < _FEWEST:
            continue
        value, sigma = part_flux[seen, k], part_error[seen, k]
        curve = parabola(part_hz, part_flux[:, k], part_error[:, k])[seen]
        left, before = np.sum(((value - curve) / sigma) ** 2), _about_mean(value, sigma)
        if before - left > _SURE:
            result[k] = SMOOTH
        if flux[k] > least_snr * error[k] and left > chi2 * (seen.sum() - 3):
            result[k] = OWN
    return result


def _about_mean(value: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    """chi^2 about the weighted mean."""
    mean = np.average(value, weights=error**-2)
    return float(np.sum(((value - mean) / error) ** 2))


def _disturbed(part_flux: NDArray[np.float64], part_error: NDArray[np.float64]) -> bool:
    """Whether sources (part, source) scatter from part to part by more than their errors."""
    seen = np.isfinite(part_flux) & (part_error > 0)
    reduced = [
        _about_mean(part_flux[at, k], part_error[at, k]) / (at.sum() - 1)
        for k, at in enumerate(seen.T)
        if at.sum() >= _FEWEST
    ]
    return len(reduced) >= _MANY and float(np.quantile(reduced, 0.95)) > _DISTURBED


def parabola(
    part_hz: NDArray[np.float64], value: NDArray[np.float64], error: NDArray[np.float64]
) -> NDArray[np.float64]:
    """At all parts (part,), the parabola in the logarithm of the frequency that fits those seen."""
    seen = np.isfinite(value) & (error > 0)
    x = np.log(part_hz / part_hz.mean())
    columns = np.stack([np.ones_like(x), x, x**2], axis=1)
    scaled = columns[seen] / error[seen, None]
    return columns @ np.linalg.lstsq(scaled, value[seen] / error[seen], rcond=None)[0]


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

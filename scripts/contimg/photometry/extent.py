"""Sources larger than the beam: Gaussians of any size, and the integrated flux density.

A first look is linear: one column more in the fit of each source, the derivative of the beam by its
width. Where that is significant an elliptical Gaussian is fitted with all its parameters (Condon
1997, PASP 109, 166 has the parameters, the error here is with the noise correlation); its integral
is peak x sqrt(det(covariance) / det(covariance of the beam)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.core.fits import FWHM_TO_SIGMA
from contimg.photometry.forced import NEGLIGIBLE, chunks, near_pairs, subtract_neighbours
from contimg.photometry.geometry import Sources
from contimg.photometry.noise import Correlation
from contimg.photometry.stamps import Maps, Stamps, cut, half_width, squared_distance

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_WIDE_BEAMS = 3.5  # radius within which an extended source is fitted
_SIGMA = 5.0
_PART = 0.03  # integrated over peak flux density beyond which a source is extended
_LARGEST = 5.0  # beam widths
_TRIED_SNR = 7.0


@dataclass(frozen=True)
class Extents:
    """Per source: whether it is extended, and if so flux density and error [Jy], size [arcsec]."""

    extended: NDArray[np.bool_]
    flux: Array
    error: Array
    major_arcsec: Array  # intrinsic full widths at half maximum
    minor_arcsec: Array


def measure_extents(
    sources: Sources, flux: Array, error: Array, maps: Maps, correlation: Correlation
) -> Extents:
    """Find and fit the sources that are larger than the beam; NaN for all others."""
    n = len(sources)
    result = Extents(np.zeros(n, bool), *(np.full(n, np.nan) for _ in range(4)))
    with np.errstate(invalid="ignore"):
        index = np.flatnonzero(flux > _TRIED_SNR * error)
    if not index.size:
        return result
    wide = Maps(maps.image, maps.rms, _WIDE_BEAMS)
    half = half_width(sources, wide)
    cov = np.linalg.inv(sources.precision)
    widest = float(np.sqrt(max(cov[:, 0, 0].max(), cov[:, 1, 1].max())))
    pairs = near_pairs(sources, half + np.sqrt(NEGLIGIBLE) * widest)
    for part in chunks(index, half):
        stamps = cut(wide, sources.take(part), half)
        data = stamps.data.copy()
        subtract_neighbours(data, stamps, part, sources, flux, pairs)
        wider = _wider(sources.take(part), stamps, data, maps.limit, correlation)
        for k in np.flatnonzero(wider > _SIGMA):
            _fit(part[k], sources, stamps, data[k], k, correlation, result)
    return result


def _wider(
    sources: Sources, stamps: Stamps, data: Array, limit: float, correlation: Correlation
) -> Array:
    """Significance of a width beyond that of the beam, within the ellipse of the forced fit."""
    square = squared_distance(sources, stamps.y, stamps.x)
    inside = np.where(square <= limit, stamps.inverse_rms, 0)
    beam = np.exp(-square / 2) * inside
    columns = np.stack([beam, square * beam], axis=1)
    normal = np.einsum("nayx,nbyx->nab", columns, columns)
    usable = np.linalg.cond(normal) < 1e8
    normal[~usable] = np.eye(2)
    inverse = np.linalg.inv(normal)
    found = np.einsum("nab,nbyx,nyx->na", inverse, columns, data * inside)
    spread = inverse @ correlation.products(columns) @ inverse
    return np.where(usable, found[:, 1] / np.sqrt(spread[:, 1, 1]), 0.0)


def _fit(
    index: int,
    sources: Sources,
    stamps: Stamps,
    data: Array,
    row: int,
    correlation: Correlation,
    result: Extents,
) -> None:
    """Fit one source; kept when its size is significant and changes its flux density."""
    from scipy.optimize import least_squares

    beam = np.linalg.inv(sources.precision[index])
    used = stamps.used[row]
    y, x = np.broadcast_arrays(stamps.y[row] - sources.y[index], stamps.x[row] - sources.x[index])
    weight = stamps.inverse_rms[row]

    def model(p: Array) -> Array:
        excess = np.array([[p[3], p[4]], [p[4], p[5]]]) * beam.trace() / 2
        inverse = np.linalg.inv(beam + excess)
        dx, dy = x - p[1], y - p[2]
        q = inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
        return np.where(used, p[0] * np.exp(-q / 2) * weight, 0)

    peak = float(data[used].max())
    reach = float(np.sqrt(beam.trace()))
    top = _LARGEST**2
    fit = least_squares(
        lambda p: (model(p) - data * weight)[used],
        [peak, 0.0, 0.0, 0.5, 0.0, 0.5],
        bounds=([0, -reach, -reach, -0.2, -0.2, -0.2], [np.inf, reach, reach, top, top, top]),
        x_scale=[peak, reach, reach, 1, 1, 1],
    )
    jacobian = np.zeros((1, 6, *data.shape))
    jacobian[0][:, used] = fit.jac.T
    normal = fit.jac.T @ fit.jac
    if not fit.success or np.linalg.cond(normal) > 1e14:
        return
    inverse = np.linalg.inv(normal)
    covariance = inverse @ correlation.products(jacobian)[0] @ inverse
    flux, error = _integrated(fit.x, covariance, beam)
    size = fit.x[3] + fit.x[5]
    size_error = np.sqrt(covariance[3, 3] + covariance[5, 5] + 2 * covariance[3, 5])
    if size < _SIGMA * size_error or flux < (1 + _PART) * fit.x[0]:
        return
    excess = np.array([[fit.x[3], fit.x[4]], [fit.x[4], fit.x[5]]]) * beam.trace() / 2
    to_sky = np.linalg.inv(sources.to_pixel[index])
    widths = np.linalg.eigvalsh(to_sky @ excess @ to_sky.T)
    widths = np.sqrt(np.maximum(widths, 0)) / FWHM_TO_SIGMA * 3600
    freedom = max(used.sum() - 6, 1)
    worse = np.sqrt(max(2 * fit.cost / freedom, 1.0))
    result.extended[index] = True
    result.flux[index], result.error[index] = flux, error * worse
    result.minor_arcsec[index], result.major_arcsec[index] = widths


def _integrated(p: Array, covariance: Array, beam: Array) -> tuple[float, float]:
    """Integrated flux density and its error, by numerical derivatives."""

    def integral(q: Array) -> float:
        excess = np.array([[q[3], q[4]], [q[4], q[5]]]) * beam.trace() / 2
        return float(q[0] * np.sqrt(np.linalg.det(beam + excess) / np.linalg.det(beam)))

    step = np.array([1e-4 * p[0], 1, 1, 1e-4, 1e-4, 1e-4])
    slope = np.array([(integral(p + d) - integral(p - d)) / (2 * d.sum()) for d in np.diag(step)])
    return integral(p), float(np.sqrt(slope @ covariance @ slope))

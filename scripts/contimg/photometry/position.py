"""Fits with free position, for sources bright enough: how far is the catalogue from the sky?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.fits import FWHM_TO_SIGMA
from contimg.photometry.forced import (
    NEGLIGIBLE,
    chunks,
    near_pairs,
    subtract_neighbours,
)
from contimg.photometry.geometry import Sources
from contimg.photometry.noise import Correlation
from contimg.photometry.stamps import Maps, Stamps, cut, half_width

Array = NDArray[np.float64]
Index = NDArray[np.int64]
_ITERATIONS = 40
_STEP_LIMIT = 0.25  # beam sigmas, of one iteration
_CONVERGED = 1e-4  # beam sigmas


@dataclass(frozen=True)
class Positions:
    """Per source: place [deg], its error along one axis [arcsec], flux [Jy], and success."""

    ra: Array
    dec: Array
    error_arcsec: Array
    flux: Array
    converged: NDArray[np.bool_]


def free_fit(
    sources: Sources,
    flux: Array,
    wanted: NDArray[np.bool_],
    maps: Maps,
    correlation: Correlation,
    wcs: WCS,
) -> Positions:
    """Fit x, y and flux of the `wanted` sources, the shape fixed to the beam.

    `flux` is that of the forced fit: the start, and what is taken off for the neighbours. A fit
    that leaves the ellipse of half the beam's width about its start has not converged.
    """
    n = len(sources)
    x, y, error, fitted = (np.full(n, np.nan) for _ in range(4))
    converged = np.zeros(n, bool)
    index = np.flatnonzero(wanted)
    if index.size:
        half = half_width(sources, maps)
        cov = np.linalg.inv(sources.precision)
        widest = float(np.sqrt(max(cov[:, 0, 0].max(), cov[:, 1, 1].max())))
        pairs = near_pairs(sources, half + np.sqrt(NEGLIGIBLE) * widest)
        for part in chunks(index, half):
            stamps = cut(maps, sources.take(part), half)
            data = stamps.data.copy()
            subtract_neighbours(data, stamps, part, sources, flux, pairs)
            solution = _solve(
                sources.take(part), flux[part], data * stamps.inverse_rms, stamps, correlation
            )
            x[part], y[part], error[part], fitted[part], converged[part] = solution
    for values in (x, y, error, fitted):
        values[~converged] = np.nan
    ra, dec = np.full(n, np.nan), np.full(n, np.nan)
    if converged.any():
        ra[converged], dec[converged] = wcs.pixel_to_world_values(x[converged], y[converged])
    return Positions(ra, dec, error, fitted, converged)


def _solve(
    sources: Sources, start: Array, data: Array, stamps: Stamps, correlation: Correlation
) -> tuple[Array, Array, Array, Array, NDArray[np.bool_]]:
    """Gauss-Newton with limited steps, for all sources at once."""
    flux = start.copy()
    shift = np.zeros((len(sources), 2))
    done = np.zeros(len(sources), bool)
    # steps are measured in beam sigmas: L^T d with precision = L L^T
    factor = np.linalg.cholesky(sources.precision)
    active = np.arange(len(sources))
    for _ in range(_ITERATIONS):
        columns = _derivatives(
            sources.take(active), stamps.take(active), flux[active], shift[active]
        )
        rest = data[active] - flux[active, None, None] * columns[:, 0]
        normal = np.einsum("nayx,nbyx->nab", columns, columns)
        gradient = np.einsum("nayx,nyx->na", columns, rest)
        good = _solvable(normal)
        active = active[good]
        step = np.linalg.solve(normal[good], gradient[good][..., None])[..., 0]
        length = np.linalg.norm(np.einsum("nji,nj->ni", factor[active], step[:, 1:]), axis=1)
        step *= np.minimum(1.0, _STEP_LIMIT / np.maximum(length, _CONVERGED))[:, None]
        flux[active] += step[:, 0]
        shift[active] += step[:, 1:]
        done[active] = length < _CONVERGED
        active = active[~done[active]]
        if not active.size:
            break
    columns = _derivatives(sources, stamps, flux, shift)
    normal = np.einsum("nayx,nbyx->nab", columns, columns)
    distance = np.linalg.norm(np.einsum("nji,nj->ni", factor, shift), axis=1)
    good = done & _solvable(normal) & (distance < 0.5 / FWHM_TO_SIGMA) & (flux > 0)
    error = np.full(len(sources), np.nan)
    if good.any():
        inverse = np.linalg.inv(normal[good])
        spread = correlation.products(columns[good])
        cov = (inverse @ spread @ inverse)[:, 1:, 1:]
        to_sky = np.linalg.inv(sources.to_pixel[good])
        sky = to_sky @ cov @ np.swapaxes(to_sky, 1, 2)
        error[good] = np.sqrt(np.trace(sky, axis1=1, axis2=2) / 2) * 3600
    return sources.x + shift[:, 0], sources.y + shift[:, 1], error, flux, good


def _solvable(normal: Array) -> NDArray[np.bool_]:
    """Whether the scaled 3 x 3 matrices are regular and finite."""
    diagonal = np.sqrt(np.maximum(np.diagonal(normal, axis1=1, axis2=2), 1e-300))
    scaled = normal / (diagonal[:, :, None] * diagonal[:, None, :])
    finite = np.isfinite(scaled).all(axis=(1, 2))
    scaled[~finite] = 0.0
    return finite & (np.linalg.eigvalsh(scaled)[:, 0] > 1e-6)


def _derivatives(sources: Sources, stamps: Stamps, flux: Array, shift: Array) -> Array:
    """Derivatives [n, 3, s, s] of the model by flux, x and y, in units of the noise."""
    dx = stamps.x - (sources.x + shift[:, 0])[:, None, None]
    dy = stamps.y - (sources.y + shift[:, 1])[:, None, None]
    p = sources.precision[:, :, :, None, None]
    along_x = p[:, 0, 0] * dx + p[:, 0, 1] * dy
    along_y = p[:, 0, 1] * dx + p[:, 1, 1] * dy
    beam = np.exp(-(along_x * dx + along_y * dy) / 2) * stamps.inverse_rms
    scaled = beam * flux[:, None, None]
    return np.stack([beam, scaled * along_x, scaled * along_y], axis=1)

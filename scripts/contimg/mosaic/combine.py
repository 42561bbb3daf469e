"""Adding tiles.

With image I_i (not corrected for the primary beam B_i), noise s_i and factors a_i,

    mosaic = sum(a I) / sum(a B),     noise^2 = sum(a^2 s^2) / sum(a B)^2.

a = B / s^2 gives the least noise, (sum B^2 / s^2)^-1/2 (Cornwell, Holdaway & Uson 1993, A&A 271,
697); a = 1 / (B s^2) and a = 1 / B are the weighted and the plain mean of the corrected tiles.
Tiles are added in their canonical order in double precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.core.fits import Beam
from contimg.mosaic.grid import Grid, pixel_mapping, whole_pixel_shift
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.regrid import coefficients, interpolator, validity
from contimg.mosaic.tiles import Planes, Tile, load

_BAND_PIXELS = 4_000_000  # pixels regridded at a time: bounds the memory
MINUTES_A_DAY = 1440.0

Array = NDArray[np.float64]


@dataclass
class Sums:
    """Running sums on the grid; `minutes` is relative to the mosaic's `mjd0`."""

    image: Array
    residual: Array
    response: Array
    variance: Array | None
    minutes: NDArray[np.float32]
    coverage: NDArray[np.int16]


@dataclass(frozen=True)
class Mosaic:
    """Maps [y, x]: Jy/beam, noise [Jy/beam], tiles, minutes after `mjd0`; NaN where no tile is."""

    image: Array
    residual: Array
    noise: Array
    coverage: NDArray[np.int16]
    minutes: NDArray[np.float32]
    mjd0: float


def combine(
    tiles: Sequence[Tile], grid: Grid, beam: Beam, must_convolve: bool, options: MosaicOptions
) -> Mosaic:
    """Add `tiles` (all used, in canonical order) on `grid`."""
    # relative to the best tile, so that a single tile has a weight of exactly one
    reference = min(tile.rms_jy_beam for tile in tiles)
    mjd0 = mid_time(tiles)
    constant = options.method != "pbweighted"
    sums = Sums(
        np.zeros(grid.shape),
        np.zeros(grid.shape),
        np.zeros(grid.shape),
        np.zeros(grid.shape) if constant else None,
        np.zeros(grid.shape, np.float32),
        np.zeros(grid.shape, np.int16),
    )
    for tile in tiles:
        planes = load(tile, beam, must_convolve, options.pb_limit)
        minutes = (tile.mjd - mjd0) * MINUTES_A_DAY
        relative_noise = tile.noise / reference
        for rows, columns, image, residual, pb in _on_grid(tile, planes, grid, options):
            _add(sums, (rows, columns), image, residual, pb, relative_noise, minutes, options)
    return _finish(sums, reference, mjd0)


def mid_time(tiles: Sequence[Tile]) -> float:
    """Mean MJD UTC of the tiles, weighted by 1/noise^2, to the microsecond."""
    weight = np.array([tile.rms_jy_beam**-2 for tile in tiles])
    mjd = np.array([tile.mjd for tile in tiles])
    return round(float(mjd[0] + np.sum(weight * (mjd - mjd[0])) / weight.sum()), 11)


def _on_grid(
    tile: Tile, planes: Planes, grid: Grid, options: MosaicOptions
) -> Iterator[tuple[slice, slice, Array, Array, Array]]:
    """Bands of a tile on the grid: rows, columns, image, residual, primary beam (0 = unused)."""
    assert tile.wcs is not None
    y0, y1, x0, x1 = grid.boxes[tile.name]
    columns = slice(x0, x1)
    valid = np.isfinite(planes.image) & np.isfinite(planes.residual)
    pb = np.where(np.isfinite(planes.pb), planes.pb, 0.0)
    shift = whole_pixel_shift(grid, tile.wcs)
    if shift is not None:
        inside = (slice(y0 + shift[0], y1 + shift[0]), slice(x0 + shift[1], x1 + shift[1]))
        used = np.where(valid & (pb >= options.pb_limit), pb, 0.0)[inside]
        image, residual = (
            np.where(valid, plane, 0.0)[inside] for plane in (planes.image, planes.residual)
        )
        yield slice(y0, y1), columns, image, residual, used
        return
    order = options.spline_order
    kernel = interpolator(order)
    valid = validity(planes, order)
    image_c, residual_c = (coefficients(p, order) for p in (planes.image, planes.residual))
    mapping = pixel_mapping(grid, tile.wcs, (y0, y1, x0, x1))
    step = max(1, _BAND_PIXELS // (x1 - x0))
    for first in range(y0, y1, step):
        last = min(y1, first + step)
        y, x = mapping(first, last)
        results = [np.empty(y.size) for _ in range(3)]
        kernel(image_c, residual_c, pb, valid, y.ravel(), x.ravel(), *results)
        image, residual, used = (r.reshape(y.shape) for r in results)
        used[used < options.pb_limit] = 0.0
        yield slice(first, last), columns, image, residual, used


def _add(
    sums: Sums,
    where: tuple[slice, slice],
    image: Array,
    residual: Array,
    pb: Array,
    relative_noise: float,
    minutes: float,
    options: MosaicOptions,
) -> None:
    inside = pb > 0
    if options.method == "pbweighted":
        factor = pb / relative_noise**2
    else:
        power = 2 if options.method == "weighted" else 0
        factor = np.divide(relative_noise**-power, pb, out=np.zeros_like(pb), where=inside)
    response = factor * pb
    sums.image[where] += np.where(inside, factor * image, 0.0)
    sums.residual[where] += np.where(inside, factor * residual, 0.0)
    sums.response[where] += response
    if sums.variance is not None:
        sums.variance[where] += (factor * relative_noise) ** 2
    sums.minutes[where] += response * minutes
    sums.coverage[where] += inside


def _finish(sums: Sums, reference: float, mjd0: float) -> Mosaic:
    empty = sums.coverage == 0
    response = sums.response
    response[empty] = np.nan
    # sum(a^2 s^2) equals sum(a B) for the optimal factors
    variance = response if sums.variance is None else sums.variance
    noise = reference * np.sqrt(variance) / response
    sums.image /= response
    sums.residual /= response
    minutes = (sums.minutes / response).astype(np.float32)
    return Mosaic(sums.image, sums.residual, noise, sums.coverage, minutes, mjd0)

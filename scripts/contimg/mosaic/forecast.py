"""What a mosaic will be, before it is made: noise, area, weights of the tiles, memory and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contimg.mosaic.combine import blocks
from contimg.mosaic.footprint import memory_mb
from contimg.mosaic.grid import Grid
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.tiles import Tile

_NODES = 160  # along the longer side of the mosaic
_COARSE = 96  # samples of a primary beam along an axis

# Measured by benchmarks/mosaic.py; for orientation, not for billing.
_BASE_S, _TILE_PIXEL_S, _MAP_PIXEL_S = 4.0, 1.3e-7, 4e-7


@dataclass(frozen=True)
class Forecast:
    """Expected noise [Jy/beam] (median and least), area [deg^2], part of each tile in the total
    weight, memory [MB], CPU time [s]."""

    noise_median_jy_beam: float
    noise_min_jy_beam: float
    area_deg2: float
    shares: dict[str, float]
    memory_mb: float
    cpu_s: float


def forecast(
    used: Sequence[Tile], grid: Grid, options: MosaicOptions, threads: int = 1
) -> Forecast:
    """From noise and coarse primary beams; beams are taken as they are, without convolution."""
    step = max(1, max(grid.shape) // _NODES)
    rows, columns = np.arange(0, grid.shape[0], step), np.arange(0, grid.shape[1], step)
    x, y = np.meshgrid(columns.astype(float), rows.astype(float))
    sky = grid.wcs.pixel_to_world_values(x, y)
    response, variance = np.zeros(x.shape), np.zeros(x.shape)
    shares, tile_pixels = {}, 0.0
    for tile in used:
        pb = _coarse_beam(tile, sky)
        inside = pb >= options.pb_limit
        pb = np.where(inside, pb, 1.0)
        factor = {"pbweighted": pb, "weighted": 1 / pb, "mean": 1 / pb}[options.method]
        if options.method != "mean":
            factor = factor / tile.rms_jy_beam**2
        weight = np.where(inside, factor * pb, 0.0)
        response += weight
        variance += np.where(inside, (factor * tile.rms_jy_beam) ** 2, 0.0)
        shares[tile.name] = float(weight.sum())
        tile_pixels += float(inside.sum()) * step**2
    covered = response > 0
    noise = np.sqrt(variance[covered]) / response[covered]
    total = sum(shares.values())
    pixels = grid.shape[0] * grid.shape[1]
    workers = min(threads, len(blocks(grid.shape)))
    return Forecast(
        float(np.median(noise)),
        float(noise.min()),
        float(covered.sum()) * (step * grid.cell_deg) ** 2,
        {name: share / total for name, share in shares.items()},
        memory_mb(pixels, workers),
        _BASE_S + tile_pixels * _TILE_PIXEL_S + pixels * _MAP_PIXEL_S,
    )


def _coarse_beam(tile: Tile, sky: tuple[NDArray, NDArray]) -> NDArray[np.float64]:
    """Primary beam of `tile` at (ra, dec) [deg], from every n-th of its pixels; 0 outside."""
    assert tile.pb is not None
    step = max(1, max(tile.pb.shape) // _COARSE)
    coarse = np.nan_to_num(np.array(tile.pb.data[::step, ::step], dtype=np.float64))
    x, y = tile.wcs.world_to_pixel_values(*sky)
    ny, nx = tile.pb.shape
    within = (x >= 0) & (y >= 0) & (x <= nx - 1) & (y <= ny - 1)  # false for NaN
    at = [np.where(within, c, 0.0) / step for c in (y, x)]
    return np.where(within, ndimage.map_coordinates(coarse, at, order=1, mode="nearest"), 0.0)

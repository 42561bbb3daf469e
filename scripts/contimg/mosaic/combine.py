"""Adding tiles.

With image I_i (not corrected for the primary beam B_i), noise s_i and factors a_i,

    mosaic = sum(a I) / sum(a B),     noise^2 = sum(a^2 s^2) / sum(a B)^2.

a = B / s^2 gives the least noise, (sum B^2 / s^2)^-1/2 (Cornwell, Holdaway & Uson 1993, A&A 271,
697); a = 1 / (B s^2) and a = 1 / B are the weighted and the plain mean of the corrected tiles.
Times and frequencies are means with the weights a B. The effective time is sum(t B^2), with the
integration time t of each tile: so long on the axis would be as sensitive, were all tiles alike.

The mosaic is made in square blocks of fixed size, which threads may share among them: a pixel is
the sum over the tiles in their canonical order, in double precision, whoever computes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from contimg.core.fits import Beam
from contimg.core.progress import progress
from contimg.core.robust import robust_rms
from contimg.mosaic.beams import kernel_between
from contimg.mosaic.grid import NODE_STEP, Grid, pixel_nodes, whole_pixel_shift
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.planes import Window
from contimg.mosaic.regrid import Kernel, accumulator, prepare
from contimg.mosaic.tiles import Tile

_BLOCK = 1024  # pixels
_NOISE_WINDOW = 768  # pixels of a tile on which the effect of the common beam is measured
MINUTES_A_DAY = 1440.0

Pixels = NDArray[np.float32]
_wcs_lock = Lock()  # wcslib keeps scratch values in the structure it is given


@dataclass(frozen=True)
class Mosaic:
    """Maps [y, x], NaN where no tile is.

    image, residual, noise (expected) [Jy/beam]; number of tiles; minutes after `mjd0`; effective
    frequency [Hz] and time [s].
    """

    image: Pixels
    residual: Pixels
    noise: Pixels
    coverage: NDArray[np.int16]
    minutes: Pixels
    freq: Pixels
    seconds: Pixels
    mjd0: float


@dataclass(frozen=True)
class Sums:
    """Running sums over the tiles on one block."""

    image: NDArray[np.float64]
    residual: NDArray[np.float64]
    response: NDArray[np.float64]
    variance: NDArray[np.float64]
    minutes: NDArray[np.float64]
    freq: NDArray[np.float64]
    seconds: NDArray[np.float64]
    count: NDArray[np.int16]


@dataclass(frozen=True)
class _Job:
    """What all blocks share. `reference` is the least noise of the tiles [Jy/beam]."""

    tiles: Sequence[Tile]
    grid: Grid
    kernels: dict[str, Kernel]
    options: MosaicOptions
    reference: float
    mosaic: Mosaic


def combine(
    tiles: Sequence[Tile],
    grid: Grid,
    beam: Beam,
    must_convolve: bool,
    options: MosaicOptions,
    threads: int = 1,
) -> Mosaic:
    """Add `tiles` (all used, in canonical order) on `grid`; sets their `noise_gain`."""
    kernels = {}
    for tile in tiles:
        if must_convolve:
            to_pixel = np.linalg.inv(tile.wcs.pixel_scale_matrix)
            kernels[tile.name] = Kernel(*kernel_between(tile.beam, beam, to_pixel))
            tile.noise_gain = measure_noise_gain(tile, kernels[tile.name])
    maps = [np.full(grid.shape, np.nan, np.float32) for _ in range(6)]
    coverage = np.zeros(grid.shape, np.int16)
    mosaic = Mosaic(*maps[:3], coverage, *maps[3:], mid_time(tiles))
    # relative to the best tile, so that a single tile has a weight of exactly one
    job = _Job(tiles, grid, kernels, options, min(tile.noise for tile in tiles), mosaic)
    with ThreadPoolExecutor(threads) as pool:
        turns = progress(blocks(grid.shape), "blocks of the mosaic")
        for _ in pool.map(lambda block: _make_block(job, block), blocks(grid.shape)):
            next(turns)
        turns.close()
    return mosaic


def blocks(shape: tuple[int, int]) -> list[Window]:
    """The blocks (y0, y1, x0, x1) of a map."""
    ny, nx = shape
    return [
        (y, min(y + _BLOCK, ny), x, min(x + _BLOCK, nx))
        for y in range(0, ny, _BLOCK)
        for x in range(0, nx, _BLOCK)
    ]


def mid_time(tiles: Sequence[Tile]) -> float:
    """Mean MJD UTC of the tiles, weighted by 1/noise^2, to the microsecond."""
    weight = np.array([tile.noise**-2 for tile in tiles])
    mjd = np.array([tile.mjd for tile in tiles])
    return round(float(mjd[0] + np.sum(weight * (mjd - mjd[0])) / weight.sum()), 11)


def mid_frequency(tiles: Sequence[Tile]) -> float:
    """Mean frequency of the tiles [Hz], weighted by 1/noise^2; NaN when one is not known."""
    weight = np.array([tile.noise**-2 for tile in tiles])
    return float(np.sum(weight * [tile.freq_hz for tile in tiles]) / weight.sum())


def chromaticity(tile: Tile) -> float:
    """k of the effective frequency nu (1 + k ln B) where the primary beam is B.

    The beam is wider at low frequencies, so they have the greater part in what is seen far out:
    nu_eff = nu + <(dnu)^2> dlnB/dnu. For a beam that scales with wavelength and falls like a
    Gaussian dlnB/dlnnu = 2 ln B, and over a band W <(dnu)^2> = W^2 / 12.
    """
    return (tile.bandwidth_hz / tile.freq_hz) ** 2 / 6


def measure_noise_gain(tile: Tile, kernel: Kernel) -> float:
    """What a convolution does to the noise [Jy per own beam], measured in the tile's middle."""
    assert tile.residual is not None
    height, width = tile.residual.shape
    side = min(_NOISE_WINDOW, height, width)
    y0, x0 = (height - side) // 2, (width - side) // 2
    window = (y0, y0 + side, x0, x0 + side)
    before, after = prepare(tile, window, 0, None, 0.0), prepare(tile, window, 0, kernel, 0.0)
    if before is None or after is None:
        return 1.0
    margin = (y0 - after.y0, x0 - after.x0)
    inner = np.s_[margin[0] : margin[0] + side, margin[1] : margin[1] + side]
    good = (after.good[inner] > 0) & (before.good > 0)
    old = robust_rms(before.residual[good])
    return robust_rms(after.residual[inner][good]) / old if old > 0 else 1.0


def _make_block(job: _Job, block: Window) -> None:
    shape = (block[1] - block[0], block[3] - block[2])
    sums = Sums(*(np.zeros(shape) for _ in range(7)), np.zeros(shape, np.int16))
    for tile in job.tiles:
        box = job.grid.boxes[tile.name]
        part = (
            max(block[0], box[0]),
            min(block[1], box[1]),
            max(block[2], box[2]),
            min(block[3], box[3]),
        )
        if part[0] < part[1] and part[2] < part[3]:
            _add(job, tile, sums, block, part)
    _finish(job, sums, block)


def _add(job: _Job, tile: Tile, sums: Sums, block: Window, part: Window) -> None:
    """Add the part of `tile` that falls on the window `part` of the mosaic."""
    options = job.options
    shift = whole_pixel_shift(job.grid, tile.wcs)
    if shift is None:
        with _wcs_lock:
            y, x = pixel_nodes(job.grid, tile.wcs, part)
        order = options.spline_order
        window = (
            int(np.floor(y.min())),
            int(np.ceil(y.max())) + 2,
            int(np.floor(x.min())),
            int(np.ceil(x.max())) + 2,
        )
    else:
        window = (part[0] + shift[0], part[1] + shift[0], part[2] + shift[1], part[3] + shift[1])
        order = 0
        rows = np.arange(window[0], window[1] + NODE_STEP, NODE_STEP, dtype=float)
        columns = np.arange(window[2], window[3] + NODE_STEP, NODE_STEP, dtype=float)
        y, x = np.meshgrid(rows, columns, indexing="ij")
    data = prepare(tile, window, order, job.kernels.get(tile.name), options.pb_limit)
    if data is None:
        return
    noise = tile.noise / job.reference
    scale = 1.0 if options.method == "mean" else noise**-2
    power = 1 if options.method == "pbweighted" else -1
    inside = np.s_[part[0] - block[0] : part[1] - block[0], part[2] - block[2] : part[3] - block[2]]
    known = np.isfinite(tile.freq_hz)
    accumulator(order)(
        *(data.image, data.residual, data.pb, data.good),
        *(y, x, NODE_STEP, data.y0, data.x0),
        *(options.pb_limit, power, scale, noise**2),
        (tile.mjd - job.mosaic.mjd0) * MINUTES_A_DAY,
        tile.freq_hz if known else 0.0,
        chromaticity(tile) if known else 0.0,
        tile.integration_s,
        *(sums.image[inside], sums.residual[inside], sums.response[inside]),
        *(sums.variance[inside], sums.minutes[inside], sums.freq[inside]),
        *(sums.seconds[inside], sums.count[inside]),
    )


def _finish(job: _Job, sums: Sums, block: Window) -> None:
    covered = sums.count > 0
    if not covered.any():
        return
    response = np.where(covered, sums.response, np.nan)
    inside = np.s_[block[0] : block[1], block[2] : block[3]]
    mosaic = job.mosaic
    mosaic.image[inside] = sums.image / response
    mosaic.residual[inside] = sums.residual / response
    mosaic.noise[inside] = job.reference * np.sqrt(sums.variance) / response
    mosaic.minutes[inside] = sums.minutes / response
    if all(np.isfinite(tile.freq_hz) for tile in job.tiles):
        mosaic.freq[inside] = sums.freq / response
    mosaic.seconds[inside] = np.where(covered, sums.seconds, np.nan)
    mosaic.coverage[inside] = sums.count

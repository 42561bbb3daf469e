"""Regridding: B-spline interpolation of image and residual, and adding them up, in one pass.

The spline's coefficients are found in Fourier space, where the convolution to the common beam is
a factor of the same product. Everything is done on windows of the tiles, so that memory does not
grow with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from contimg.mosaic.beams import Matrix, reach, transfer
from contimg.mosaic.planes import Window
from contimg.mosaic.tiles import Tile

# The prefilter of a quintic spline falls by 0.43 a pixel: 2e-9 after so many.
_SPLINE_MARGIN = 24

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Kernel:
    """Convolution of a tile to the common beam: covariance in (x, y) [pixel^2] and gain."""

    covariance: Matrix
    gain: float


@dataclass(frozen=True)
class Coefficients:
    """Spline coefficients [y, x] of a window; pixel (y, x) of the tile is (y - y0, x - x0).

    `good` is zero outside the tile and where a blank pixel would reach the interpolated value.
    """

    image: Pixels
    residual: Pixels
    pb: Pixels
    good: NDArray[np.uint8]
    y0: int
    x0: int


def prepare(
    tile: Tile, window: Window, order: int, kernel: Kernel | None, pb_limit: float
) -> Coefficients | None:
    """Coefficients of `tile` around `window` (which may stick out); None where nothing is used.

    Order 0 leaves the pixels as they are. Beyond the tile's edge its mirror image is assumed.
    A tile that is corrected for the primary beam is multiplied by it first.
    """
    assert tile.image is not None and tile.residual is not None and tile.pb is not None
    margin = (_SPLINE_MARGIN if order else 0) + (reach(kernel.covariance) if kernel else 0)
    want = (window[0] - margin, window[1] + margin, window[2] - margin, window[3] + margin)
    height, width = tile.image.shape
    have = (max(want[0], 0), min(want[1], height), max(want[2], 0), min(want[3], width))
    if have[0] >= have[1] or have[2] >= have[3]:
        return None
    pb = tile.pb.read(have)
    if not (pb >= pb_limit).any():
        return None
    image, residual = tile.image.read(have), tile.residual.read(have)
    if tile.image_corrected:
        image *= pb
    if tile.residual_corrected:
        residual *= pb
    valid = np.isfinite(image) & np.isfinite(residual) & np.isfinite(pb)
    if not valid.all():
        image[~valid] = residual[~valid] = 0.0
        pb[~np.isfinite(pb)] = 0.0
        # The prefilter spreads a blank beyond the order + 1 pixels of a spline's support; twice
        # the order brings that below one per cent.
        blank = max(2 * order, (3 * reach(kernel.covariance) + 3) // 4 if kernel else 0)
        valid = ~ndimage.maximum_filter(~valid, size=2 * blank + 1)
    size = (want[1] - want[0], want[3] - want[2])
    if margin:
        size = (fft.next_fast_len(size[0], real=True), fft.next_fast_len(size[1], real=True))
    pad = (
        (have[0] - want[0], size[0] - (have[1] - want[0])),
        (have[2] - want[2], size[1] - (have[3] - want[2])),
    )
    planes = [np.pad(plane, pad, mode="reflect") for plane in (image, residual)]
    if margin:
        response = _response(size, order, kernel)
        planes = [fft.irfft2(fft.rfft2(plane) * response, s=size) for plane in planes]
    return Coefficients(
        planes[0],
        planes[1],
        np.pad(pb, pad),
        np.pad(valid.view(np.uint8), pad),
        want[0],
        want[2],
    )


def _response(size: tuple[int, int], order: int, kernel: Kernel | None) -> Pixels:
    response = _prefilter(size, order)
    return response if kernel is None else response * transfer(kernel.covariance, kernel.gain, size)


@lru_cache(maxsize=32)
def _prefilter(size: tuple[int, int], order: int) -> Pixels:
    """One over the transform of the B-spline at the pixels (Unser 1999, IEEE SPM 16, 22)."""
    if order == 0:
        return np.ones((size[0], size[1] // 2 + 1), np.float32)
    at_pixels = weight_table(order)[:, 0]  # weights of the coefficients at a pixel itself
    lags = np.arange(order + 1) - order // 2

    def one_axis(freq: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 / (at_pixels @ np.cos(2 * np.pi * lags[:, None] * freq))

    rows, columns = one_axis(fft.fftfreq(size[0])), one_axis(fft.rfftfreq(size[1]))
    return (rows[:, None] * columns).astype(np.float32)


@cache
def accumulator(order: int) -> Callable[..., None]:
    """The compiled kernel for splines of degree 0 (pixels as they are), 3 or 5.

    ``f(image, residual, pb, good, y, x, step, y0, x0, limit, power, scale, noise2, minutes, freq,
    chroma, seconds, sums...)``: window planes; tile positions (y, x) of every `step`-th pixel of
    the block, linear between; then the factor of a pixel, ``scale * pb**power`` (power 1 or -1),
    and what is averaged. The sums [y, x] are those of :class:`contimg.mosaic.combine.Sums`.
    """
    import numba

    table = weight_table(order).astype(np.float32)
    taps, before = order + 1, order // 2
    zero = np.float32(0.0)

    def kernel(
        image, residual, pb, good, node_y, node_x, step, y0, x0,
        limit, power, scale, noise2, minutes, freq, chroma, seconds,
        sum_image, sum_residual, sum_response, sum_variance, sum_minutes, sum_freq, sum_time, count,
    ):  # fmt: skip
        ny, nx = sum_image.shape
        high, wide = pb.shape
        wy, wx = np.empty(taps, np.float32), np.empty(taps, np.float32)
        for row in range(ny):
            cell_y = row // step
            v = (row - cell_y * step) / step
            for cell_x in range((nx + step - 1) // step):
                first = cell_x * step
                last = min(first + step, nx)
                ya = (1 - v) * node_y[cell_y, cell_x] + v * node_y[cell_y + 1, cell_x] - y0
                yb = (1 - v) * node_y[cell_y, cell_x + 1] + v * node_y[cell_y + 1, cell_x + 1] - y0
                xa = (1 - v) * node_x[cell_y, cell_x] + v * node_x[cell_y + 1, cell_x] - x0
                xb = (1 - v) * node_x[cell_y, cell_x + 1] + v * node_x[cell_y + 1, cell_x + 1] - x0
                for column in range(first, last):
                    u = (column - first) / step
                    y, x = ya + u * (yb - ya), xa + u * (xb - xa)
                    iy, ix = int(np.floor(y)), int(np.floor(x))
                    if iy < before or ix < before:
                        continue
                    if iy + taps - before > high or ix + taps - before > wide:
                        continue
                    ty, tx = np.float32(y - iy), np.float32(x - ix)
                    if good[iy + int(ty > 0.5), ix + int(tx > 0.5)] == 0:
                        continue
                    if order == 0:
                        response = float(pb[iy, ix])
                    else:
                        if good[iy, ix] == 0 or good[iy + 1, ix + 1] == 0:
                            continue
                        low = (1 - tx) * pb[iy, ix] + tx * pb[iy, ix + 1]
                        top = (1 - tx) * pb[iy + 1, ix] + tx * pb[iy + 1, ix + 1]
                        response = float((1 - ty) * low + ty * top)
                    if response < limit:
                        continue
                    for i in range(taps):
                        a, b = table[i, order], table[i, order]
                        for k in range(order - 1, -1, -1):
                            a = a * ty + table[i, k]
                            b = b * tx + table[i, k]
                        wy[i], wx[i] = a, b
                    value, rest = zero, zero
                    for i in range(taps):
                        part, part_rest = zero, zero
                        for j in range(taps):
                            part += wx[j] * image[iy - before + i, ix - before + j]
                            part_rest += wx[j] * residual[iy - before + i, ix - before + j]
                        value += wy[i] * part
                        rest += wy[i] * part_rest
                    factor = scale * response if power > 0 else scale / response
                    weight = factor * response
                    sum_image[row, column] += factor * value
                    sum_residual[row, column] += factor * rest
                    sum_response[row, column] += weight
                    sum_variance[row, column] += factor * factor * noise2
                    sum_minutes[row, column] += weight * minutes
                    sum_freq[row, column] += weight * freq * (1 + chroma * np.log(response))
                    sum_time[row, column] += seconds * response * response
                    count[row, column] += 1

    # no value in here is blank or infinite, so that sums may be taken in any (fixed) order
    fast = {"nogil": True, "fastmath": True}
    try:
        return numba.njit(cache=True, **fast)(kernel)
    except RuntimeError:  # no folder to keep the compiled code in: compile in every process
        return numba.njit(**fast)(kernel)


def weight_table(order: int) -> NDArray[np.float64]:
    """Polynomials of the B-spline weights: w_i(t) = sum_k table[i, k] t^k, i = 0..order."""
    # N_{i,0} = 1 on [0, 1); N_{i,d}(t) = ((t + d - i) N_{i-1,d-1} + (i + 1 - t) N_{i,d-1}) / d
    # with i counted so that the last basis function is the one that starts at the cell
    rows = [np.array([1.0])]
    for degree in range(1, order + 1):
        new = []
        for i in range(degree + 1):
            total = np.zeros(degree + 1)
            if i >= 1:  # rising part of the function to the left in the lower degree
                total[:degree] += (degree - i) * rows[i - 1]
                total[1:] += rows[i - 1]
            if i < degree:
                total[:degree] += (i + 1) * rows[i]
                total[1:] -= rows[i]
            new.append(total / degree)
        rows = new
    return np.array(rows)

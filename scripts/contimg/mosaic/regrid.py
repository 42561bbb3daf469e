"""Regridding: B-spline interpolation of image and residual, with one set of weights for both."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contimg.mosaic.tiles import Planes

Array = NDArray[np.float64]


def coefficients(plane: Array, order: int) -> Array:
    """B-spline coefficients of `plane` [y, x] (mirror boundary); blank pixels count as zero."""
    filled = np.where(np.isfinite(plane), plane, 0.0)
    return ndimage.spline_filter(filled, order=order, mode="mirror")


def validity(planes: Planes, order: int) -> NDArray[np.bool_]:
    """False where a blank pixel would reach the interpolated value.

    The prefilter spreads a blank beyond the `order` + 1 pixels of a spline's support, falling by
    0.27 (cubic) or 0.43 (quintic) a pixel; twice the order brings that below one per cent.
    """
    valid = np.isfinite(planes.image) & np.isfinite(planes.residual)
    if valid.all():
        return valid
    return ~ndimage.maximum_filter(~valid, size=4 * order + 1)


@cache
def interpolator(order: int) -> Callable[..., None]:
    """The compiled kernel for splines of degree 3 or 5.

    Called as ``f(image, residual, pb, valid, y, x, out_image, out_residual, out_pb)``: `image`
    and `residual` are coefficients, `pb` values (bilinear: it varies over a degree, hundreds
    of pixels), all [y, x]; positions and results are flat. Positions outside the tile, and those
    reached by blanks, get a primary beam of zero.
    """
    import numba

    # weights of the order + 1 coefficients as polynomials of the fraction t in [0, 1)
    # (uniform cardinal B-splines, de Boor's recurrence); row = coefficient, column = power of t
    table = _weight_table(order)
    taps, reach = order + 1, order // 2

    @numba.njit(nogil=True)
    def kernel(image, residual, pb, valid, y, x, out_image, out_residual, out_pb):
        ny, nx = image.shape
        wy, wx = np.empty(taps), np.empty(taps)
        for p in range(y.size):
            out_image[p] = 0.0
            out_residual[p] = 0.0
            out_pb[p] = 0.0
            iy, ix = int(np.floor(y[p])), int(np.floor(x[p]))
            if iy < reach or ix < reach or iy + taps - reach > ny or ix + taps - reach > nx:
                continue
            ty, tx = y[p] - iy, x[p] - ix
            if not valid[iy + int(ty > 0.5), ix + int(tx > 0.5)]:
                continue
            for i in range(taps):
                a, b = 0.0, 0.0
                for power in range(order, -1, -1):
                    a = a * ty + table[i, power]
                    b = b * tx + table[i, power]
                wy[i], wx[i] = a, b
            total_image, total_residual = 0.0, 0.0
            for i in range(taps):
                row_image, row_residual = 0.0, 0.0
                for j in range(taps):
                    row_image += wx[j] * image[iy - reach + i, ix - reach + j]
                    row_residual += wx[j] * residual[iy - reach + i, ix - reach + j]
                total_image += wy[i] * row_image
                total_residual += wy[i] * row_residual
            out_image[p] = total_image
            out_residual[p] = total_residual
            low = (1 - tx) * pb[iy, ix] + tx * pb[iy, ix + 1]
            high = (1 - tx) * pb[iy + 1, ix] + tx * pb[iy + 1, ix + 1]
            out_pb[p] = (1 - ty) * low + ty * high

    return kernel


def _weight_table(order: int) -> Array:
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

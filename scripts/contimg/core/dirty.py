"""Dirty images of visibilities in memory, and weights that depend on the density of the uv plane.

Images are [x, y] in here, x along l (to the east) and y along m (to the north), the phase centre
in the middle pixel size // 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from contimg.core.constants import C_M_S
from contimg.core.fits import Beam


@dataclass(frozen=True)
class Cells:
    """The uv plane of an image of `size` pixels of `cell_rad`, in cells of 1 / (size cell_rad)."""

    size: int
    cell_rad: float
    weight: NDArray[np.float64]  # (v, u >= 0): sum of the weights in each cell

    def robust(self, robust: float) -> float:
        """The f^2 of Briggs' weights w / (1 + W f^2) (Briggs 1995, eq. 3.14 to 3.18)."""
        mean = 2 * (self.weight**2).sum() / (2 * self.weight.sum())
        return float((5 * 10**-robust) ** 2 / mean)


def density(
    uvw_m: NDArray[np.float64],
    freq_hz: NDArray[np.float64],
    weight: NDArray[np.float32],
    size: int,
    cell_rad: float,
) -> Cells:
    """Weights (row, channel) of rows at `uvw_m` (row, 3), summed over cells of the uv plane."""
    grid = np.zeros((size, size // 2 + 1))
    scale = freq_hz / C_M_S * (size * cell_rad)
    _add(grid, np.ascontiguousarray(uvw_m[:, :2]), scale, weight)
    return Cells(size, cell_rad, grid)


def reweighted(
    cells: Cells,
    uvw_m: NDArray[np.float64],
    freq_hz: NDArray[np.float64],
    weight: NDArray[np.float32],
    f2: float,
) -> NDArray[np.float32]:
    """w / (1 + W f^2), W the sum of the weights of the visibility's cell."""
    result = np.empty(weight.shape, np.float32)
    scale = freq_hz / C_M_S * (cells.size * cells.cell_rad)
    _divide(result, np.ascontiguousarray(uvw_m[:, :2]), scale, weight, cells.weight, f2)
    return result


def excess_power(
    cells: Cells,
    uvw_m: NDArray[np.float64],
    freq_hz: NDArray[np.float64],
    data: NDArray[np.complex64],
    weight: NDArray[np.float32],
    noise: float,
) -> float:
    """The f^2 that the data's power beyond the noise asks for, per part and visibility [1/weight].

    Of a cell of summed weight W the sum of w V has the variance W noise^2 in each part, and
    W^2 f^2 noise^2 more where all its visibilities share a sky that is not known.
    """
    parts = [np.zeros_like(cells.weight) for _ in range(2)]
    scale = freq_hz / C_M_S * (cells.size * cells.cell_rad)
    _add_data(*parts, np.ascontiguousarray(uvw_m[:, :2]), scale, data, weight)
    power = (parts[0] ** 2 + parts[1] ** 2).sum() / noise**2
    return float((power - 2 * cells.weight.sum()) / (2 * (cells.weight**2).sum()))


def psf(cells: Cells, f2: float) -> NDArray[np.float64]:
    """Point-spread function [x, y] of weights of `f2`, 1 in the middle, by the cells' centres."""
    used = cells.weight / (1 + cells.weight * f2)
    used[:, 0] *= 2  # the transform counts other columns twice
    image = np.fft.irfft2(used, s=(cells.size, cells.size))
    return np.fft.fftshift(image.T) / image[0, 0]


def fit_beam(image: NDArray[np.floating], cell_rad: float, level: float = 0.5) -> Beam:
    """Gaussian of the core of a psf [x, y] above `level` of its peak, by least squares."""
    middle = image.shape[0] // 2
    reach = middle
    for reach in range(2, middle):
        edge = image[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
        if max(edge[0].max(), edge[-1].max(), edge[:, 0].max(), edge[:, -1].max()) < 0.7 * level:
            break
    box = slice(middle - reach, middle + reach + 1)
    x, y = np.mgrid[-reach : reach + 1, -reach : reach + 1] * cell_rad
    core = image[box, box]
    core = np.where(core > level, core, 0)
    used = core > 0
    terms = np.stack([x[used] ** 2, x[used] * y[used], y[used] ** 2], axis=1)
    log = -np.log(core[used])
    a, b, c = np.linalg.lstsq(terms * core[used][:, None], log * core[used], rcond=None)[0]
    values, vectors = np.linalg.eigh(np.array([[a, b / 2], [b / 2, c]]))
    width = np.degrees(2 * np.sqrt(np.log(2) / np.maximum(values, 1e-30)))
    major = vectors[:, 0]  # (l, m) of the smaller curvature
    angle = np.degrees(np.arctan2(major[0], major[1])) % 180
    return Beam(float(width[0]), float(width[1]), float(angle))


@dataclass(frozen=True)
class Gridder:
    """From visibilities to an image and back, with w, for rows at `uvw_m` (row, 3).

    The image has `size` pixels of `cell_rad` on a side, its middle at the direction cosines
    `middle` from the phase centre; with `east_left` x runs to the west, as in FITS.
    """

    uvw_m: NDArray[np.float64]
    freq_hz: NDArray[np.float64]
    size: int
    cell_rad: float
    middle: tuple[float, float] = (0.0, 0.0)
    east_left: bool = False
    accuracy: float = 1e-4
    threads: int = 1

    def _arguments(self) -> dict[str, Any]:
        return {
            "uvw": np.ascontiguousarray(self.uvw_m),
            "freq": self.freq_hz,
            "pixsize_x": self.cell_rad,
            "pixsize_y": self.cell_rad,
            "center_x": -self.middle[0],
            "center_y": -self.middle[1],
            "epsilon": self.accuracy,
            "do_wgridding": True,
            "divide_by_n": False,
            # the library's phases turn the other way, and its middle with them
            "flip_u": not self.east_left,
            "flip_v": True,
            "nthreads": self.threads,
        }

    def image(
        self, data: NDArray[np.complex64], weight: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """[x, y] in Jy/beam: the weighted mean of visibilities (row, channel) at each pixel."""
        from ducc0.wgridder import vis2dirty

        shape = {"npix_x": self.size, "npix_y": self.size}
        image = vis2dirty(vis=data, wgt=weight, **shape, **self._arguments())
        return image / np.float32(weight.sum(dtype=np.float64))

    def visibilities(self, image: NDArray[np.float32]) -> NDArray[np.complex64]:
        """(row, channel) [Jy] of an image [x, y] in Jy/pixel."""
        from ducc0.wgridder import dirty2vis

        return dirty2vis(dirty=image, **self._arguments())


@njit(cache=True)
def _add(grid, uv, scale, weight):
    half = grid.shape[0]
    for row in range(weight.shape[0]):
        for channel in range(scale.size):
            w = weight[row, channel]
            if w > 0:
                u, v = uv[row, 0] * scale[channel], uv[row, 1] * scale[channel]
                if u < 0:
                    u, v = -u, -v
                i, j = int(np.rint(v)) % half, int(np.rint(u))
                if j < grid.shape[1]:
                    grid[i, j] += w


@njit(cache=True)
def _add_data(real, imag, uv, scale, data, weight):
    half = real.shape[0]
    for row in range(weight.shape[0]):
        for channel in range(scale.size):
            w = weight[row, channel]
            if w > 0:
                u, v = uv[row, 0] * scale[channel], uv[row, 1] * scale[channel]
                sign = 1.0
                if u < 0:
                    u, v, sign = -u, -v, -1.0
                i, j = int(np.rint(v)) % half, int(np.rint(u))
                if j < real.shape[1]:
                    real[i, j] += w * data[row, channel].real
                    imag[i, j] += sign * w * data[row, channel].imag


@njit(cache=True)
def _divide(result, uv, scale, weight, grid, f2):
    half = grid.shape[0]
    for row in range(weight.shape[0]):
        for channel in range(scale.size):
            w = weight[row, channel]
            result[row, channel] = 0
            if w > 0:
                u, v = uv[row, 0] * scale[channel], uv[row, 1] * scale[channel]
                if u < 0:
                    u, v = -u, -v
                i, j = int(np.rint(v)) % half, int(np.rint(u))
                if j < grid.shape[1]:
                    result[row, channel] = w / (1 + grid[i, j] * f2)

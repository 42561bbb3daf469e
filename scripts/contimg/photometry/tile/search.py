"""What the residual shows that the model lacks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.core import dirty
from contimg.core.constants import C_M_S
from contimg.core.coords import cosines_to_sky
from contimg.core.fits import Beam
from contimg.core.fluxfit.sweep import Arrays
from contimg.core.ms import Axes
from contimg.core.robust import robust_rms

_PIXELS_PER_BEAM = 4.0
_BOX_BEAMS = 15  # side of the boxes in which the noise is measured
_MOST = 300  # sources of one search
_ACCURACY = 1e-3  # of the gridding: the residual has no bright sources
_SAMPLE = 2  # every other pixel, half a beam apart, tells the noise


@dataclass(frozen=True)
class ResidualImage:
    """Dirty image [x, y] of what a fit leaves, seen through the beam, and its noise [Jy/beam]."""

    data: NDArray[np.float32]
    noise: NDArray[np.float32]
    psf: NDArray[np.float64]
    cell_rad: float
    beam: Beam
    center_rad: tuple[float, float]

    def pixel(self, lmn: NDArray[np.float64]) -> NDArray[np.float64]:
        """(2, place): fractional pixels of direction cosines (3, place)."""
        return lmn[:2] / self.cell_rad + self.data.shape[0] // 2

    def highest(self, lmn: NDArray[np.float64]) -> NDArray[np.float64]:
        """(place,): the value of greatest modulus within a beam, over the noise; NaN outside."""
        reach = int(np.ceil(np.radians(self.beam.major_deg) / self.cell_rad))
        result = np.full(lmn.shape[1], np.nan)
        size = self.data.shape[0]
        for number, (x, y) in enumerate(np.rint(self.pixel(lmn)).astype(int).T):
            if min(x, y) < reach or max(x, y) >= size - reach:
                continue
            box = slice(x - reach, x + reach + 1), slice(y - reach, y + reach + 1)
            values = self.data[box] / self.noise[box]
            result[number] = values.flat[np.argmax(np.abs(values))]
        return result


def uv_grid(axes: Axes, weight: NDArray, radius_rad: float) -> tuple[int, float]:
    """Pixels and their size [rad] of an image out to `radius_rad`."""
    from scipy.fft import next_fast_len

    used = weight.any(axis=(0, 2))
    length = np.hypot(*axes.uvw_m[:, used, :2].reshape(-1, 2).T).max()
    cell = C_M_S / axes.freq_hz.max() / length / _PIXELS_PER_BEAM
    half = int(np.ceil(radius_rad / cell))
    return 2 * int(next_fast_len(max(half, 32), real=True)), float(cell)


def residual_image(
    axes: Axes, residual: Arrays, radius_rad: float, robust: float, threads: int = 1
) -> ResidualImage:
    """Image of residual visibilities with Briggs' weights, for which sidelobes are low."""
    size, cell = uv_grid(axes, residual.weight, radius_rad)
    rows = axes.uvw_m.reshape(-1, 3)
    weight = residual.weight.reshape(len(rows), -1)
    cells = dirty.density(rows, axes.freq_hz, weight, size, cell)
    f2 = cells.robust(robust)
    used = dirty.reweighted(cells, rows, axes.freq_hz, weight, f2)
    data = residual.data.reshape(weight.shape)
    gridder = dirty.Gridder(rows, axes.freq_hz, size, cell, accuracy=_ACCURACY, threads=threads)
    image = gridder.image(data, used)
    psf = dirty.psf(cells, f2)
    beam = dirty.fit_beam(psf, cell)
    return ResidualImage(
        image, local_noise(image, beam, cell), psf, cell, beam, axes.phase_center_rad
    )


def local_noise(image: NDArray, beam: Beam, cell_rad: float) -> NDArray[np.float32]:
    """Robust rms in boxes, not below that of the whole image, as an image."""
    from scipy.ndimage import zoom

    size = image.shape[0]
    side = max(1, round(_BOX_BEAMS * np.radians(beam.major_deg) / cell_rad))
    count = max(1, size // side)
    edges = np.linspace(0, size, count + 1).astype(int)
    boxes = np.array(
        [
            [robust_rms(image[a:b:_SAMPLE, c:d:_SAMPLE]) for c, d in itertools.pairwise(edges)]
            for a, b in itertools.pairwise(edges)
        ]
    )
    boxes = np.maximum(boxes, robust_rms(image))
    return zoom(boxes, size / count, order=1, grid_mode=True, mode="nearest").astype(np.float32)


def find(
    image: ResidualImage,
    where: NDArray[np.bool_],
    snr: float,
    least: NDArray[np.float32] | float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places (ra, dec) [rad] and heights [Jy/beam] of sources in the residual, brightest first.

    Points are taken away one by one, each with its whole pattern, so that no sidelobe is taken
    for a source; a second one within a beam belongs to the first. `where` and `least` (what is
    not believed, [Jy/beam]) as the image.
    """
    data = image.data.copy()
    floor = np.maximum(snr * image.noise, least)
    floor[~where] = np.inf
    width = np.radians(image.beam.major_deg) / image.cell_rad
    found: list[tuple[float, float, float]] = []
    for _ in range(_MOST):
        x, y = np.unravel_index(np.argmax(data / floor), data.shape)
        height = float(data[x, y])
        if not height > floor[x, y]:
            break
        dx, dy = _vertex(data[:, y], x), _vertex(data[x], y)
        if all(np.hypot(x + dx - a, y + dy - b) > width for a, b, _ in found):
            found.append((x + dx, y + dy, height))
        _subtract(data, image.psf, int(x), int(y), height)
    places = np.array(found).reshape(-1, 3)
    order = np.argsort(-places[:, 2], kind="stable")
    offset = (places[order, :2] - data.shape[0] // 2) * image.cell_rad
    ra, dec = cosines_to_sky(offset[:, 0], offset[:, 1], *image.center_rad)
    return np.stack([ra, dec]), places[order, 2]


def _vertex(line: NDArray, at: np.intp) -> float:
    """Offset of the vertex of the parabola through a maximum and its neighbours [pixel]."""
    if at == 0 or at == line.size - 1:
        return 0.0
    left, middle, right = (float(v) for v in line[at - 1 : at + 2])
    curvature = left - 2 * middle + right
    return 0.0 if curvature >= 0 else float(np.clip((left - right) / (2 * curvature), -0.5, 0.5))


def _subtract(data: NDArray, psf: NDArray, x: int, y: int, height: float) -> None:
    """Take `height` times the psf, moved to (x, y), off `data`."""
    size, middle = data.shape[0], data.shape[0] // 2
    x0, x1 = max(0, x - middle), min(size, x - middle + size)
    y0, y1 = max(0, y - middle), min(size, y - middle + size)
    part = psf[x0 - x + middle : x1 - x + middle, y0 - y + middle : y1 - y + middle]
    data[x0:x1, y0:y1] -= (height * part).astype(data.dtype)

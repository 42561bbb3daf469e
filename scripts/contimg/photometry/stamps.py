"""Pixels about sources, as arrays [n, s, s] of a common size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.core.fits import FWHM_TO_SIGMA
from contimg.photometry.geometry import Sources

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Maps:
    """The image and its noise [y, x], and the radius of the fitted ellipse [beam widths]."""

    image: NDArray[np.floating]
    rms: NDArray[np.floating]
    stamp_beams: float

    @property
    def limit(self) -> float:
        """The ellipse as a limit of the squared distance d^T precision d."""
        return (self.stamp_beams / FWHM_TO_SIGMA) ** 2


@dataclass(frozen=True)
class Stamps:
    """Pixels (y, x) [n, s, 1], [n, 1, s], data and noise there, and which are used [n, s, s].

    `data` and `inverse_rms` are zero at pixels not used. `complete` tells whether the whole
    ellipse had data.
    """

    y: Index
    x: Index
    data: Array
    inverse_rms: Array
    used: NDArray[np.bool_]
    complete: NDArray[np.bool_]

    def take(self, index: Index) -> Stamps:
        """The stamps of `index`."""
        parts = (self.y, self.x, self.data, self.inverse_rms, self.used, self.complete)
        return Stamps(*(part[index] for part in parts))


def half_width(sources: Sources, maps: Maps) -> int:
    """Pixels from the middle of a stamp to its edge, enough for the ellipse of every source."""
    cov = np.linalg.inv(sources.precision)
    widest = np.sqrt(maps.limit * max(cov[:, 0, 0].max(), cov[:, 1, 1].max()))
    return int(np.ceil(widest + 0.5))


def cut(maps: Maps, sources: Sources, half: int) -> Stamps:
    """Stamps of `sources`; coordinates are 64-bit, whatever the size of the image."""
    steps = np.arange(-half, half + 1, dtype=np.int64)
    y = np.rint(sources.y).astype(np.int64)[:, None, None] + steps[None, :, None]
    x = np.rint(sources.x).astype(np.int64)[:, None, None] + steps[None, None, :]
    ny, nx = maps.image.shape
    on = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
    y_in, x_in = np.clip(y, 0, ny - 1), np.clip(x, 0, nx - 1)
    data = maps.image[y_in, x_in].astype(np.float64)
    rms = maps.rms[y_in, x_in].astype(np.float64)
    ellipse = squared_distance(sources, y, x) <= maps.limit
    with np.errstate(invalid="ignore"):
        good = on & np.isfinite(data) & np.isfinite(rms) & (rms > 0)
    used = ellipse & good
    return Stamps(
        y,
        x,
        np.where(used, data, 0.0),
        np.divide(1.0, rms, out=np.zeros_like(rms), where=used),
        used,
        ~(ellipse & ~good).any(axis=(1, 2)),
    )


def squared_distance(
    sources: Sources, y: Index, x: Index, dy: Array | float = 0.0, dx: Array | float = 0.0
) -> Array:
    """d^T precision d of pixels (y, x) from the sources, displaced by (dx, dy) [n] pixels."""
    east = x - (sources.x + dx)[:, None, None]
    north = y - (sources.y + dy)[:, None, None]
    p = sources.precision[:, :, :, None, None]
    return p[:, 0, 0] * east**2 + 2 * p[:, 0, 1] * east * north + p[:, 1, 1] * north**2

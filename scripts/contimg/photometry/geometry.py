"""Where sources lie on the image and what shape the beam has there.

The beam's position angle is counted from the north at the source. Far from the centre of a wide
mosaic north is not along a column, so every source has its own beam in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.coords import separation, unit_vectors
from contimg.core.fits import Beam

Array = NDArray[np.float64]
_STEP_RAD = 5e-5  # about 10 arcsec: far above rounding, far below any curvature
_HORIZON_RAD = np.radians(85.0)  # beyond this a SIN image shows nothing useful


@dataclass(frozen=True)
class Sources:
    """Sources on an image: pixel positions, and per source [n, 2, 2] two matrices.

    `to_pixel` maps (east, north) [deg] to (x, y) [pixel]; `precision` is the inverse covariance
    of the beam in (x, y) [1/pixel^2].
    """

    x: Array
    y: Array
    to_pixel: Array
    precision: Array

    def __len__(self) -> int:
        return self.x.size

    def take(self, index: NDArray[np.int64]) -> Sources:
        """The sources of `index`."""
        parts = (self.x, self.y, self.to_pixel, self.precision)
        return Sources(*(part[index] for part in parts))


def locate(
    wcs: WCS, beam: Beam, ra_deg: Array, dec_deg: Array, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], Sources]:
    """Which positions fall on a pixel of the image, and how they lie there."""
    centre = np.radians(wcs.wcs.crval)
    near = separation(*centre, np.radians(ra_deg), np.radians(dec_deg)) < _HORIZON_RAD
    index = np.flatnonzero(near)
    x, y = wcs.world_to_pixel_values(ra_deg[index], dec_deg[index])
    ny, nx = shape
    on = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
    index, x, y = index[on], np.atleast_1d(x)[on], np.atleast_1d(y)[on]
    to_pixel = _jacobian(wcs, ra_deg[index], dec_deg[index], x, y)
    cov = to_pixel @ beam.covariance @ np.swapaxes(to_pixel, 1, 2)
    return index, Sources(x, y, to_pixel, np.linalg.inv(cov))


def _jacobian(wcs: WCS, ra_deg: Array, dec_deg: Array, x: Array, y: Array) -> Array:
    """[n, 2, 2]: columns are the pixel steps for one degree to the east and to the north."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    zero = np.zeros_like(ra)
    here = unit_vectors(ra, dec).T
    east = np.stack([-np.sin(ra), np.cos(ra), zero])
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    result = np.empty((ra.size, 2, 2))
    for column, direction in enumerate((east, north)):
        vx, vy, vz = here + _STEP_RAD * direction
        moved = np.degrees(np.arctan2(vy, vx)), np.degrees(np.arctan2(vz, np.hypot(vx, vy)))
        x1, y1 = wcs.world_to_pixel_values(*moved)
        result[:, 0, column] = (x1 - x) / np.degrees(_STEP_RAD)
        result[:, 1, column] = (y1 - y) / np.degrees(_STEP_RAD)
    return result

"""The noise that is really there: the expected noise times a factor measured on the residual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contimg.core.fits import Beam
from contimg.core.noisemap import measure_boxes, multiply_by

Array = NDArray[np.float64]
_LOWEST = 0.5  # of the median factor: residuals blank or clipped to zero must not promise silence


@dataclass(frozen=True)
class Factors:
    """Measured over expected noise in boxes half a box apart, and their median.

    `measured` and `background` (median of residual / noise) are NaN where a box holds too little.
    """

    measured: Array
    background: Array
    box: int
    median: float


def measure_factors(
    residual: NDArray[np.floating],
    noise: NDArray[np.floating],
    beam: Beam,
    cell_deg: float,
    box_beams: float,
) -> Factors:
    """Scaled median absolute deviation and median of residual / noise [y, x] in square boxes of
    `box_beams` beam major axes."""
    box = max(8, round(box_beams * beam.major_deg / cell_deg))
    # noise is alike within a beam: half of the minor axis loses next to nothing
    thin = max(1, round(beam.minor_deg / cell_deg / 2))
    measured, background = measure_boxes(residual, box, thin, noise)
    finite = measured[np.isfinite(measured)]
    return Factors(measured, background, box, float(np.median(finite)) if finite.size else np.nan)


def scale_by_factors(noise: NDArray[np.float32], factors: Factors) -> None:
    """Turn the expected noise [y, x] into the measured one, in place.

    The factors are interpolated linearly; boxes without one take that of the nearest. A mosaic
    without any measurable box becomes NaN.
    """
    finite = np.isfinite(factors.measured)
    if not finite.any():
        noise[:] = np.nan
        return
    nearest = ndimage.distance_transform_edt(~finite, return_distances=False, return_indices=True)
    values = np.maximum(factors.measured[tuple(nearest)], _LOWEST * factors.median)
    multiply_by(values, factors.box, noise)

"""The primary beam of a tile: averaged over its drift, its band and its flags."""

from __future__ import annotations

import dataclasses

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.beam import PrimaryBeam
from contimg.core.coords import separation
from contimg.core.errors import ContimgError
from contimg.image.visibilities import Sampling

_NODES = 65  # of the coarse grid: the beam changes over degrees
_MAX_BANDS = 16


def drift_averaged_beam(
    beam: PrimaryBeam, sampling: Sampling, wcs: WCS, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Sum of w(t, nu) B(t, nu) over sum of w, on the pixels [y, x] of an image.

    Evaluated on a coarse grid of pixels and interpolated with a cubic spline.
    """
    from scipy.interpolate import RectBivariateSpline

    rows = np.linspace(0, shape[0] - 1, _NODES)
    columns = np.linspace(0, shape[1] - 1, _NODES)
    x, y = np.meshgrid(columns, rows)
    ra, dec = (np.radians(c) for c in wcs.all_pix2world(x, y, 0))
    if not np.isfinite(ra).all():
        raise ContimgError("the image reaches beyond the celestial sphere; reduce image.imsize")
    coarse = drift_averaged_response(beam, sampling, ra, dec)
    fine = RectBivariateSpline(rows, columns, coarse)(np.arange(shape[0]), np.arange(shape[1]))
    return np.clip(fine, 0.0, 1.0).astype(np.float32)


def drift_averaged_response(
    beam: PrimaryBeam, sampling: Sampling, ra: NDArray, dec: NDArray
) -> NDArray[np.float64]:
    """Weighted mean response at positions [rad] of any shape, bands of channels together."""
    axes, weight = sampling.axes, sampling.weight
    bands = np.array_split(np.arange(axes.freq_hz.size), min(_MAX_BANDS, axes.freq_hz.size))
    total = np.zeros(ra.shape)
    for time, (ra0, dec0) in enumerate(zip(*axes.pointing_rad, strict=True)):
        distance = separation(ra, dec, ra0, dec0)
        for band in bands:
            w = weight[time, band].sum()
            if w > 0:
                freq = (weight[time, band] * axes.freq_hz[band]).sum() / w
                total += w * beam.power(distance, freq)
    return total / weight.sum()


def diameter_slope(
    beam: PrimaryBeam, sampling: Sampling, ra: NDArray, dec: NDArray
) -> NDArray[np.float64]:
    """dlnB/dlnD at positions [rad], D the diameter of the dish.

    The beam is a function of sin(theta) nu D: another diameter is another frequency.
    """
    step = 0.01
    low, high = (
        drift_averaged_response(
            beam,
            dataclasses.replace(
                sampling,
                axes=dataclasses.replace(sampling.axes, freq_hz=sampling.axes.freq_hz * factor),
            ),
            ra,
            dec,
        )
        for factor in (1 - step, 1 + step)
    )
    return (np.log(high) - np.log(low)) / np.log((1 + step) / (1 - step))

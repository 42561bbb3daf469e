"""How many channels may be averaged: bandwidth smearing of what the beam still sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contimg.calibrate.options import ApplyOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.constants import C_M_S
from contimg.core.errors import ContimgError
from contimg.core.ms import Axes

_DIRECTIONS = 12
_MAX_BIN = 64


def given_bin(options: ApplyOptions, channels: int) -> int | None:
    """The ``channel_bin`` of the options; :class:`ContimgError` when there are fewer channels."""
    if options.channel_bin is not None and options.channel_bin > channels:
        raise ContimgError(
            f"apply.channel_bin {options.channel_bin}: the tile has {channels} channels; make it"
            " smaller, or leave it unset"
        )
    return options.channel_bin


def smearing_bin(
    axes: Axes, weight: NDArray[np.float64], beam: PrimaryBeam, options: ApplyOptions
) -> int:
    """Largest power of two of channels whose average keeps amplitudes within the limit.

    `weight` (time, baseline) is that of the unflagged data, see :func:`smearing_loss`.
    """
    theta = edge_rad(axes, beam, options.smearing_pb)
    best, size = 1, 2
    while axes.freq_hz.size % size == 0 and size <= _MAX_BIN:
        if smearing_loss(axes, weight, theta, size).max() > options.smearing_limit:
            break
        best, size = size, size * 2
    return best


def edge_rad(axes: Axes, beam: PrimaryBeam, response: float) -> float:
    """Distance from the axis at which the beam falls to `response` at the middle of the band."""
    return beam.radius_rad(response, float(axes.freq_hz.mean()))


def smearing_loss(
    axes: Axes, weight: NDArray[np.float64], theta: float, size: int
) -> NDArray[np.float64]:
    """Relative loss of the peak of a source `theta` [rad] off the phase centre, (direction,).

    An average of `size` channels of width dnu multiplies a visibility whose delay to the source
    is tau = (u l + v m + w (n - 1)) / c by the mean over the channels of exp(2 pi i nu tau), the
    Dirichlet kernel sin(size x) / (size sin x), x = pi dnu tau (about sinc(size dnu tau),
    Thompson, Moran & Swenson, section 6.4). The peak of an image of natural weight loses its
    mean over the visibilities with `weight` (time, baseline). Position angles from 0 to 180 deg.
    """
    angle = np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    lmn = np.stack(
        [
            np.sin(theta) * np.sin(angle),
            np.sin(theta) * np.cos(angle),
            0 * angle + np.cos(theta) - 1,
        ]
    )
    total = weight.sum()
    if total == 0:
        return np.zeros(_DIRECTIONS)
    kept = np.zeros(_DIRECTIONS)
    for time in range(axes.mjd.size):
        x = np.pi * axes.width_hz * (axes.uvw_m[time] @ lmn) / C_M_S
        small = np.abs(np.sin(x)) < 1e-9
        kernel = np.sin(size * x) / (size * np.sin(np.where(small, 1.0, x)))
        kept += weight[time] @ np.where(small, 1.0, kernel)
    return 1 - kept / total

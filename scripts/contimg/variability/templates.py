"""The bank of light curves that plasma lenses can cause, as seen at given epochs.

A template is G(u) - 1, the gain of a Gaussian lens less one, at u = (t - t0) / t_a. Templates
are laid out in the width of their dip (FWHM in days) instead of the crossing time t_a, so that
lenses of every strength cover the same range of what is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from contimg.core.lens import smoothed_gain

# (alpha, FWHM of the source in lens widths): from a smooth dip to flat bottoms between caustic
# spikes, with small and large sources; every other one already spans the range
SHAPES = (
    (0.5, 0.5),
    (2.0, 0.2),
    (2.0, 1.0),
    (4.0, 0.2),
    (4.0, 1.0),
    (8.0, 0.2),
    (8.0, 1.0),
    (16.0, 0.3),
    (16.0, 2.0),
    (50.0, 2.0),
)
# ratio of neighbouring widths, step of t0 in widths, step through SHAPES: the first that gives
# no more than MAX_TEMPLATES is taken, so that short light curves are searched finely
LEVELS = ((1.2, 0.1, 1), (1.3, 0.15, 1), (1.4, 0.2, 1), (1.5, 0.3, 1), (1.6, 0.35, 2))
MAX_TEMPLATES = 2500
MIN_BASELINE = 3  # epochs with less than a fifth of the depth
RESOLUTION_DAYS = 0.02


@dataclass(frozen=True)
class Bank:
    """K templates at N epochs."""

    change: NDArray[np.float64]  # (N, K) gain less one
    alpha: NDArray[np.float64]  # (K,)
    size: NDArray[np.float64]  # (K,) of the source
    width: NDArray[np.float64]  # (K,) FWHM of the dip [days]
    t0: NDArray[np.float64]  # (K,) [days after the first epoch]
    depth: NDArray[np.float64]  # (K,) 1 - smallest gain of the template
    in_dip: NDArray[np.int64]  # (K,) epochs below half the depth

    def __len__(self) -> int:
        return self.change.shape[1]


def make_bank(times: NDArray, min_points: int, width_min: float, width_max: float) -> Bank:
    """Bank for epochs at `times` [days]; widths up to that of the light curve.

    A template needs `min_points` epochs below half its depth and ``MIN_BASELINE`` epochs at
    less than a fifth of it: without the first it would fit single outliers, without the
    second anything that rises or falls.
    """
    elapsed = np.round((times - times[0]) / RESOLUTION_DAYS).astype(int)
    return _make_bank(tuple(elapsed.tolist()), min_points, width_min, width_max)


def change_at(bank: Bank, template: int, times: NDArray) -> NDArray[np.float64]:
    """Gain less one of a template at any `times` [days after the first epoch]."""
    alpha, size = float(bank.alpha[template]), float(bank.size[template])
    u, shape, fwhm = _profile(alpha, size)
    crossing = bank.width[template] / fwhm
    return np.interp(np.abs(times - bank.t0[template]) / crossing, u, shape, right=0.0)


@lru_cache(maxsize=8)
def _make_bank(ticks: tuple[int, ...], min_points: int, width_min: float, width_max: float) -> Bank:
    times = np.array(ticks) * RESOLUTION_DAYS
    widest = max(width_min, min(width_max, 0.8 * times[-1]))
    for width_step, epoch_step, stride in LEVELS:
        number = 1 + int(np.ceil(np.log(widest / width_min) / np.log(width_step)))
        widths = np.geomspace(width_min, widest, number)
        parts = [
            _of_one_kind(times, alpha, size, width, epoch_step, min_points)
            for alpha, size in SHAPES[::stride]
            for width in widths
        ]
        bank = Bank(*(np.concatenate(columns, axis=-1) for columns in zip(*parts, strict=True)))
        if len(bank) <= MAX_TEMPLATES:
            break
    return bank


def _of_one_kind(
    times: NDArray, alpha: float, size: float, width: float, epoch_step: float, min_points: int
) -> tuple[NDArray, ...]:
    """The columns of a bank for one shape and width: every t0 that the epochs constrain."""
    u, shape, fwhm = _profile(alpha, size)
    # centres from half a width before the first epoch to as much after the last
    t0 = np.arange(-width / 2, times[-1] + width / 2 + 1e-9, epoch_step * width)
    change = np.interp(np.abs(times[:, None] - t0) / (width / fwhm), u, shape, right=0.0)
    depth = -shape.min()
    in_dip = (change < -0.5 * depth).sum(axis=0)
    baseline = (change > -0.2 * depth).sum(axis=0)
    keep = (in_dip >= min_points) & (baseline >= MIN_BASELINE)
    keep &= change.min(axis=0) < -0.8 * depth
    constants = (np.full(int(keep.sum()), value) for value in (alpha, size, width))
    return change[:, keep], *constants, t0[keep], np.full(int(keep.sum()), depth), in_dip[keep]


@lru_cache(maxsize=32)
def _profile(alpha: float, size: float) -> tuple[NDArray, NDArray, float]:
    """u >= 0, gain less one there, and the full width at half depth of the dip, in u."""
    reach = 5 + 0.6 * alpha + 2 * size  # the outer caustic lies near 0.43 alpha
    u = np.linspace(0, reach, 6001)
    change = smoothed_gain(u, alpha, size) - 1
    outside = np.flatnonzero(change > change.min() / 2)
    return u, change, float(2 * u[outside[0]])

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

# (alpha, FWHM of the source in lens widths): smooth dip, dips with shoulders, flat bottoms with
# caustic spikes far out, each with a small and a large source where that makes a difference
SHAPES = ((0.5, 0.5), (2.0, 0.3), (2.0, 1.5), (8.0, 0.5), (8.0, 2.0), (30.0, 2.0))
WIDTH_STEP = 1.4  # ratio of neighbouring widths
EPOCH_STEP = 0.25  # between neighbouring t0, in widths
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
    span = times[-1]
    widest = min(width_max, 0.8 * span)
    number = max(1, int(np.ceil(np.log(widest / width_min) / np.log(WIDTH_STEP)))) + 1
    parts = []
    for width in np.geomspace(width_min, max(widest, width_min), number):
        # centres from half a width before the first epoch to as much after the last
        t0 = np.arange(-width / 2, span + width / 2 + 1e-9, EPOCH_STEP * width)
        for alpha, size in SHAPES:
            u, shape, fwhm = _profile(alpha, size)
            distance = np.abs(times[:, None] - t0) / (width / fwhm)
            change = np.interp(distance, u, shape, right=0.0)
            depth = -shape.min()
            in_dip = (change < -0.5 * depth).sum(axis=0)
            baseline = (change > -0.2 * depth).sum(axis=0)
            keep = (in_dip >= min_points) & (baseline >= MIN_BASELINE)
            keep &= change.min(axis=0) < -0.8 * depth
            count = int(keep.sum())
            parts.append(
                (
                    change[:, keep],
                    np.full(count, alpha),
                    np.full(count, size),
                    np.full(count, width),
                    t0[keep],
                    np.full(count, depth),
                    in_dip[keep],
                )
            )
    return Bank(*(np.concatenate(columns, axis=-1) for columns in zip(*parts, strict=True)))


@lru_cache(maxsize=32)
def _profile(alpha: float, size: float) -> tuple[NDArray, NDArray, float]:
    """u >= 0, gain less one there, and the full width at half depth of the dip, in u."""
    reach = 5 + 0.6 * alpha + 2 * size  # the outer caustic lies near 0.43 alpha
    u = np.linspace(0, reach, 6001)
    change = smoothed_gain(u, alpha, size) - 1
    outside = np.flatnonzero(change > change.min() / 2)
    return u, change, float(2 * u[outside[0]])

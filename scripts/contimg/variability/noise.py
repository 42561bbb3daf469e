"""What a light curve does without a lens: measurement errors and a Gaussian process.

The covariance of N epochs is diag(sigma^2) + A^2 m^2 k(|dt| / tau), m the mean flux, with two
kernels: the exponential one (damped random walk: intrinsic variability) and the smoother
Matern 3/2 (scintillation, slow trends). A = 0, a constant source, belongs to the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AMPLITUDES = (0.01, 0.03, 0.08, 0.2, 0.5)
STEP = 3.5  # ratio of neighbouring time scales


@dataclass(frozen=True)
class Noise:
    """One point of the grid of noise models."""

    kernel: str  # white, walk, smooth
    amplitude: float  # fraction of the mean flux
    tau_days: float


def noise_grid(times: NDArray) -> list[Noise]:
    """Noise models for epochs at `times` [days]: time scales from one epoch to the whole.

    A process much slower than the light curve is a random walk or a straight line whatever its
    time scale, so the grid ends at three times the length.
    """
    gap, span = float(np.median(np.diff(times))), float(np.ptp(times))
    number = max(2, round(np.log(3 * span / gap) / np.log(STEP)) + 1)
    scales = np.geomspace(gap, 3 * span, number)
    grid = [Noise("white", 0.0, float(scales[0]))]
    for amplitude in AMPLITUDES:
        grid += [Noise("walk", amplitude, float(tau)) for tau in scales]
        # at the shortest scale the kernels hardly differ
        grid += [Noise("smooth", amplitude, float(tau)) for tau in scales[1:]]
    return grid


def covariance(noise: Noise, times: NDArray, error: NDArray, mean_flux: float) -> NDArray:
    """(N, N) covariance [Jy^2] of fluxes with `error` [Jy] under `noise`."""
    lag = np.abs(times[:, None] - times[None, :]) / noise.tau_days
    if noise.kernel == "smooth":
        shape = (1 + np.sqrt(3) * lag) * np.exp(-np.sqrt(3) * lag)
    else:
        shape = np.exp(-lag)
    return np.diag(error**2) + (noise.amplitude * mean_flux) ** 2 * shape

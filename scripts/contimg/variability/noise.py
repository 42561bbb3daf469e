"""What a light curve does without a lens: measurement errors and a Gaussian process.

The covariance of N epochs is diag(sigma^2) + A^2 m^2 k(|dt| / tau), m the mean flux, with two
kernels: the exponential one (damped random walk: intrinsic variability) and the smoother
Matern 3/2 (scintillation, slow trends). A = 0, a constant source, belongs to the grid.

A dozen epochs of one source cannot tell a dip from a source that does such things every week;
how many sources do is known from all the others. So the models of the grid have prior
probabilities, learnt from the run (empirical Bayes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AMPLITUDES = (0.02, 0.06, 0.18, 0.5)
STEP = 5.0  # ratio of neighbouring time scales, at most
PSEUDO_SOURCES = 1.0  # weight of what is believed before any source is seen


@dataclass(frozen=True)
class Noise:
    """One point of the grid of noise models."""

    kernel: str  # white, walk, smooth
    amplitude: float  # fraction of the mean flux
    tau_days: float


def noise_grid(gap_days: float, span_days: float) -> list[Noise]:
    """Noise models for light curves of this length and typical time between epochs.

    A process much slower than the light curve is a random walk or a straight line whatever its
    time scale, so the grid ends at three times the length. The constant source comes first.
    """
    gap, span = max(gap_days, 1e-3), max(span_days, 2e-3)
    number = int(np.ceil(np.log(3 * span / gap) / np.log(STEP))) + 1
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


def deviance(
    noise: Noise, times: NDArray, error: NDArray, mean_flux: float, flux: NDArray
) -> float:
    """-2 ln L (restricted: the mean is integrated out) of a light curve (N,) under `noise`."""
    inverse = np.linalg.inv(covariance(noise, times, error, mean_flux))
    row = inverse.sum(axis=0)
    centred = flux - flux @ row / row.sum()
    return float(-np.linalg.slogdet(inverse)[1] + np.log(row.sum()) + centred @ inverse @ centred)


def learn_priors(deviances: NDArray) -> NDArray[np.float64]:
    """(S, H) prior probabilities of H noise models for each of S sources, from all the others.

    `deviances` (S, H) are the -2 ln L. The distribution over the grid is the one of maximum
    likelihood (Laird 1978, J. Am. Stat. Assoc. 73, 805) with ``PSEUDO_SOURCES`` added, half
    constant and half anything. A source takes no part in its own prior: an ESE does not make
    large variations look common to itself.
    """
    likelihood = np.exp(-0.5 * (deviances - deviances.min(axis=1, keepdims=True)))
    models = deviances.shape[1]
    base = np.full(models, 0.5 / (models - 1))
    base[0] = 0.5
    base *= PSEUDO_SOURCES
    prior = base / base.sum()
    for _ in range(200):
        share = likelihood * prior
        share /= share.sum(axis=1, keepdims=True)
        prior = (share.sum(axis=0) + base) / (len(share) + PSEUDO_SOURCES)
    others = share.sum(axis=0) - share + base
    return others / others.sum(axis=1, keepdims=True)

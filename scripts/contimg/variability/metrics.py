"""How much a light curve varies: the usual numbers, defined once.

f: N fluxes [Jy]; sigma: their errors [Jy]; w = 1/sigma^2. V and eta as in the LOFAR Transients
Pipeline (Swinbank et al. 2015, Astron. Comput. 11, 25).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri


def weighted_mean(flux: NDArray, error: NDArray) -> tuple[float, float]:
    """sum(w f)/sum(w) and its error, sum(w)^-1/2 [Jy]."""
    weight = 1 / error**2
    total = float(weight.sum())
    return float(weight @ flux) / total, total**-0.5


def modulation(flux: NDArray) -> float:
    """V = s / mean(f), s the sample standard deviation (N - 1)."""
    return float(np.std(flux, ddof=1) / np.mean(flux))


def debiased_modulation(flux: NDArray, error: NDArray) -> tuple[float, float]:
    """sqrt(max(0, s^2 - mean(sigma^2))) / mean(f), without what the errors explain; its error.

    The error is that of Vaughan et al. 2003 (MNRAS 345, 1271, eq. B2).
    """
    mean, noise = float(np.mean(flux)), float(np.mean(error**2))
    value = np.sqrt(max(0.0, np.var(flux, ddof=1) - noise)) / mean
    number = len(flux)
    first = np.sqrt(0.5 / number) * noise / mean**2
    second = np.sqrt(noise / number) / mean
    if value <= 0:
        # of F^2, which is what the errors of the fluxes leave uncertain where F is zero
        return 0.0, float(np.sqrt(2 * first))
    return float(value), float(np.hypot(first / value, second))


def modulation_limit(flux: NDArray, error: NDArray) -> float:
    """Largest modulation that a source of Gaussian fluxes has with 95 %: an upper limit."""
    degrees = len(flux) - 1
    # the sum of squares is chi-square times the true variance; its 5 % point is the smallest
    largest = np.var(flux, ddof=1) * degrees / chdtri(degrees, 0.95)
    return float(np.sqrt(max(0.0, largest - np.mean(error**2))) / np.mean(flux))


def offsets(flux: NDArray, error: NDArray, shapes: NDArray) -> tuple[NDArray, float]:
    """Most probable amplitudes (R,) of `shapes` (N, R) [Jy], which are normal deviates before
    anything is measured, about any mean; and the error of that mean [Jy].

    With s = `shapes` times them, the chi-square of f under the covariance sigma^2 + shapes shapes'
    is that of f - s under sigma^2 alone, and the squares of the amplitudes.
    """
    number = shapes.shape[1]
    design = np.column_stack([np.ones(len(flux)), shapes]) / error[:, None]
    prior = np.eye(number + 1)[1:]
    q, r = np.linalg.qr(np.vstack([design, prior]))
    inverse = np.linalg.inv(r)
    best = inverse @ (q.T @ np.append(flux / error, np.zeros(number)))
    return best[1:], float(np.sqrt((inverse[0] ** 2).sum()))


def eta(flux: NDArray, error: NDArray, amplitudes: NDArray | float = 0.0) -> float:
    """Reduced chi-square about the weighted mean, sum w (f - f_w)^2 / (N - 1).

    Of a flux from which something was taken with the `amplitudes` of :func:`offsets`, their squares
    are part of the sum: with what could be taken it still follows chi-square with N - 1 degrees.
    """
    mean, _ = weighted_mean(flux, error)
    chi_square = (((flux - mean) / error) ** 2).sum() + np.sum(np.square(amplitudes))
    return float(chi_square / (len(flux) - 1))


def p_constant(flux: NDArray, error: NDArray, amplitudes: NDArray | float = 0.0) -> float:
    """Probability that a constant source of Gaussian errors has at least this eta."""
    degrees = len(flux) - 1
    return float(chdtrc(degrees, degrees * eta(flux, error, amplitudes)))

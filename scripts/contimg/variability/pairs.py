"""The pair of epochs between which a source changed most: Vs and m as in Mooley et al. 2016
(ApJ 818, 105)."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr


def largest_pair(flux: NDArray, error: NDArray) -> tuple[float, float, int, int]:
    """(Vs, m, a, b) of the two epochs a < b with the largest |Vs|.

    Vs = (f_a - f_b) / hypot(sigma_a, sigma_b); m = 2 (f_a - f_b) / (f_a + f_b)
    (NaN where that sum is 0).
    """
    first, second = _largest_pair(
        np.asarray(flux, dtype=float), np.asarray(error, dtype=float) ** 2
    )
    difference = flux[first] - flux[second]
    total = flux[first] + flux[second]
    m = 2 * difference / total if total else np.nan
    return float(difference / np.hypot(error[first], error[second])), float(m), first, second


@numba.njit(cache=True, nogil=True, fastmath=True)
def _largest_pair(flux, variance):
    largest, first = -1.0, 0
    for a in range(len(flux) - 1):
        square = 0.0
        for b in range(a + 1, len(flux)):
            square = max(square, (flux[a] - flux[b]) ** 2 / (variance[a] + variance[b]))
        if square > largest:
            largest, first = square, a
    squares = (flux[first] - flux[first + 1 :]) ** 2 / (variance[first] + variance[first + 1 :])
    return first, first + 1 + int(np.argmax(squares))


def p_largest_pair(vs: float, epochs: int) -> float:
    """Probability that any of the N(N-1)/2 pairs of a constant source reaches |vs|.

    For equal errors sqrt(2) max|Vs| is the range of N standard normal deviates. Given that the
    largest of them is z, it exceeds q unless none of the others is below z - q, so

        P(range > q) = N int phi(z) Phi(z)^(N-1) {1 - [1 - Phi(z-q)/Phi(z)]^(N-1)} dz.

    For unequal errors this is the Tukey-Kramer approximation, which never makes the
    probability too small (Hayter 1984, Ann. Stat. 12, 61).
    """
    q = min(np.sqrt(2) * abs(vs), 60.0)  # of which p is zero in double precision
    # sums of such functions at equal steps converge exponentially (Trefethen & Weideman 2014, SIAM
    # Rev. 56, 385): half of their width, a fifth for a million epochs, is enough
    z = np.linspace(-9, 9 + q, 1 + int(np.ceil((18 + q) / 0.1)))
    largest = np.exp(-0.5 * (z**2 + np.log(2 * np.pi)) + (epochs - 1) * log_ndtr(z))
    # written so that small probabilities keep their digits
    below = np.minimum(np.exp(log_ndtr(z - q) - log_ndtr(z)), 1 - 1e-12)
    some_below = -np.expm1((epochs - 1) * np.log1p(-below))
    return float(np.clip(epochs * np.trapezoid(largest * some_below, z), 0.0, 1.0))

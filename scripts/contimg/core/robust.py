"""Robust statistics of values with errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TUKEY = 4.685  # biweight of 95 per cent efficiency (Beaton & Tukey 1974, Technometrics 16, 147)


def robust_mean(
    values: NDArray[np.float64], errors: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Mean of values with errors, its own error, and the scatter beyond the errors.

    The scatter is what makes the median of the deviations that of a Gaussian; both enter the
    weights, so that no single value dominates for being bright. Tukey's biweight on top: what
    deviates by more than 4.7 sigma has no part in it.
    """
    mean, scatter = float(np.median(values)), 0.0
    for _ in range(30):
        scatter = _excess(np.abs(values - mean), errors)
        sigma = np.sqrt(errors**2 + scatter**2)
        deviation = (values - mean) / sigma
        weight = np.clip(1 - (deviation / _TUKEY) ** 2, 0, None) ** 2 / sigma**2
        before, mean = mean, float((weight * values).sum() / weight.sum())
        if abs(mean - before) < 1e-3 * sigma.min():
            break
    formal = 1 / np.sqrt(weight.sum())
    actual = np.sqrt(((weight * (values - mean)) ** 2).sum()) / weight.sum()
    return mean, float(max(formal, actual)), scatter


def _excess(deviation: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    """Scatter that, beside the errors, explains the median of absolute deviations; 0 if none."""
    from scipy.optimize import brentq

    def surplus(scatter: float) -> float:
        return float(1.4826 * np.median(deviation / np.sqrt(errors**2 + scatter**2)) - 1)

    if surplus(0.0) <= 0:
        return 0.0
    return float(brentq(surplus, 0.0, 2 * 1.4826 * deviation.max()))

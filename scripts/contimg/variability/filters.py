"""Gaussian processes as state-space filters: likelihoods in a time proportional to the epochs.

A light curve with measurement errors and an exponential or Matern 3/2 process is whitened by a
Kalman filter (Hartikainen & Sarkka 2010, IEEE MLSP), and so is every template, with the same
gains: whitened vectors have the inner products x' C^-1 y. The cost is N a template, not N^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.variability.noise import Noise

_BLOCK = 1024  # templates filtered at a time: their states stay in the nearest cache


@dataclass(frozen=True)
class Whitener:
    """The filter of one noise model at given epochs and errors."""

    transition: NDArray[np.float32]  # (N, 4) of the state, from the epoch before
    gain: NDArray[np.float32]  # (N, 2)
    root: NDArray[np.float32]  # (N,) 1 / standard deviation of the innovations
    log_det: float

    def white(self, flux: NDArray) -> NDArray[np.float64]:
        """One and f (N,), whitened: (N, 2)."""
        pair = np.column_stack([np.ones(len(flux)), flux]).astype(np.float32)
        return _whiten(self.transition, self.gain, self.root, pair).astype(float)

    def products(
        self, flux: NDArray, templates: NDArray
    ) -> tuple[tuple[float, float, float], NDArray[np.float64]]:
        """Inner products under C^-1 of f (N,), 1 and t (N, K) float32.

        Returns (1'1, 1'f, f'f) and an array (3, K) of t't, t'f, t'1.
        """
        white = self.white(flux)
        dots = _products(self.transition, self.gain, self.root, templates, white)
        ones, values = white.T
        return (float(ones @ ones), float(ones @ values), float(values @ values)), dots


def make_whitener(
    times: NDArray, variance: NDArray, kernel: str, amplitude: float, tau_days: float
) -> Whitener:
    """Filter for errors of `variance` (N,) and a process of `amplitude` (same unit as errors)."""
    smooth = kernel == "smooth"
    arrays = _filter(times, variance, amplitude**2, tau_days, smooth)
    transition, gain, innovation = arrays
    return Whitener(
        transition.astype(np.float32),
        gain.astype(np.float32),
        (innovation**-0.5).astype(np.float32),
        float(np.log(innovation).sum()),
    )


def log_likelihoods(
    times: NDArray, flux: NDArray, variance: NDArray, grid: list[Noise]
) -> NDArray[np.float64]:
    """ln L (H,) of a light curve under every noise model, the mean integrated out."""
    return _log_likelihoods(
        times,
        flux,
        variance,
        np.array([n.amplitude**2 for n in grid]),
        np.array([n.tau_days for n in grid]),
        np.array([n.kernel == "smooth" for n in grid]),
    )


@numba.njit(cache=True, nogil=True, inline="always")
def _rate(tau, smooth):
    return np.sqrt(3.0) / tau if smooth else 1 / tau


@numba.njit(cache=True, nogil=True, inline="always")
def _transition(rate, lag, smooth):
    """What a state becomes after `lag`: two rows."""
    decay = np.exp(-rate * lag)
    if smooth:
        slower = decay * rate * lag
        return decay + slower, decay * lag, -slower * rate, decay - slower
    return decay, 0.0, 0.0, 0.0


@numba.njit(cache=True, nogil=True, inline="always")
def _predicted(p00, p01, p11, power, speed, a, b, c, d):
    """The covariance of the state after a transition; the stationary one stays what it is."""
    q00, q01, q11 = p00 - power, p01, p11 - speed
    return (
        power + a * a * q00 + 2 * a * b * q01 + b * b * q11,
        a * c * q00 + (a * d + b * c) * q01 + b * d * q11,
        speed + c * c * q00 + 2 * c * d * q01 + d * d * q11,
    )


@numba.njit(cache=True, nogil=True)
def _log_likelihoods(times, flux, variance, powers, taus, smooths):
    result = np.empty(len(powers))
    for h in range(len(powers)):
        power, smooth = powers[h], smooths[h]
        rate = _rate(taus[h], smooth)
        speed = power * rate**2 if smooth else 0.0
        p00, p01, p11 = power, 0.0, speed
        x1 = v1 = xf = vf = 0.0
        ones = mean = square = log_det = 0.0
        product = 1.0
        for n in range(len(times)):
            if n and power > 0:
                a, b, c, d = _transition(rate, times[n] - times[n - 1], smooth)
                p00, p01, p11 = _predicted(p00, p01, p11, power, speed, a, b, c, d)
                x1, v1 = a * x1 + b * v1, c * x1 + d * v1
                xf, vf = a * xf + b * vf, c * xf + d * vf
            s = p00 + variance[n]
            g0, g1 = p00 / s, p01 / s
            p11 -= g1 * p01
            p01 -= g0 * p01
            p00 -= g0 * p00
            e1, ef = 1 - x1, flux[n] - xf
            x1, v1, xf, vf = x1 + g0 * e1, v1 + g1 * e1, xf + g0 * ef, vf + g1 * ef
            ones += e1 * e1 / s
            mean += e1 * ef / s
            square += ef * ef / s
            # a logarithm of every eighth product
            product *= s
            if n % 8 == 7:
                log_det += np.log(product)
                product = 1.0
        log_det += np.log(product)
        result[h] = -0.5 * (log_det + np.log(ones) + square - mean * mean / ones)
    return result


@numba.njit(cache=True, nogil=True)
def _filter(times, variance, power, tau, smooth):
    """Transitions, gains and variances of the innovations (float64)."""
    number = len(times)
    transition, gain = np.zeros((number, 4)), np.zeros((number, 2))
    innovation = np.empty(number)
    rate = _rate(tau, smooth)
    speed = power * rate**2 if smooth else 0.0
    p00, p01, p11 = power, 0.0, speed
    for n in range(number):
        if n:
            a, b, c, d = _transition(rate, times[n] - times[n - 1], smooth)
            p00, p01, p11 = _predicted(p00, p01, p11, power, speed, a, b, c, d)
            transition[n, 0], transition[n, 1] = a, b
            transition[n, 2], transition[n, 3] = c, d
        s = p00 + variance[n]
        innovation[n] = s
        g0, g1 = p00 / s, p01 / s
        gain[n, 0], gain[n, 1] = g0, g1
        p11 -= g1 * p01
        p01 -= g0 * p01
        p00 -= g0 * p00
    return transition, gain, innovation


@numba.njit(cache=True, nogil=True, fastmath=True)
def _whiten(transition, gain, root, columns):
    number, width = columns.shape
    x, v = np.zeros(width, np.float32), np.zeros(width, np.float32)
    result = np.empty_like(columns)
    for n in range(number):
        a, b, c, d = transition[n]
        g0, g1, r = gain[n, 0], gain[n, 1], root[n]
        for k in range(width):
            low, high = a * x[k] + b * v[k], c * x[k] + d * v[k]
            e = columns[n, k] - low
            x[k], v[k] = low + g0 * e, high + g1 * e
            result[n, k] = e * r
    return result


@numba.njit(cache=True, nogil=True, fastmath=True)
def _products(transition, gain, root, templates, white):
    number, width = templates.shape
    result = np.zeros((3, width))
    smooth = transition[:, 3].any() or transition[:, 1].any()
    for start in range(0, width, _BLOCK):
        stop = min(width, start + _BLOCK)
        x, v = np.zeros(stop - start, np.float32), np.zeros(stop - start, np.float32)
        tt, ty = np.zeros(stop - start, np.float32), np.zeros(stop - start, np.float32)
        t1 = np.zeros(stop - start, np.float32)
        for n in range(number):
            a, b, c, d = transition[n]
            g0, g1, r = gain[n, 0], gain[n, 1], root[n]
            one, value = np.float32(white[n, 0]), np.float32(white[n, 1])
            if smooth:
                for k in range(stop - start):
                    low, high = a * x[k] + b * v[k], c * x[k] + d * v[k]
                    e = templates[n, start + k] - low
                    x[k], v[k] = low + g0 * e, high + g1 * e
                    w = e * r
                    tt[k] += w * w
                    ty[k] += w * value
                    t1[k] += w * one
            else:
                for k in range(stop - start):
                    low = a * x[k]
                    e = templates[n, start + k] - low
                    x[k] = low + g0 * e
                    w = e * r
                    tt[k] += w * w
                    ty[k] += w * value
                    t1[k] += w * one
        result[0, start:stop], result[1, start:stop], result[2, start:stop] = tt, ty, t1
    return result

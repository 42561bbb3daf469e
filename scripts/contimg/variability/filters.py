"""Gaussian processes as state-space filters: likelihoods in a time proportional to the epochs.

A light curve with measurement errors and an exponential or Matern 3/2 process is whitened by a
Kalman filter (Hartikainen & Sarkka 2010, IEEE MLSP), and so is every template, with the same
gains: whitened vectors have the inner products x' C^-1 y. The cost is N a template, not N^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.variability.noise import Noise

_BLOCK = 32  # templates filtered at a time; neighbours are zero at the same epochs
_ZERO = 1e-5  # of a template: what it has less than this at its ends is left out
# of a state: the square of less is no normal number, and ten times as slow; epochs between looks
_FADED, _FADING = np.float32(1e-15), 8


@dataclass(frozen=True)
class Whitener:
    """The filter of one noise model at given epochs and errors."""

    transition: NDArray[np.float32]  # (N, 4) of the state, from the epoch before
    gain: NDArray[np.float32]  # (N, 2)
    root: NDArray[np.float32]  # (N,) 1 / standard deviation of the innovations
    log_det: float
    taken: NDArray[np.float64] | None = None  # (N, R) whitened directions of terms that are no news

    def white(self, flux: NDArray) -> NDArray[np.float64]:
        """One and f (N,), whitened: (N, 2)."""
        pair = np.column_stack([np.ones(len(flux)), flux]).astype(np.float32)
        return _whiten(self.transition, self.gain, self.root, pair).astype(float)

    def of(self, flux: NDArray) -> Whitened:
        """What all templates for `flux` (N,) have in common."""
        white = self.white(flux)
        return Whitened(self, white, afterwards(self.transition, self.gain, self.root, white))

    def products(
        self, flux: NDArray, templates: NDArray
    ) -> tuple[tuple[float, float, float], NDArray[np.float64]]:
        """As :meth:`Whitened.products`, for templates (N, K) that nothing is known of."""
        return self.of(flux).products(packed(templates, supports(templates)))


@dataclass(frozen=True)
class Packed:
    """K templates by blocks of neighbours, only where one of a block is not zero.

    The filter reads them in the order in which they lie in memory: two to three times as fast.
    """

    rows: NDArray[np.float32]  # (R, _BLOCK) of all blocks one after the other
    support: NDArray[np.int64]  # (blocks, 2) as :func:`supports`
    number: int  # K


def packed(templates: NDArray, support: NDArray) -> Packed:
    """Templates (N, K) float32 by blocks."""
    return Packed(_pack(templates, support), support, templates.shape[1])


@dataclass(frozen=True)
class Whitened:
    """A light curve under one noise model."""

    filter: Whitener
    white: NDArray[np.float64]  # (N, 2) of one and f
    after: NDArray[np.float64]  # (N + 1, 7) of :func:`afterwards`

    def products(self, templates: Packed) -> tuple[tuple[float, float, float], NDArray[np.float64]]:
        """Inner products under C^-1 of f (N,), 1 and t (N, K).

        Returns (1'1, 1'f, f'f) and an array (3, K) of t't, t'f, t'1. Templates that are zero at
        the same epochs should be neighbours: only where one is not they are filtered, and the end
        is added in closed form.
        """
        dots = self._with(self.white, self.after, templates)
        if self.filter.taken is not None:
            one, value = self.white.T @ self.filter.taken
            along = self._along(templates)
            dots -= np.stack([(along**2).sum(axis=0), value @ along, one @ along])
        return self.sums, dots

    @cached_property
    def sums(self) -> tuple[float, float, float]:
        """Inner products 1'1, 1'f, f'f."""
        square = self.white.T @ self.white
        if self.filter.taken is not None:
            both = self.white.T @ self.filter.taken
            square -= both @ both.T
        return float(square[0, 0]), float(square[0, 1]), float(square[1, 1])

    def _with(self, white: NDArray, after: NDArray, templates: Packed) -> NDArray[np.float64]:
        """Products (3, K) of templates with themselves and with two whitened vectors."""
        f, t = self.filter, templates
        return _products(f.transition, f.gain, f.root, t.rows, t.support, t.number, white, after)

    def _along(self, templates: Packed) -> NDArray[np.float64]:
        """Products (R, K) of templates with what is taken, two of which are done at a time."""
        f, rows = self.filter, []
        assert f.taken is not None
        taken = np.pad(f.taken, ((0, 0), (0, f.taken.shape[1] % 2)))
        for k in range(0, taken.shape[1], 2):
            pair = np.ascontiguousarray(taken[:, k : k + 2])
            after = afterwards(f.transition, f.gain, f.root, pair)
            rows += list(self._with(pair, after, templates)[:0:-1])
        return np.stack(rows[: f.taken.shape[1]])


def make_whitener(
    times: NDArray,
    variance: NDArray,
    kernel: str,
    amplitude: float,
    tau_days: float,
    terms: NDArray | None = None,
) -> Whitener:
    """Filter for errors of `variance` (N,) and a process of `amplitude` (same unit as errors).

    With `terms` (N, R) their sum with amplitudes of variance one is part of the noise (Woodbury's
    identity; Rasmussen & Williams 2006, eq. 2.41 ff.).
    """
    smooth = kernel == "smooth"
    arrays = _filter(times, variance, amplitude**2, tau_days, smooth)
    transition, gain, innovation = arrays
    filt = Whitener(
        transition.astype(np.float32),
        gain.astype(np.float32),
        (innovation**-0.5).astype(np.float32),
        float(np.log(innovation).sum()),
    )
    return filt if terms is None else _less_terms(filt, terms)


def _less_terms(filt: Whitener, terms: NDArray) -> Whitener:
    white = _whiten(filt.transition, filt.gain, filt.root, terms.astype(np.float32)).astype(float)
    root = np.linalg.cholesky(np.eye(terms.shape[1]) + white.T @ white)
    log_det = filt.log_det + 2 * float(np.log(np.diag(root)).sum())
    return replace(filt, log_det=log_det, taken=np.linalg.solve(root, white.T).T)


def draw_process(times: NDArray, noise: Noise, random: np.random.Generator) -> NDArray[np.float64]:
    """The process of `noise` (N,) drawn at ascending `times` [days], in units of the median."""
    normal = random.standard_normal((len(times), 2))
    if noise.amplitude == 0:
        return np.zeros(len(times))
    return _process(times, noise.amplitude**2, noise.tau_days, noise.kernel == "smooth", normal)


@numba.njit(cache=True, nogil=True)
def _process(times, power, tau, smooth, normal):
    """The state from epoch to epoch: what is left of it, and as much anew as it has lost."""
    result = np.empty(len(times))
    rate = rate_of(tau, smooth)
    speed = power * rate**2 if smooth else 0.0
    x, v = math.sqrt(power) * normal[0, 0], math.sqrt(speed) * normal[0, 1]
    result[0] = x
    for n in range(1, len(times)):
        a, b, c, d = transition_of(rate, times[n] - times[n - 1], smooth)
        p00, p01, p11 = predicted(0.0, 0.0, 0.0, power, speed, a, b, c, d)
        root = math.sqrt(max(p00, 0.0))
        both = p01 / root if root > 0 else 0.0
        x, v = a * x + b * v, c * x + d * v
        x += root * normal[n, 0]
        v += both * normal[n, 0] + math.sqrt(max(p11 - both * both, 0.0)) * normal[n, 1]
        result[n] = x
    return result


@numba.njit(cache=True, nogil=True, inline="always")
def rate_of(tau, smooth):
    return np.sqrt(3.0) / tau if smooth else 1 / tau


@numba.njit(cache=True, nogil=True, inline="always")
def transition_of(rate, lag, smooth):
    """What a state becomes after `lag`: two rows."""
    decay = np.exp(-rate * lag)
    if smooth:
        slower = decay * rate * lag
        return decay + slower, decay * lag, -slower * rate, decay - slower
    return decay, 0.0, 0.0, 0.0


@numba.njit(cache=True, nogil=True, inline="always")
def predicted(p00, p01, p11, power, speed, a, b, c, d):
    """The covariance of the state after a transition; the stationary one stays what it is."""
    q00, q01, q11 = p00 - power, p01, p11 - speed
    return (
        power + a * a * q00 + 2 * a * b * q01 + b * b * q11,
        a * c * q00 + (a * d + b * c) * q01 + b * d * q11,
        speed + c * c * q00 + 2 * c * d * q01 + d * d * q11,
    )


@numba.njit(cache=True, nogil=True)
def _filter(times, variance, power, tau, smooth):
    """Transitions, gains and variances of the innovations (float64)."""
    number = len(times)
    transition, gain = np.zeros((number, 4)), np.zeros((number, 2))
    innovation = np.empty(number)
    rate = rate_of(tau, smooth)
    speed = power * rate**2 if smooth else 0.0
    p00, p01, p11 = power, 0.0, speed
    for n in range(number):
        if n:
            a, b, c, d = transition_of(rate, times[n] - times[n - 1], smooth)
            p00, p01, p11 = predicted(p00, p01, p11, power, speed, a, b, c, d)
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


@numba.njit(cache=True, nogil=True)
def afterwards(transition, gain, root, white):
    """What a state predicted for an epoch adds from there on to a template's products.

    A template that is zero from an epoch on still is in the state of the filter. (N + 1, 7): of the
    state (low, high) the factors of low^2, low high and high^2 in t't, those of low and high in
    t'y, and in t'1.
    """
    number = len(root)
    found = np.zeros((number + 1, 7))
    for n in range(number - 1, -1, -1):
        r, g0, g1 = root[n], gain[n, 0], gain[n, 1]
        later = found[n + 1]
        row = found[n]
        if n + 1 < number:
            f0, f1, f2, f3 = transition[n + 1]
            a, b = f0 * (1 - g0) - f1 * g1, f1
            c, d = f2 * (1 - g0) - f3 * g1, f3
            row[0] = a * a * later[0] + a * c * later[1] + c * c * later[2]
            row[1] = 2 * a * b * later[0] + (a * d + b * c) * later[1] + 2 * c * d * later[2]
            row[2] = b * b * later[0] + b * d * later[1] + d * d * later[2]
            for k in (3, 5):
                row[k] = a * later[k] + c * later[k + 1]
                row[k + 1] = b * later[k] + d * later[k + 1]
        row[0] += r * r
        row[3] -= r * white[n, 1]
        row[5] -= r * white[n, 0]
    return found


@numba.njit(cache=True, nogil=True, fastmath=True)
def supports(templates):
    """Of every ``_BLOCK`` of templates (N, K) the first epoch at which any is not zero, and the
    one after the last."""
    number, width = templates.shape
    found = np.zeros(((width + _BLOCK - 1) // _BLOCK, 2), np.int64)
    for block in range(len(found)):
        start, stop = block * _BLOCK, min(width, (block + 1) * _BLOCK)
        first, last = 0, number
        while first < last and _largest(templates, first, start, stop) < _ZERO:
            first += 1
        while last > first and _largest(templates, last - 1, start, stop) < _ZERO:
            last -= 1
        found[block, 0], found[block, 1] = first, last
    return found


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _largest(templates, n, start, stop):
    largest = np.float32(0)
    for k in range(start, stop):
        largest = max(largest, abs(templates[n, k]))
    return largest


@numba.njit(cache=True, nogil=True)
def _pack(templates, support):
    rows = 0
    for block in range(len(support)):
        rows += support[block, 1] - support[block, 0]
    result = np.zeros((rows, _BLOCK), np.float32)
    place = 0
    for block in range(len(support)):
        start = block * _BLOCK
        stop = min(templates.shape[1], start + _BLOCK)
        for n in range(support[block, 0], support[block, 1]):
            for k in range(stop - start):
                result[place, k] = templates[n, start + k]
            place += 1
    return result


@numba.njit(cache=True, nogil=True, fastmath=True)
def _products(transition, gain, root, rows, support, width, white, after):
    number, place = len(root), 0
    result = np.zeros((3, width))
    smooth = transition[:, 3].any() or transition[:, 1].any()
    zero = np.float32(0)
    pair = white.astype(np.float32)
    # the state (low, high) and the three sums of all templates of a block in one array: of several
    # arrays the compiler cannot know that they do not overlap, and takes one template at a time
    kept = np.zeros(5 * _BLOCK, np.float32)
    for block in range(len(support)):
        start = block * _BLOCK
        stop = min(width, start + _BLOCK)  # so that it is known to be a block at most
        first, last = support[block]
        kept[:] = zero
        for n in range(first, last):
            a, b, c, d = transition[n]
            g0, g1, r = gain[n, 0], gain[n, 1], root[n]
            one, value = pair[n, 0], pair[n, 1]
            if smooth:
                for k in range(_BLOCK):
                    x, v = kept[k], kept[_BLOCK + k]
                    low, high = a * x + b * v, c * x + d * v
                    e = rows[place, k] - low
                    kept[k], kept[_BLOCK + k] = low + g0 * e, high + g1 * e
                    w = e * r
                    kept[2 * _BLOCK + k] += w * w
                    kept[3 * _BLOCK + k] += w * value
                    kept[4 * _BLOCK + k] += w * one
            else:
                for k in range(_BLOCK):
                    low = a * kept[k]
                    e = rows[place, k] - low
                    kept[k] = low + g0 * e
                    w = e * r
                    kept[2 * _BLOCK + k] += w * w
                    kept[3 * _BLOCK + k] += w * value
                    kept[4 * _BLOCK + k] += w * one
            place += 1
            if n % _FADING == 0:
                for k in range(2 * _BLOCK):
                    kept[k] = kept[k] if abs(kept[k]) > _FADED else zero
        for k in range(stop - start):
            for j in range(3):
                result[j, start + k] = kept[(2 + j) * _BLOCK + k]
        if last < number:
            a, b, c, d = transition[last]
            q0, q1, q2, y0, y1, m0, m1 = after[last]
            for k in range(stop - start):
                x, v = kept[k], kept[_BLOCK + k]
                low, high = a * x + b * v, c * x + d * v
                result[0, start + k] += q0 * low * low + q1 * low * high + q2 * high * high
                result[1, start + k] += y0 * low + y1 * high
                result[2, start + k] += m0 * low + m1 * high
    return result

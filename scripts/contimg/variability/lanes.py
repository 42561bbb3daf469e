"""Many noise models for one light curve at a time, side by side in the registers of the processor.

The filters of :mod:`contimg.variability.filters`, the same formulas: what is the same for models of
one process but for its amplitude, or for all templates of one model, is worked out once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.variability.filters import predicted, rate_of, transition_of
from contimg.variability.noise import Noise

LANES = 8  # models at a time
_STATES = 17 * LANES


@dataclass(frozen=True)
class Grid:
    """H noise models in blocks of lanes; what a block lacks is filled with white noise."""

    rate: NDArray[np.float64]  # (P,) of processes, whatever their amplitudes, P whole blocks
    smooth: NDArray[np.bool_]  # (P,)
    amplitude: NDArray[np.float64]  # (A,)
    model: NDArray[np.int64]  # (A, P) its number, or -1
    process: NDArray[np.int64]  # (H,) of each model
    power: NDArray[np.float64]  # (H,) variance of each model


def grid_of(grid: list[Noise]) -> Grid:
    """The models of `grid`, which no more changes."""
    return _grid_of(tuple((n.kernel, n.amplitude, n.tau_days) for n in grid))


@lru_cache(maxsize=8)
def _grid_of(models: tuple[tuple[str, float, float], ...]) -> Grid:
    processes = list(dict.fromkeys((kernel, tau) for kernel, amplitude, tau in models if amplitude))
    amplitudes = list(dict.fromkeys(amplitude for _, amplitude, _ in models if amplitude))
    number = -(-max(len(processes), 1) // LANES) * LANES
    rate, smooth = np.ones(number), np.zeros(number, dtype=bool)
    for p, (kernel, tau) in enumerate(processes):
        smooth[p] = kernel == "smooth"
        rate[p] = rate_of(tau, smooth[p])
    model = np.full((len(amplitudes), number), -1)
    process = np.zeros(len(models), dtype=int)
    for h, (kernel, amplitude, tau) in enumerate(models):
        if amplitude:
            process[h] = processes.index((kernel, tau))
            model[amplitudes.index(amplitude), process[h]] = h
    power = np.array([amplitude**2 for _, amplitude, _ in models])
    return Grid(rate, smooth, np.array(amplitudes), model, process, power)


def log_likelihoods(
    times: NDArray, flux: NDArray, variance: NDArray, grid: list[Noise]
) -> NDArray[np.float64]:
    """ln L (H,) of a light curve under every noise model, the mean integrated out."""
    g = grid_of(grid)
    made = transitions(times, g)
    return _log_likelihoods(
        made, flux, variance, g.rate, g.smooth, g.amplitude**2, g.model, len(grid)
    )


def transitions(times: NDArray, grid: Grid) -> NDArray[np.float64]:
    """(N, P / LANES, 4, LANES) what states become from one epoch to the next."""
    return _transitions(times, grid.rate, grid.smooth)


@numba.njit(cache=True, nogil=True)
def _transitions(times, rate, smooth):
    result = np.zeros((len(times), len(rate) // LANES, 4, LANES))
    for n in range(1, len(times)):
        lag = times[n] - times[n - 1]
        if n > 1 and lag == times[n - 1] - times[n - 2]:
            result[n] = result[n - 1]
            continue
        for p in range(len(rate)):
            a, b, c, d = transition_of(rate[p], lag, smooth[p])
            block, k = p // LANES, p % LANES
            result[n, block, 0, k], result[n, block, 1, k] = a, b
            result[n, block, 2, k], result[n, block, 3, k] = c, d
    return result


@numba.njit(cache=True, nogil=True)
def _log_likelihoods(transition, flux, variance, rate, smooth, powers, model, number):
    result = np.empty(number)
    value = np.empty(LANES)
    _block_likelihoods(transition, 0, flux, variance, 0.0, rate, smooth, value)
    result[:] = value[0]  # of white noise
    for block in range(transition.shape[1]):
        for a in range(len(powers)):
            _block_likelihoods(transition, block, flux, variance, powers[a], rate, smooth, value)
            for k in range(LANES):
                h = model[a, block * LANES + k]
                if h >= 0:
                    result[h] = value[k]
    return result


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _block_likelihoods(transition, block, flux, variance, power, rate, smooth, result):
    # all in one array: of several the compiler cannot know that they do not overlap
    s = np.zeros(_STATES)
    for k in range(LANES):
        p = block * LANES + k
        speed = power * rate[p] ** 2 if smooth[p] else 0.0
        s[k], s[2 * LANES + k], s[10 * LANES + k], s[11 * LANES + k] = power, speed, speed, 1.0
    log_det = np.zeros(LANES)
    for n in range(len(flux)):
        f, error = flux[n], variance[n]
        for j in range(4):
            for k in range(LANES):
                s[(12 + j) * LANES + k] = transition[n, block, j, k]
        for k in range(LANES):
            p00, p01, p11 = s[k], s[LANES + k], s[2 * LANES + k]
            x1, v1 = s[3 * LANES + k], s[4 * LANES + k]
            xf, vf = s[5 * LANES + k], s[6 * LANES + k]
            a, b = s[12 * LANES + k], s[13 * LANES + k]
            c, d = s[14 * LANES + k], s[15 * LANES + k]
            speed = s[10 * LANES + k]
            p00, p01, p11 = predicted(p00, p01, p11, power, speed, a, b, c, d)
            x1, v1 = a * x1 + b * v1, c * x1 + d * v1
            xf, vf = a * xf + b * vf, c * xf + d * vf
            total = p00 + error
            inverse = 1 / total
            g0, g1 = p00 * inverse, p01 * inverse
            e1, ef = 1 - x1, f - xf
            s[k] = p00 - g0 * p00
            s[LANES + k] = p01 - g0 * p01
            s[2 * LANES + k] = p11 - g1 * p01
            s[3 * LANES + k], s[4 * LANES + k] = x1 + g0 * e1, v1 + g1 * e1
            s[5 * LANES + k], s[6 * LANES + k] = xf + g0 * ef, vf + g1 * ef
            s[7 * LANES + k] += e1 * e1 * inverse
            s[8 * LANES + k] += e1 * ef * inverse
            s[9 * LANES + k] += ef * ef * inverse
            s[11 * LANES + k] *= total
        if n % 8 == 7:  # a logarithm of every eighth product
            for k in range(LANES):
                log_det[k] += math.log(s[11 * LANES + k])
                s[11 * LANES + k] = 1.0
    for k in range(LANES):
        ones, mean, square = s[7 * LANES + k], s[8 * LANES + k], s[9 * LANES + k]
        log_det[k] += math.log(s[11 * LANES + k]) + math.log(ones)
        result[k] = -0.5 * (log_det[k] + square - mean * mean / ones)


def largest_in_white(
    flux: NDArray, variance: NDArray, shapes: tuple[NDArray, NDArray, NDArray, NDArray]
) -> float:
    """As :func:`largest`, in errors alone."""
    return _largest_in_white(flux, variance, *shapes)


def largest(
    times: NDArray,
    flux: NDArray,
    variance: NDArray,
    models: list[int],
    grid: list[Noise],
    shapes: tuple[NDArray, NDArray, NDArray, NDArray],
) -> NDArray[np.float64]:
    """Largest |sigma| of any of the templates `shapes` under each of some models, the mean fitted.

    Templates (K,) are the first epochs at which they are not zero, those after the last, and their
    values one after the other, with the place of each one's first.
    """
    g = grid_of(grid)
    made = transitions(times, g)
    found = np.empty(-(-len(models) // LANES) * LANES)
    padded = np.zeros(len(found), int)
    padded[: len(models)] = models
    for block in range(0, len(found), LANES):
        own = padded[block : block + LANES]
        filters = _filters(made, flux, variance, g.process[own], g.power[own], g.rate, g.smooth)
        found[block : block + LANES] = _largest(filters, _afterwards(filters), *shapes)
    return found[: len(models)]


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _filters(transition, flux, variance, process, power, rate, smooth):
    """(N, 9, LANES) of models: transition (4), gain (2), root, and one and f whitened."""
    number = len(flux)
    result = np.zeros((number, 9, LANES))
    s = np.zeros((7, LANES))
    speed = np.zeros(LANES)
    for k in range(LANES):
        p = process[k]
        speed[k] = power[k] * rate[p] ** 2 if smooth[p] else 0.0
        s[0, k], s[2, k] = power[k], speed[k]
    for n in range(number):
        for k in range(LANES):
            block, lane = process[k] // LANES, process[k] % LANES
            a, b = transition[n, block, 0, lane], transition[n, block, 1, lane]
            c, d = transition[n, block, 2, lane], transition[n, block, 3, lane]
            p00, p01, p11 = predicted(s[0, k], s[1, k], s[2, k], power[k], speed[k], a, b, c, d)
            x1, v1 = a * s[3, k] + b * s[4, k], c * s[3, k] + d * s[4, k]
            xf, vf = a * s[5, k] + b * s[6, k], c * s[5, k] + d * s[6, k]
            total = p00 + variance[n]
            g0, g1, root = p00 / total, p01 / total, 1 / math.sqrt(total)
            e1, ef = 1 - x1, flux[n] - xf
            s[0, k], s[1, k], s[2, k] = p00 - g0 * p00, p01 - g0 * p01, p11 - g1 * p01
            s[3, k], s[4, k], s[5, k], s[6, k] = (
                x1 + g0 * e1,
                v1 + g1 * e1,
                xf + g0 * ef,
                vf + g1 * ef,
            )
            row = result[n]
            row[0, k], row[1, k], row[2, k], row[3, k] = a, b, c, d
            row[4, k], row[5, k], row[6, k] = g0, g1, root
            row[7, k], row[8, k] = e1 * root, ef * root
    return result


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _afterwards(filters):
    """(N + 1, 7, LANES) as :func:`contimg.variability.filters.afterwards`."""
    number = len(filters)
    found = np.zeros((number + 1, 7, LANES))
    for n in range(number - 1, -1, -1):
        later, row = found[n + 1], found[n]
        for k in range(LANES):
            g0, g1, r = filters[n, 4, k], filters[n, 5, k], filters[n, 6, k]
            if n + 1 < number:
                f0, f1 = filters[n + 1, 0, k], filters[n + 1, 1, k]
                f2, f3 = filters[n + 1, 2, k], filters[n + 1, 3, k]
                a, b = f0 * (1 - g0) - f1 * g1, f1
                c, d = f2 * (1 - g0) - f3 * g1, f3
                q0, q1, q2 = later[0, k], later[1, k], later[2, k]
                row[0, k] = a * a * q0 + a * c * q1 + c * c * q2
                row[1, k] = 2 * a * b * q0 + (a * d + b * c) * q1 + 2 * c * d * q2
                row[2, k] = b * b * q0 + b * d * q1 + d * d * q2
                for j in (3, 5):
                    row[j, k] = a * later[j, k] + c * later[j + 1, k]
                    row[j + 1, k] = b * later[j, k] + d * later[j + 1, k]
            row[0, k] += r * r
            row[3, k] -= r * filters[n, 8, k]
            row[5, k] -= r * filters[n, 7, k]
    return found


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _largest(filters, after, first, last, place, value):
    number = len(filters)
    # as long as the compiler does not know how many they are, they are copied in whole registers
    flat = filters.reshape(number, filters.shape[1] * LANES)
    end = after.reshape(number + 1, after.shape[1] * LANES)
    # of the template (5 rows), the filter at an epoch (9), of one and f (2), the most (1), and what
    # comes after the last epoch (7)
    s = np.zeros(24 * LANES)
    ones, mean, most = 14 * LANES, 15 * LANES, 16 * LANES
    for n in range(number):
        for k in range(LANES):
            s[ones + k] += filters[n, 7, k] ** 2
            s[mean + k] += filters[n, 7, k] * filters[n, 8, k]
    for k in range(LANES):
        s[mean + k] /= s[ones + k]
    for t in range(len(first)):
        for k in range(5 * LANES):
            s[k] = 0.0
        for n in range(first[t], last[t]):
            now = value[place[t] + n - first[t]]
            for k in range(flat.shape[1]):
                s[5 * LANES + k] = flat[n, k]
            for k in range(LANES):
                x, v = s[k], s[LANES + k]
                low = s[5 * LANES + k] * x + s[6 * LANES + k] * v
                high = s[7 * LANES + k] * x + s[8 * LANES + k] * v
                e = now - low
                s[k], s[LANES + k] = low + s[9 * LANES + k] * e, high + s[10 * LANES + k] * e
                w = e * s[11 * LANES + k]
                s[2 * LANES + k] += w * w
                s[3 * LANES + k] += w * s[13 * LANES + k]
                s[4 * LANES + k] += w * s[12 * LANES + k]
        n = last[t]
        if n < number:
            for k in range(4 * LANES):
                s[5 * LANES + k] = flat[n, k]
        for k in range(end.shape[1]):
            s[17 * LANES + k] = end[n, k]
        for k in range(LANES):
            x, v = s[k], s[LANES + k]
            low = s[5 * LANES + k] * x + s[6 * LANES + k] * v
            high = s[7 * LANES + k] * x + s[8 * LANES + k] * v
            tt = s[2 * LANES + k] + s[17 * LANES + k] * low * low
            tt += s[18 * LANES + k] * low * high + s[19 * LANES + k] * high * high
            ty = s[3 * LANES + k] + s[20 * LANES + k] * low + s[21 * LANES + k] * high
            t1 = s[4 * LANES + k] + s[22 * LANES + k] * low + s[23 * LANES + k] * high
            square = tt - t1 * t1 / s[14 * LANES + k]
            signal = ty - t1 * s[15 * LANES + k]
            found = signal * signal / max(square, 1e-9) if square > 1e-9 else 0.0
            s[16 * LANES + k] = max(s[16 * LANES + k], found)
    result = np.empty(LANES)
    for k in range(LANES):
        result[k] = math.sqrt(s[most + k])
    return result


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _largest_in_white(flux, variance, first, last, place, value):
    weight = 1 / variance
    signal = weight * flux
    ones, mean = weight.sum(), signal.sum() / weight.sum()
    most = 0.0
    for t in range(len(first)):
        tt = ty = t1 = 0.0
        start = place[t] - first[t]
        for n in range(first[t], last[t]):
            now = value[start + n]
            tt += now * now * weight[n]
            ty += now * signal[n]
            t1 += now * weight[n]
        square = tt - t1 * t1 / ones
        if square > 1e-9:
            most = max(most, (ty - t1 * mean) ** 2 / square)
    return math.sqrt(most)

"""Sums that are no matrix products.

Sources with a size, baseline by baseline: their transform does not factor by antenna. With numpy,
whose arrays of (source, baseline) go through memory eight times, they took six times as long as
all point sources together; the normal matrix, whose squares go through it as often, three times.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, fastmath=True)
def add_extended(model, phasor, apparent, first, second, square, ant1, ant2):
    """Add sum of `apparent` exp(-square first - second) e_p conj(e_q) to `model` (baseline,)."""
    for k in range(phasor.shape[0]):
        for b in range(model.size):
            envelope = np.exp(-(square * first[k, b] + second[k, b])) * apparent[k]
            model[b] += envelope * (phasor[k, ant1[b]] * np.conj(phasor[k, ant2[b]]))


@njit(cache=True, fastmath=True)
def project_extended(weighted, phasor, first, second, square, ant1, ant2):
    """(source,): real part of the sum of exp(..) conj(e_p) e_q `weighted` over baselines."""
    result = np.zeros(phasor.shape[0])
    for k in range(phasor.shape[0]):
        total = np.float32(0)
        for b in range(weighted.size):
            envelope = np.exp(-(square * first[k, b] + second[k, b]))
            turned = phasor[k, ant1[b]] * np.conj(phasor[k, ant2[b]])
            value = weighted[b]
            total += envelope * (turned.real * value.real + turned.imag * value.imag)
        result[k] = total
    return result


@njit(cache=True, fastmath=True)
def power_extended(weight, first, second, square):
    """(source,): sum of `weight` exp(-2 (square first + second)) over baselines."""
    result = np.zeros(first.shape[0])
    for k in range(first.shape[0]):
        total = np.float32(0)
        for b in range(weight.size):
            total += weight[b] * np.exp(-2 * (square * first[k, b] + second[k, b]))
        result[k] = total
    return result


@njit(cache=True, fastmath=True)
def add_squares(total, product, auto):
    """Add |product|^2 - auto auto^T, upper triangle of a column-major `product`, to lower `total`.

    Both (source, source), `auto` (source,).
    """
    for j in range(auto.size):
        for i in range(j + 1):
            c = product[i, j]
            total[j, i] += c.real * c.real + c.imag * c.imag - auto[i] * auto[j]

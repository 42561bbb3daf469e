"""The test for a lens in one light curve: likelihood ratio with the noise fitted on both sides.

Null: f = m + noise. Alternative: f = m [1 + f_c (G - 1)] + noise with a template G and the
part f_c of the flux that the lens acts on, 0 < f_c <= 1. For each noise model of the grid the
mean is profiled out (generalised least squares, restricted likelihood) and f_c is solved for.
With the prior probability pi of a noise model, the statistic is

    T = min_noise(-2 ln pi L_null) - min_noise,template(-2 ln pi L_alternative)  >= 0

The largest deviation over the scatter of the same light curve, max|f - mean| / std, is *not*
used: whatever the data it cannot exceed sqrt(N - 1), and a long dip widens its own yardstick.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.variability.noise import Noise, covariance
from contimg.variability.templates import Bank

_BLOCK = 2_000_000  # elements of a matrix of light curves by templates


@dataclass(frozen=True)
class Match:
    """The best lens for one light curve."""

    statistic: float
    template: int
    fraction: float  # f_c
    baseline_jy: float  # m
    noise: Noise  # of the alternative


@dataclass(frozen=True)
class _Operators:
    """Linear maps of a light curve (N,) under one noise model."""

    constant: float  # ln det C + ln 1'C^-1 1 - 2 ln prior
    precision: NDArray[np.float64]  # (N, N) C^-1 with the mean projected out
    mean: NDArray[np.float64]  # (N,) least-squares mean
    matched: NDArray[np.float32]  # (N, K) matched filters of unit variance
    norm: NDArray[np.float64]  # (K,) amplitude in sigma of f_c m = 1 Jy
    ceiling: NDArray[np.float32]  # (K,) largest amplitude in sigma (f_c = 1) for a mean of 1 Jy


class Search:
    """The statistic for light curves sampled at `times` with `error`, as if of one source."""

    def __init__(
        self,
        times: NDArray,
        error: NDArray,
        mean_flux: float,
        bank: Bank,
        grid: list[Noise],
        prior: NDArray,
    ) -> None:
        self.times, self.error, self.mean_flux, self.bank = times, error, mean_flux, bank
        self.grid, self.prior = grid, prior
        penalties = -2 * np.log(prior)
        self._operators = [self._prepare(n, p) for n, p in zip(grid, penalties, strict=True)]

    def _prepare(self, noise: Noise, penalty: float) -> _Operators:
        matrix = covariance(noise, self.times, self.error, self.mean_flux)
        inverse = np.linalg.inv(matrix)
        row = inverse.sum(axis=0)
        total = row.sum()
        precision = inverse - np.outer(row, row) / total
        change = self.bank.change
        filters = precision @ change
        norm = np.sqrt(np.maximum((change * filters).sum(axis=0), 1e-300))
        # a lens cannot take more than all of the flux: b <= m(b) = mean - b mean(change)
        mean_gain = np.maximum(1 + row @ change / total, 0.05)
        return _Operators(
            float(np.linalg.slogdet(matrix)[1] + np.log(total) + penalty),
            precision,
            row / total,
            (filters / norm).astype(np.float32),
            norm,
            (norm / mean_gain).astype(np.float32),
        )

    @staticmethod
    def _null_one(op: _Operators, flux: NDArray) -> NDArray:
        centred = flux - flux.mean(axis=1, keepdims=True)
        return op.constant + np.einsum("di,di->d", centred @ op.precision, centred)

    def statistics(self, flux: NDArray) -> NDArray[np.float64]:
        """T of many light curves (D, N) [Jy]."""
        block = max(1, _BLOCK // max(1, len(self.bank)))
        parts = [self._block(flux[k : k + block]) for k in range(0, len(flux), block)]
        return np.concatenate(parts)

    def _block(self, flux: NDArray) -> NDArray[np.float64]:
        nulls = np.stack([self._null_one(op, flux) for op in self._operators])
        best = np.full(len(flux), np.inf)
        for op, null in zip(self._operators, nulls, strict=True):
            best = np.minimum(best, null - self._largest_improvement(op, flux))
        return nulls.min(axis=0) - np.minimum(best, nulls.min(axis=0))

    def _largest_improvement(self, op: _Operators, flux: NDArray) -> NDArray[np.float32]:
        """Fall of chi-square (D,) with the best template under one noise model."""
        sigma, mean = self._filter(op, flux)
        largest = np.maximum(sigma.max(axis=1), 0)
        result = largest**2
        # only where an amplitude could be out of range must all templates be looked at
        over = np.flatnonzero(largest > mean * op.ceiling.min())
        result[over] = self._improvement(op, sigma[over], mean[over]).max(axis=1, initial=0)
        return result

    @staticmethod
    def _filter(op: _Operators, flux: NDArray) -> tuple[NDArray, NDArray]:
        """Amplitudes (D, K) of all templates in sigma, and the means (D,) [Jy]."""
        # filters do not see the mean; without it single precision is enough
        centred = (flux - flux.mean(axis=1, keepdims=True)).astype(np.float32)
        return centred @ op.matched, np.maximum(flux @ op.mean, 0).astype(np.float32)

    @staticmethod
    def _improvement(op: _Operators, sigma: NDArray, mean: NDArray) -> NDArray[np.float32]:
        """Fall of chi-square (D, K) with every template, 0 < f_c <= 1."""
        sigma = np.maximum(sigma, 0)
        return sigma**2 - np.maximum(sigma - mean[:, None] * op.ceiling, 0) ** 2

    def match(self, flux: NDArray) -> Match:
        """The best template and noise model for one light curve (N,)."""
        one = flux[None, :]
        nulls = [float(self._null_one(op, one)[0]) for op in self._operators]
        falls = [self._improvement(op, *self._filter(op, one))[0] for op in self._operators]
        scores = [null - float(fall.max()) for null, fall in zip(nulls, falls, strict=True)]
        which = int(np.argmin(scores))
        op, template = self._operators[which], int(np.argmax(falls[which]))
        norm, mean = op.norm[template], float(flux @ op.mean)
        sigma = max(float((flux - flux.mean()) @ op.matched[:, template]), 0.0)
        change = float(op.mean @ self.bank.change[:, template])
        amplitude = min(sigma, max(mean, 0.0) * float(op.ceiling[template])) / norm
        baseline = mean - amplitude * change
        return Match(
            max(0.0, min(nulls) - scores[which]),
            template,
            amplitude / baseline if baseline > 0 else 0.0,
            baseline,
            self.grid[which],
        )

    def simulate(self, model: int, draws: int, random: np.random.Generator) -> NDArray[np.float64]:
        """`draws` light curves (draws, N) [Jy] without a lens under one model of the grid."""
        matrix = covariance(self.grid[model], self.times, self.error, self.mean_flux)
        noise = random.standard_normal((draws, len(self.times))) @ np.linalg.cholesky(matrix).T
        return self.mean_flux + noise

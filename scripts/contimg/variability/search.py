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
_MIN_MEAN_GAIN = 0.05  # weights of a mean may be negative, a gain not


@dataclass(frozen=True)
class _Operators:
    """Linear maps of a light curve (N,) under one noise model."""

    constant: float  # ln det C + ln 1'C^-1 1 - 2 ln prior
    precision: NDArray[np.float64]  # (N, N) C^-1 with the mean projected out
    mean: NDArray[np.float64]  # (N,) least-squares mean
    matched: NDArray[np.float32]  # (N, K) matched filters of unit variance
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
        mean_gain = np.maximum(1 + row @ change / total, _MIN_MEAN_GAIN)
        return _Operators(
            float(np.linalg.slogdet(matrix)[1] + np.log(total) + penalty),
            precision,
            row / total,
            (filters / norm).astype(np.float32),
            (norm / mean_gain).astype(np.float32),
        )

    def null(self, flux: NDArray) -> NDArray[np.float64]:
        """-2 ln (prior L) of light curves (D, N) [Jy] under every noise model, (H, D)."""
        centred = flux - flux.mean(axis=1, keepdims=True)
        return np.stack(
            [
                op.constant + np.einsum("di,di->d", centred @ op.precision, centred)
                for op in self._operators
            ]
        )

    def scan(self, flux: NDArray) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """T of light curves (D, N) [Jy] with the templates of the bank, and the best ones."""
        block = max(1, _BLOCK // max(1, len(self.bank)))
        parts = [self._scan(flux[k : k + block]) for k in range(0, len(flux), block)]
        return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))

    def _scan(self, flux: NDArray) -> tuple[NDArray, NDArray]:
        nulls = self.null(flux)
        best, which = np.full(len(flux), np.inf), np.zeros(len(flux), dtype=int)
        # filters do not see the mean; without it single precision is enough
        centred = (flux - flux.mean(axis=1, keepdims=True)).astype(np.float32)
        rows = np.arange(len(flux))
        for op, null in zip(self._operators, nulls, strict=True):
            sigma = centred @ op.matched
            mean = np.maximum(flux @ op.mean, 0).astype(np.float32)
            template = sigma.argmax(axis=1)
            largest = np.maximum(sigma[rows, template], 0)
            fall = largest**2
            # only where an amplitude could be out of range must all templates be looked at
            over = np.flatnonzero(largest > mean * op.ceiling.min())
            if over.size:
                falls = _fall(sigma[over], mean[over, None] * op.ceiling)
                template[over] = falls.argmax(axis=1)
                fall[over] = falls.max(axis=1)
            better = null - fall < best
            best[better], which[better] = (null - fall)[better], template[better]
        lowest = nulls.min(axis=0)
        return lowest - np.minimum(best, lowest), which

    def best_of_each_shape(self, flux: NDArray, number: int) -> NDArray[np.int64]:
        """Templates (D, number): the best one each of the shapes that fit a constant best."""
        op = self._operators[0]
        centred = (flux - flux.mean(axis=1, keepdims=True)).astype(np.float32)
        mean = np.maximum(flux @ op.mean, 0).astype(np.float32)
        fall = _fall(centred @ op.matched, mean[:, None] * op.ceiling)
        shape = self.bank.lenses.alpha + 1000 * self.bank.lenses.size
        members = [np.flatnonzero(shape == value) for value in np.unique(shape)]
        best = np.stack([m[fall[:, m].argmax(axis=1)] for m in members], axis=1)
        order = np.argsort(-np.take_along_axis(fall, best, axis=1), axis=1, kind="stable")
        chosen = np.take_along_axis(best, order, axis=1)
        return chosen[:, np.arange(number) % len(members)]

    def evaluate(
        self, flux: NDArray, change: NDArray, nulls: NDArray
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """T (D, M) with M other templates (D, M, N) for each light curve, and the noise models.

        `nulls` (H, D) is what :meth:`null` gives for `flux`.
        """
        centred = flux - flux.mean(axis=1, keepdims=True)
        best = np.full(change.shape[:2], np.inf)
        which = np.zeros(change.shape[:2], dtype=int)
        for k, (op, null) in enumerate(zip(self._operators, nulls, strict=True)):
            sigma, ceiling = self._amplitudes(op, flux, centred, change)[:2]
            value = null[:, None] - _fall(sigma, ceiling)
            better = value < best
            best[better], which[better] = value[better], k
        lowest = nulls.min(axis=0)[:, None]
        return lowest - np.minimum(best, lowest), which

    def evaluate_under(
        self, flux: NDArray, change: NDArray, nulls: NDArray, noise: NDArray
    ) -> NDArray[np.float64]:
        """T (D, M) if the noise of each light curve behind a lens is of the model `noise` (D,)."""
        result = np.empty(change.shape[:2])
        for k in np.unique(noise):
            rows = noise == k
            here = flux[rows]
            centred = here - here.mean(axis=1, keepdims=True)
            sigma, ceiling, _ = self._amplitudes(self._operators[k], here, centred, change[rows])
            excess = nulls[:, rows].min(axis=0) - nulls[k, rows]
            result[rows] = excess[:, None] + _fall(sigma, ceiling)
        return result

    def solve(self, flux: NDArray, change: NDArray, noise: int) -> tuple[float, float]:
        """(f_c, m [Jy]) of one light curve (N,) with one template (N,) under a noise model."""
        op = self._operators[noise]
        centred = flux - flux.mean()
        sigma, ceiling, norm = self._amplitudes(
            op, flux[None], centred[None], change[None, None, :]
        )
        amplitude = float(np.minimum(np.maximum(sigma, 0), ceiling)[0, 0] / norm[0, 0])
        baseline = float(flux @ op.mean) - amplitude * float(op.mean @ change)
        return (amplitude / baseline if baseline > 0 else 0.0), baseline

    @staticmethod
    def _amplitudes(
        op: _Operators, flux: NDArray, centred: NDArray, change: NDArray
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Amplitude in sigma, its largest value (f_c = 1) and sigma^-1 [1/Jy], each (D, M)."""
        filters = change @ op.precision
        norm = np.sqrt(np.maximum(np.einsum("dmi,dmi->dm", filters, change), 1e-300))
        sigma = np.einsum("dmi,di->dm", filters, centred) / norm
        mean = np.maximum(flux @ op.mean, 0)[:, None]
        return sigma, mean * norm / np.maximum(1 + change @ op.mean, _MIN_MEAN_GAIN), norm

    def simulate(self, model: int, draws: int, random: np.random.Generator) -> NDArray[np.float64]:
        """`draws` light curves (draws, N) [Jy] without a lens under one model of the grid."""
        matrix = covariance(self.grid[model], self.times, self.error, self.mean_flux)
        noise = random.standard_normal((draws, len(self.times))) @ np.linalg.cholesky(matrix).T
        return self.mean_flux + noise


def _fall(sigma: NDArray, ceiling: NDArray) -> NDArray:
    """Fall of chi-square by templates of amplitude `sigma`, kept between zero and `ceiling`."""
    sigma = np.maximum(sigma, 0)
    return sigma**2 - np.maximum(sigma - ceiling, 0) ** 2

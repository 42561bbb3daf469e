"""Correlation of the noise between pixels, and what it does to sums over pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from contimg.core.fits import Beam

Array = NDArray[np.float64]
_MAX_BLOCKS = 128
_CLIP = 5.0  # of the local noise: what is left of bright sources is not noise


@dataclass(frozen=True)
class Correlation:
    """Noise autocorrelation [2 lag + 1, 2 lag + 1], one at the centre; zero beyond.

    `measured` tells whether it comes from the residual (from `beams` beam areas) or is the
    restoring beam itself.
    """

    values: Array
    measured: bool
    beams: float

    @property
    def lag(self) -> int:
        """Greatest lag along an axis [pixel]."""
        return self.values.shape[0] // 2

    def between(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> Array:
        """Correlation [m, m] of the noise at the pixels (y, x) [m]."""
        dy, dx = y[:, None] - y[None, :], x[:, None] - x[None, :]
        far = (np.abs(dy) > self.lag) | (np.abs(dx) > self.lag)
        dy[far], dx[far] = 0, 0
        result = self.values[dy + self.lag, dx + self.lag]
        result[far] = 0.0
        return result

    def spectrum(self, shape: tuple[int, int]) -> Array:
        """Real transform on a periodic grid of `shape`, for lags below half of it."""
        ny, nx = shape
        reach_y, reach_x = min(self.lag, (ny - 1) // 2), min(self.lag, (nx - 1) // 2)
        grid = np.zeros(shape)
        dy, dx = np.mgrid[-reach_y : reach_y + 1, -reach_x : reach_x + 1]
        grid[dy, dx] = self.values[dy + self.lag, dx + self.lag]
        return fft.rfft2(grid).real

    def products(self, stamps: Array) -> Array:
        """sum_pq a(p) C(p - q) b(q) for all pairs of `stamps` [n, k, s, s]; result [n, k, k]."""
        ny, nx = (fft.next_fast_len(2 * s - 1, real=True) for s in stamps.shape[-2:])
        spectrum = self.spectrum((ny, nx))
        # a real transform holds half of the plane: its inner columns stand for two
        twice = np.full(spectrum.shape[1], 2.0)
        twice[0] = 1.0
        if nx % 2 == 0:
            twice[-1] = 1.0
        weight = spectrum * twice / (ny * nx)
        transform = fft.rfft2(stamps, s=(ny, nx))
        n, k = transform.shape[:2]
        flat = transform.reshape(n, k, -1)
        return ((flat * weight.ravel()) @ np.conj(np.swapaxes(flat, 1, 2))).real


def measure_correlation(
    residual: Array, rms: Array, beam: Beam, to_pixel: Array, lag: int, min_beams: float
) -> Correlation:
    """Autocorrelation of residual / rms, averaged over blocks spread over the image.

    `to_pixel` maps (east, north) [deg] to (x, y) [pixel] at the centre of the image. Sums of
    products of unblanked pixels are divided by their number, so edges and holes take no part.
    """
    shape = residual.shape
    cov = to_pixel @ beam.covariance @ to_pixel.T
    beam_pixels = 2 * np.pi * float(np.sqrt(np.linalg.det(cov)))
    size = max(4 * lag, 128)
    corners = [
        (y, x)
        for y in range(0, max(1, shape[0] - size // 2), size)
        for x in range(0, max(1, shape[1] - size // 2), size)
    ]
    filled = [c for c in corners if _filled(residual, rms, c, size) > 0.3]
    if len(filled) > _MAX_BLOCKS:
        chosen = np.linspace(0, len(filled) - 1, _MAX_BLOCKS).round().astype(int)
        filled = [filled[i] for i in chosen]
    n = fft.next_fast_len(size + lag, real=True)
    power, overlap, pixels = np.zeros((n, n // 2 + 1)), np.zeros((n, n // 2 + 1)), 0
    for y, x in filled:
        with np.errstate(invalid="ignore", divide="ignore"):
            part = (residual[y : y + size, x : x + size] / rms[y : y + size, x : x + size]).astype(
                float
            )
        good = np.isfinite(part)
        part = np.where(good, np.clip(part, -_CLIP, _CLIP), 0.0)
        power += np.abs(fft.rfft2(part, s=(n, n))) ** 2
        overlap += np.abs(fft.rfft2(good.astype(float), s=(n, n))) ** 2
        pixels += int(good.sum())
    beams = pixels / beam_pixels
    if beams >= min_beams:
        sums, counts = fft.irfft2(power, s=(n, n)), fft.irfft2(overlap, s=(n, n))
        dy, dx = np.mgrid[-lag : lag + 1, -lag : lag + 1]
        if sums[0, 0] > 0:
            values = sums[dy, dx] / np.maximum(counts[dy, dx], 1.0)
            return Correlation(values / values[lag, lag], True, beams)
    return Correlation(beam_correlation(cov, lag), False, beams)


def beam_correlation(cov: Array, lag: int) -> Array:
    """The restoring beam with covariance `cov` in (x, y) [pixel^2], as an autocorrelation."""
    inverse = np.linalg.inv(cov)
    dy, dx = np.mgrid[-lag : lag + 1, -lag : lag + 1]
    q = inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
    return np.exp(-q / 2)


def _filled(residual: Array, rms: Array, corner: tuple[int, int], size: int) -> float:
    y, x = corner
    part = np.s_[y : y + size : 4, x : x + size : 4]
    return float(np.mean(np.isfinite(residual[part]) & (rms[part] > 0)))

"""Artefacts: holes, negative pixels, and rings and bowls around the brightest sources."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from contimg.mosaic.maps import Maps

_BAND = 512  # rows looked at together
_BRIGHTEST = 10
_MIN_SNR = 100.0
_APART_BEAMS = 24.0
_RINGS_BEAMS = (2.0, 12.0)
_SIGNIFICANT = 5.0


@dataclass(frozen=True)
class Ring:
    """A bright source (x, y) [pixel] of `peak` [Jy/beam] and the strongest ring about it.

    `fraction` is the mean residual of the ring over the peak, zero when it is not significant;
    `radius_beams` where it is.
    """

    x: int
    y: int
    peak: float
    fraction: float
    radius_beams: float


def covered(maps: Maps) -> tuple[float, float]:
    """(covered fraction of the grid, uncovered fraction of what lies inside the mosaic)."""
    mask = maps.coverage > 0
    filled = ndimage.binary_fill_holes(mask)
    return float(mask.mean()), 1 - float(mask.sum() / max(filled.sum(), 1))


def negative_fraction(maps: Maps, sigma: float = 5.0) -> float:
    """Fraction of the pixels of the image below -`sigma` times the measured noise."""
    below = total = 0
    for first in range(0, maps.image_full.shape[0], _BAND):
        band = np.s_[first : first + _BAND]
        image, rms = maps.image_full.data[band], maps.rms_full.data[band]
        with np.errstate(invalid="ignore"):
            below += int((image < -sigma * rms).sum())
        total += int(np.isfinite(image).sum())
    return below / total if total else float("nan")


def rings(maps: Maps) -> list[Ring]:
    """The strongest ring around each of the brightest sources."""
    return [_ring(maps, y, x) for y, x in _brightest(maps)]


def _brightest(maps: Maps) -> list[tuple[int, int]]:
    """(y, x) of the brightest sources, each alone within its surroundings."""
    found: list[tuple[float, int, int]] = []
    for first in range(0, maps.image_full.shape[0], _BAND):
        image = np.array(maps.image_full.data[first : first + _BAND], np.float32)
        with np.errstate(invalid="ignore"):
            bright = image > _MIN_SNR * maps.rms_full.data[first : first + _BAND]
        y, x = np.nonzero(bright)
        value = image[y, x]
        top = np.argsort(-value, kind="stable")[:2000]
        found += [(float(value[i]), int(y[i]) + first, int(x[i])) for i in top]
    chosen: list[tuple[int, int]] = []
    apart = _APART_BEAMS * maps.beam_pixels
    for _, y, x in sorted(found, key=lambda item: (-item[0], item[1], item[2])):
        if all(np.hypot(y - b, x - a) > apart for b, a in chosen):
            chosen.append((y, x))
            if len(chosen) == _BRIGHTEST:
                break
    return chosen


def _ring(maps: Maps, y: int, x: int) -> Ring:
    beam = maps.beam_pixels
    half = int(np.ceil(_RINGS_BEAMS[1] * beam))
    rows = np.s_[max(0, y - half) : y + half + 1]
    columns = np.s_[max(0, x - half) : x + half + 1]
    residual = np.array(maps.residual_full.data[rows, columns], np.float64)
    rms = np.array(maps.rms_full.data[rows, columns], np.float64)
    yy, xx = np.indices(residual.shape)
    radius = np.hypot(yy + rows.start - y, xx + columns.start - x) / beam
    index = np.floor(radius).astype(int)
    good = np.isfinite(residual) & (radius >= _RINGS_BEAMS[0]) & (radius < _RINGS_BEAMS[1])
    peak = float(maps.image_full.data[y, x])
    count = np.bincount(index[good], minlength=1)
    filled = count > 0
    mean = np.bincount(index[good], residual[good])[filled] / count[filled]
    noise = np.bincount(index[good], rms[good])[filled] / count[filled]
    beam_area = 1.133 * (maps.beam.minor_deg / maps.beam.major_deg) * beam**2
    error = noise / np.sqrt(np.maximum(count[filled] / beam_area, 1))
    if not mean.size:
        return Ring(x, y, peak, 0.0, float("nan"))
    strength = np.where(np.abs(mean) > _SIGNIFICANT * error, mean / peak, 0.0)
    worst = int(np.argmax(np.abs(strength)))
    where = float(np.flatnonzero(filled)[worst]) + 0.5 if strength[worst] else float("nan")
    return Ring(x, y, peak, float(strength[worst]), where)

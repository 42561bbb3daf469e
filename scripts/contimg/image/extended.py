"""Emission larger than the beam: what points do not describe is looked for in what they leave.

At every pixel the flux density of a Gaussian of some beams is fitted, with the weights of the image
and the noise that the visibilities' own gives it. A point that is left over makes it read high too;
what reads much higher than any one point of the image would make it is larger than the beam.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from contimg.core.constants import C_M_S
from contimg.core.finder import find_peaks
from contimg.core.fits import FWHM_TO_SIGMA, Beam, Image
from contimg.core.records import Check, check
from contimg.core.robust import robust_rms
from contimg.image.imager import Taper, thinned
from contimg.image.options import ImageOptions

METRIC = "emission larger than the beam, over its noise"
WIDE = "rms on scales larger than the beam, over the noise there"
_SCALES = (3.0, 6.0, 12.0)  # beams (FWHM)
_BLOCKS = 4.0  # across one of them, as which the image is smoothed
_POINT_SNR = 5.0
_POINTS = 50  # the highest of either sign
_OVER_POINTS = 2.0
_ROWS = 8192  # of the data at once


def tapers(
    rows: NDArray[np.float64],
    freq_hz: NDArray[np.float64],
    data: NDArray[np.complex64],
    natural: NDArray[np.float32],
    weight: NDArray[np.float32],
    beam: Beam,
) -> list[Taper]:
    """Tapers of `data` (row, channel) at `rows` (row, 3) [m], imaged with `weight`.

    With T the transform of a Gaussian of one jansky the least squares are S = sum(w T V) /
    sum(w T^2), of the variance n^2 sum(w^2 T^2 / natural) / sum(w T^2)^2, where n^2 / natural is
    that of one part of a visibility.
    """
    sigma = [np.radians(beams * _width_deg(beam)) * FWHM_TO_SIGMA for beams in _SCALES]
    sums = np.zeros(3)
    by_scale = np.zeros((2, len(sigma)))
    for at in range(0, len(rows), _ROWS):  # of all rows each term is as large as the data
        block = slice(at, at + _ROWS)
        terms = _Terms(data[block], natural[block], weight[block])
        sums += terms.sums
        distance2 = (rows[block, :2] ** 2).sum(axis=1)[:, None] * (freq_hz / C_M_S) ** 2
        for number, width in enumerate(sigma):
            by_scale[:, number] += terms.tapered(np.exp(-4 * (np.pi * width) ** 2 * distance2))
    count, power, total = sums
    noise2 = power / count / 2
    return [
        Taper(beams, total / two, np.sqrt(noise2 * noise) / two)
        for beams, two, noise in zip(_SCALES, *by_scale, strict=True)
    ]


class _Terms:
    """Sums over visibilities of those with weight."""

    def __init__(self, data: NDArray, natural: NDArray, weight: NDArray) -> None:
        self.weight, used = weight, weight > 0
        self.square = np.divide(weight**2, natural, out=np.zeros_like(weight), where=used)
        power = np.where(used, natural * np.abs(data) ** 2, 0)
        # number of them, n^2 of both parts times their number, weight
        self.sums = np.array([used.sum(), _sum(power), _sum(weight)])

    def tapered(self, taper2: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of w T^2 and of w^2 T^2 / natural."""
        taper2 = taper2.astype(np.float32)
        return np.array([_sum(self.weight * taper2), _sum(self.square * taper2)])


def _sum(values: NDArray) -> float:
    return float(values.sum(dtype=np.float64))


def measure(
    images: Mapping[str, Image], tapers: list[Taper], beam: Beam, inside: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """The most significant Gaussian of each width whose middle is `inside`, for the record.

    Of `images` the dirty one, of what is left of the data, and the psf. Negative Gaussians count.
    """
    if not tapers:
        return []
    dirty = images["dirty"]
    # one value seen as a plane: the images are large
    noise = np.broadcast_to(np.float32(robust_rms(thinned(dirty.data))), dirty.data.shape)
    width = beam.major_deg / dirty.cell_deg
    points = [
        (x, y, height)
        for sign in (1, -1)
        for x, y, height in zip(*_peaks(sign * dirty.data, noise, width), strict=True)
    ]
    return [_highest(dirty, images["psf"], points, taper, beam, inside) for taper in tapers]


def _peaks(data: NDArray, noise: NDArray, width: float) -> tuple[NDArray, NDArray, NDArray]:
    """Pixels x and y and heights of what stands out."""
    found = find_peaks(data, noise, np.broadcast_to(True, data.shape), _POINT_SNR, width)
    return found.x[:_POINTS], found.y[:_POINTS], found.peak_jy_beam[:_POINTS]


def _highest(
    dirty: Image,
    psf: Image,
    points: list[tuple[float, float, float]],
    taper: Taper,
    beam: Beam,
    inside: NDArray[np.bool_],
) -> dict[str, Any]:
    """The most significant Gaussian of one width, and where it is."""
    width = taper.beams * _width_deg(beam)
    step = max(1, int(width / dirty.cell_deg / _BLOCKS))
    sigma = width / dirty.cell_deg / step * FWHM_TO_SIGMA
    flux, of_point = (
        taper.to_jy * gaussian_filter(_blocks(i.data, step), sigma, mode="constant")
        for i in (dirty, psf)
    )
    middle = psf.data.shape[0] // 2
    explained = np.zeros_like(flux)
    for x, y, height in points:  # to the block: their pattern is broader
        shift = [round((at - middle) / step) for at in (y, x)]
        np.maximum(explained, height * np.abs(np.roll(of_point, shift, (0, 1))), out=explained)
    allowed = inside[step // 2 :: step, step // 2 :: step][: flux.shape[0], : flux.shape[1]]
    larger = allowed & (np.abs(flux) > _OVER_POINTS * explained)
    # errors of the gains are seen on all scales about bright sources, and are no emission
    noise = max(taper.noise_jy, robust_rms(flux[allowed]) if allowed.any() else 0.0)
    snr = np.where(larger, np.abs(flux) / noise, 0)
    y, x = np.unravel_index(np.argmax(snr), snr.shape)
    ra, dec = dirty.wcs.all_pix2world(*((k + 0.5) * step - 0.5 for k in (x, y)), 0)
    there = {"flux_jy": float(flux[y, x]), "ra_deg": float(ra) % 360, "dec_deg": float(dec)}
    return {
        "beams": taper.beams,
        "fwhm_arcsec": width * 3600,
        "noise_jy": taper.noise_jy,
        "rms_over_noise": float(flux[allowed].std() / taper.noise_jy) if allowed.any() else None,
        "highest_sigma": float(snr[y, x]),
        **(there if snr[y, x] > 0 else dict.fromkeys(there)),
    }


def _blocks(plane: NDArray[np.floating], step: int) -> NDArray[np.floating]:
    """Means of `step` x `step` pixels of a plane [y, x]; without what is left over at the end."""
    ny, nx = (n // step for n in plane.shape)
    return plane[: ny * step, : nx * step].reshape(ny, step, nx, step).mean(axis=(1, 3))


def checks(found: list[dict[str, Any]], options: ImageOptions) -> list[Check]:
    """Whether there is more than noise; none where nothing was looked for."""
    if not found:
        return []
    highest = max(scale["highest_sigma"] for scale in found)
    made = [check(METRIC, highest, warn_above=options.max_extended_sigma)]
    wide = [s["rms_over_noise"] for s in found if s["rms_over_noise"] is not None]
    if wide:
        made.append(check(WIDE, max(wide), warn_above=options.max_noise_ratio))
    return made


def _width_deg(beam: Beam) -> float:
    """Geometric mean of the beam's axes."""
    return float(np.sqrt(beam.major_deg * beam.minor_deg))

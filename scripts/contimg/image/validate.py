"""An image against a catalogue: positions, flux scale, completeness, reliability."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contimg.core.catalog import flux_density, read_sources
from contimg.core.fits import Beam, Image
from contimg.core.records import Check, check
from contimg.core.robust import robust_rms
from contimg.image.finder import Peaks, find_peaks
from contimg.image.options import ImageOptions

DETECTION_SNR = 5.0
SNR_EDGES = (5.0, 7.0, 10.0, 20.0, 50.0, np.inf)
_MATCH_SNR = 10.0  # sources that measure positions and the flux scale
_CLEAR_BEAMS = 2.5  # no neighbour of a tenth of its brightness within so many major axes
_HUBER = 1.5


@dataclass(frozen=True)
class Validation:
    """Catalogued sources in the image, peaks of the image, and how they go together."""

    names: list[str]
    x: NDArray[np.float64]  # catalogued position [pixel]
    y: NDArray[np.float64]
    expected_jy_beam: NDArray[np.float64]  # catalogued flux density times the primary beam
    expected_snr: NDArray[np.float64]
    match: NDArray[np.int64]  # index of the peak, -1 for none
    clear: NDArray[np.bool_]
    peaks: Peaks
    peak_matched: NDArray[np.bool_]
    negative: int  # peaks of the negative image above the same level
    offset_arcsec: NDArray[np.float64]  # (source, 2): image minus catalogue, east and north


def validate(
    image: Image,
    pb: NDArray[np.floating],
    noise: NDArray[np.floating],
    beam: Beam,
    catalog: Path,
    freq_hz: float,
    options: ImageOptions,
) -> Validation:
    """Find the peaks of `image` and match them with `catalog` within half a beam."""
    cell = image.cell_deg
    radius = beam.major_deg / cell
    inside = pb >= options.pb_limit
    peaks = find_peaks(image.data, noise, inside, DETECTION_SNR, radius)
    negative = find_peaks(-image.data, noise, inside, DETECTION_SNR, radius)
    sources = read_sources(catalog)
    flux = flux_density(sources, freq_hz)[:, 0]
    position = sources[["ra_deg", "dec_deg"]].to_numpy(dtype=float)
    x, y = image.wcs.all_world2pix(position, 0).T
    ok = np.isfinite(x) & np.isfinite(y) & np.isfinite(flux)
    ix, iy = (np.where(ok, np.rint(c), -1).astype(np.int64) for c in (x, y))
    ok &= (ix >= 0) & (iy >= 0) & (ix < pb.shape[1]) & (iy < pb.shape[0])
    ok[ok] = inside[iy[ok], ix[ok]]
    x, y, ix, iy = x[ok], y[ok], ix[ok], iy[ok]
    expected = flux[ok] * pb[iy, ix]
    match, matched = _match(x, y, peaks, radius / 2)
    offset = np.full((x.size, 2), np.nan)
    good = match >= 0
    offset[good, 0] = -(peaks.x[match[good]] - x[good]) * cell * 3600
    offset[good, 1] = (peaks.y[match[good]] - y[good]) * cell * 3600
    return Validation(
        names=list(sources["name"][ok]),
        x=x,
        y=y,
        expected_jy_beam=expected,
        expected_snr=expected / noise[iy, ix],
        match=match,
        clear=_clear(x, y, expected, _CLEAR_BEAMS * radius),
        peaks=peaks,
        peak_matched=matched,
        negative=negative.x.size,
        offset_arcsec=offset,
    )


def _match(
    x: NDArray, y: NDArray, peaks: Peaks, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Nearest peak of each source within `radius` [pixel]; peaks that any source has near."""
    match = np.full(x.size, -1, np.int64)
    matched = np.zeros(peaks.x.size, bool)
    if x.size and peaks.x.size:
        at = np.stack([peaks.x, peaks.y], axis=1)
        distance, index = cKDTree(at).query(np.stack([x, y], axis=1))
        near = distance <= radius
        match[near] = index[near]
        nearest, _ = cKDTree(np.stack([x, y], axis=1)).query(at)
        matched = nearest <= radius
    return match, matched


def _clear(x: NDArray, y: NDArray, flux: NDArray, distance: float) -> NDArray[np.bool_]:
    if not x.size:
        return np.ones(0, bool)
    tree = cKDTree(np.stack([x, y], axis=1))
    near = tree.query_ball_point(tree.data, distance)
    return np.array([all(j == k or flux[j] < 0.1 * flux[k] for j in n) for k, n in enumerate(near)])


def summarise(found: Validation, beam: Beam) -> dict[str, Any]:
    """Numbers for the record; what cannot be measured is None."""
    used = found.clear & (found.match >= 0) & (found.expected_snr >= _MATCH_SNR)
    peak = found.peaks.peak_jy_beam[found.match[used]]
    ratio, ratio_error = huber_location(peak / found.expected_jy_beam[used])
    east, east_error = _median(found.offset_arcsec[used, 0])
    north, north_error = _median(found.offset_arcsec[used, 1])
    bins = []
    for low, high in pairwise(SNR_EDGES):
        wanted = (found.expected_snr >= low) & (found.expected_snr < high)
        seen = (found.peaks.snr >= low) & (found.peaks.snr < high)
        bins.append(
            {
                "snr_from": low,
                "snr_to": None if np.isinf(high) else high,
                "apparent_from_jy": _flux_at(found, low),
                "catalogued": int(wanted.sum()),
                "found": int((wanted & (found.match >= 0)).sum()),
                "detected": int(seen.sum()),
                "in_catalogue": int((seen & found.peak_matched).sum()),
            }
        )
    strong = (found.expected_snr >= _MATCH_SNR) & found.clear
    n_peaks = found.peaks.x.size
    return {
        "matched": int(used.sum()),
        "offset_east_arcsec": east,
        "offset_east_err_arcsec": east_error,
        "offset_north_arcsec": north,
        "offset_north_err_arcsec": north_error,
        "offset_minor_axes": None
        if east is None or north is None
        else float(np.hypot(east, north) / beam.minor_deg / 3600),
        "flux_ratio": ratio,
        "flux_ratio_err": ratio_error,
        "completeness_10_sigma": float((found.match[strong] >= 0).mean()) if strong.any() else None,
        "negative_peaks": found.negative,
        "detections": n_peaks,
        "detections_not_in_catalogue": int((~found.peak_matched).sum()),
        "reliability": float(found.peak_matched.mean()) if n_peaks else None,
        "bins": bins,
    }


def _flux_at(found: Validation, snr: float) -> float | None:
    if not found.x.size:
        return None
    return float(snr * np.median(found.expected_jy_beam / found.expected_snr))


def _median(values: NDArray) -> tuple[float | None, float | None]:
    """Median and its standard error (of a normal distribution; None below three values)."""
    if values.size < 3:
        return None, None
    middle = float(np.median(values))
    spread = robust_rms(values)
    return middle, float(np.sqrt(np.pi / 2) * spread / np.sqrt(values.size))


def huber_location(values: NDArray) -> tuple[float | None, float | None]:
    """Location of `values` and its standard error by Huber's M-estimator, delta 1.5.

    Huber & Ronchetti 2009, Robust Statistics, sections 3.2 and 6.4; None below three values.
    """
    middle, _ = _median(values)
    if middle is None:
        return None, None
    scale = max(robust_rms(values), 1e-6)
    location = middle
    for _ in range(50):
        weight = np.minimum(1, _HUBER * scale / np.maximum(np.abs(values - location), 1e-12))
        location = float((weight * values).sum() / weight.sum())
    psi = np.clip((values - location) / scale, -_HUBER, _HUBER)
    linear = max(float(np.mean(np.abs(psi) < _HUBER)), 1e-3)
    error = scale * np.sqrt(float(np.mean(psi**2))) / linear / np.sqrt(values.size)
    return location, float(error)


def checks(summary: dict[str, Any], options: ImageOptions) -> list[Check]:
    """Verdicts; of what could not be measured there is none.

    A deviation counts only when it is three times its error.
    """
    result = []
    if summary["offset_minor_axes"] is not None:
        size = np.hypot(summary["offset_east_arcsec"], summary["offset_north_arcsec"])
        error = np.hypot(summary["offset_east_err_arcsec"], summary["offset_north_err_arcsec"])
        sure = size > 3 * error
        result.append(
            check(
                "median offset from the catalogue",
                summary["offset_minor_axes"],
                "beam minor axes",
                warn_above=options.max_offset_beams if sure else None,
            )
        )
    if summary["flux_ratio"] is not None:
        deviation = abs(summary["flux_ratio"] - 1)
        sure = deviation > 3 * summary["flux_ratio_err"]
        result.append(
            check(
                "error of the flux scale against the catalogue",
                deviation,
                warn_above=options.max_flux_scale_error if sure else None,
            )
        )
    if summary["completeness_10_sigma"] is not None:
        result.append(
            check(
                "completeness above 10 sigma",
                summary["completeness_10_sigma"],
                warn_below=options.min_completeness,
            )
        )
    return result

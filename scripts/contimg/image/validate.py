"""An image against a catalogue: positions, flux scale, completeness, reliability."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contimg.core.catalog import flux_density, read_sources
from contimg.core.finder import Peaks, find_peaks
from contimg.core.fits import Beam, Image
from contimg.core.records import Check, check, only_unmade
from contimg.core.robust import robust_rms
from contimg.image.against import SCALE, Matched, fit_field
from contimg.image.against import checks as field_checks
from contimg.image.options import ImageOptions

DETECTION_SNR = 5.0
SNR_EDGES = (5.0, 7.0, 10.0, 20.0, 50.0, np.inf)
_MATCH_SNR = 10.0  # sources that measure positions
_FLUX_SNR = 20.0  # and the flux scale: the height of a peak is high by a noise squared
_HALF = 0.5  # less than half of what must be there: another sky
_UNKNOWN_SNR = 10.0  # detections that are listed if the catalogue does not have them
_FAINT_END = 0.1  # quantile of the catalogue's flux densities in the image
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
    place_deg: NDArray[np.float64]  # (source, 2): from the centre of the image, east and north
    beam_slope: NDArray[np.float64]  # (source,) dlnB/dlnD
    peak_deep: NDArray[np.bool_]  # peaks above the faint end of the catalogue
    ratio: NDArray[np.float64]  # (source, 2): fitted over catalogued, error; NaN if not fitted
    unknown: list[dict[str, float]]  # bright peaks that the catalogue does not have


def validate(
    image: Image,
    pb: NDArray[np.floating],
    noise: NDArray[np.floating],
    beam: Beam,
    catalog: Path,
    freq_hz: float,
    options: ImageOptions,
    fitted: pd.DataFrame | None = None,
    beam_slope: Callable[[NDArray, NDArray], NDArray] | None = None,
) -> Validation:
    """Find the peaks of `image` and match them with `catalog` within half a beam.

    `fitted` are sources as fitted to the visibilities (:mod:`contimg.image.fitted`), whose flux
    densities are better than heights of peaks. `beam_slope` gives dlnB/dlnD at positions (ra, dec)
    [rad]; without it the beam is not judged.
    """
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
    middle = (np.array(image.data.shape[::-1]) - 1) / 2
    place = np.stack([-(x - middle[0]) * cell, (y - middle[1]) * cell], axis=1)
    radians = np.radians(position[ok].T)
    slope = np.zeros(x.size) if beam_slope is None else beam_slope(*radians)
    peak_pb = pb[np.rint(peaks.y).astype(int), np.rint(peaks.x).astype(int)]
    faint_end = np.quantile(flux[ok], _FAINT_END) if x.size else np.inf
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
        place_deg=place,
        beam_slope=slope,
        peak_deep=peaks.peak_jy_beam > faint_end * peak_pb,
        ratio=_ratios(list(sources["name"][ok]), fitted),
        unknown=_unknown(image, peaks, matched, peak_pb),
    )


def _ratios(names: list[str], fitted: pd.DataFrame | None) -> NDArray[np.float64]:
    result = np.full((len(names), 2), np.nan)
    if fitted is not None and not fitted.empty:
        told = fitted["told_jy"]
        table = pd.DataFrame(
            {"ratio": fitted["fitted_jy"] / told, "error": fitted["flux_err_jy"] / told}
        )
        result[:] = table.set_index(fitted["name"]).reindex(names).to_numpy()
    return result


def _unknown(
    image: Image, peaks: Peaks, matched: NDArray[np.bool_], pb: NDArray[np.floating]
) -> list[dict[str, float]]:
    """Position, flux density and signal to noise of bright peaks that no source is near."""
    rows = np.flatnonzero(~matched & (peaks.snr > _UNKNOWN_SNR))
    if not rows.size:
        return []
    sky = image.wcs.all_pix2world(np.stack([peaks.x[rows], peaks.y[rows]], axis=1), 0)
    return [
        {
            "ra_deg": round(float(ra) % 360, 6),
            "dec_deg": round(float(dec), 6),
            "flux_jy": round(float(peaks.peak_jy_beam[k] / pb[k]), 6),
            "snr": round(float(peaks.snr[k]), 1),
        }
        for k, (ra, dec) in zip(rows, sky, strict=True)
    ]


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


def summarise(found: Validation, beam: Beam, dish_m: float = 0.0) -> dict[str, Any]:
    """Numbers for the record; what cannot be measured is None. `dish_m` is the dish assumed [m]."""
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
    deep = found.peak_deep
    return {
        "field": fit_field(_matched(found, used, beam), dish_m),
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
        "reliability": float(found.peak_matched[deep].mean()) if deep.any() else None,
        "unknown_above_10_sigma": found.unknown,
        "bins": bins,
    }


def _matched(found: Validation, used: NDArray[np.bool_], beam: Beam) -> Matched:
    """Sources that measure; those too faint for the flux scale have no ratio."""
    peaks, match = found.peaks, found.match[used]
    snr = peaks.snr[match]
    ratio, error = found.ratio[used].T
    if not np.isfinite(ratio).any():  # nothing was fitted: the heights of bright peaks
        ratio = peaks.peak_jy_beam[match] / found.expected_jy_beam[used]
        ratio = np.where(found.expected_snr[used] >= _FLUX_SNR, ratio, np.nan)
        error = 1 / snr
    width = 3600 * np.sqrt(beam.major_deg * beam.minor_deg)
    return Matched(
        east_deg=found.place_deg[used, 0],
        north_deg=found.place_deg[used, 1],
        offset_arcsec=found.offset_arcsec[used],
        offset_err_arcsec=0.6 * width / snr,  # beam / sqrt(8 ln 2) / snr, and noise like the beam
        ratio=ratio,
        ratio_err=error,
        beam_slope=found.beam_slope[used],
    )


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


def checks(summary: dict[str, Any], beam: Beam, options: ImageOptions) -> list[Check]:
    """Verdicts; what could not be measured warns. `beam` is the restoring beam."""
    result = field_checks(summary["field"], beam.minor_deg, options)
    complete, reliable = summary["completeness_10_sigma"], summary["reliability"]
    for metric, value, limit, worst in (
        ("completeness above 10 sigma", complete, options.min_completeness, _HALF),
        ("reliability of detections above 5 sigma", reliable, options.min_reliability, None),
    ):
        if value is None:
            reason = f"{metric} could not be measured: no source so bright"
            result.append(Check(metric, None, "", f"warn if < {limit:g}", "warn", reason))
        else:
            result.append(check(metric, value, warn_below=limit, fail_below=worst))
    negative = summary["negative_peaks"]
    result.append(check("peaks below -5 sigma", negative, warn_above=options.max_negative_peaks))
    return result


# what a check that fails or warns says of every row measured on the image: core/rowflags.py
_WORDS = {
    "position": (
        "offset from the catalogue",
        "rotation against the catalogue",
        "scale of positions",
    ),
    "flux_scale": (
        SCALE,
        "gradient of fluxes",
        "dish diameter that the fluxes prefer, relative to that assumed",
        "amplitude of a subband against the others",
        "phase of a subband against the others",
    ),
    "image": (
        "completeness above 10 sigma",
        "reliability of detections above 5 sigma",
        "peaks below -5 sigma",
    ),
}


def row_flags(checks: list[Check], calibrated: Mapping[str, Any], cleared: str | None) -> list[str]:
    """Words for the rows of this image: of what was measured and is off, and of the calibration.

    `calibrated` is the record of the calibrated MS; its warning is told unless it was `cleared`.
    That nothing could be measured is nothing against a row: it is `unverified`.
    """
    off = {c.metric for c in checks if c.verdict != "pass" and c.value is not None}
    words = [word for word, metrics in _WORDS.items() if off & set(metrics)]
    if calibrated["verdict"] == "warn" and cleared is None and not only_unmade(calibrated):
        words.append("calibration")
    if any(c.metric == SCALE and c.value is None for c in checks):
        words.append("unverified")
    return words

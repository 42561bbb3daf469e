"""Sources of a deep mosaic that a catalogue lacks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from contimg.core.catalog import COLUMNS
from contimg.core.coords import distinct, j2000_seconds, unit_vectors
from contimg.core.errors import ContimgError
from contimg.core.finder import Peaks, find_peaks
from contimg.core.fits import Image
from contimg.field_model.options import DeepFieldOptions

MOSAIC_COLUMNS = (*COLUMNS, "flux_err_jy", "snr", "beam_arcsec")
_SPECTRAL_INDEX = -0.7  # of synchrotron sources: what nothing tells
_NEAR_BEAMS = 300  # from a bright source, within which its sidelobes matter


def sources_of(
    image: Image, rms: Image, catalog: pd.DataFrame, options: DeepFieldOptions
) -> pd.DataFrame:
    """One row a source of `image`, corrected for the beam, that `catalog` lacks: `MOSAIC_COLUMNS`.

    `rms` is its noise [Jy/beam] on the same grid; flux densities are those of points at the
    frequency of the mosaic.
    """
    if image.beam is None or image.freq_hz is None:
        raise ContimgError("a deep mosaic without restoring beam or frequency; build it again")
    width = np.sqrt(image.beam.major_deg * image.beam.minor_deg)
    covered = np.isfinite(image.data) & (rms.data > 0)
    plane = np.where(covered, image.data, 0.0)
    noise = np.where(covered, rms.data, np.inf)
    peaks = find_peaks(plane, noise, covered, options.snr, width / image.cell_deg)
    ra, dec = (np.asarray(c) for c in image.wcs.pixel_to_world_values(peaks.x, peaks.y))
    sky = np.radians(ra), np.radians(dec)
    new = _distance(*sky, catalog) > np.radians(options.match_beams * image.beam.major_deg)
    new &= peaks.peak_jy_beam > _disturbance(peaks, *sky, np.radians(width), options.dynamic)
    return pd.DataFrame(
        {
            "name": [f"deep_{j2000_seconds(a, d)}" for a, d in zip(ra[new], dec[new], strict=True)],
            "ra_deg": ra[new] % 360,
            "dec_deg": dec[new],
            "flux_jy": peaks.peak_jy_beam[new],
            "ref_freq_hz": image.freq_hz,
            "spectral_index": _SPECTRAL_INDEX,
            "flux_err_jy": (peaks.peak_jy_beam / peaks.snr)[new],
            "snr": peaks.snr[new],
            "beam_arcsec": 3600 * width,
        },
        columns=list(MOSAIC_COLUMNS),
    )


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The sources of all tables, each once, in order of right ascension.

    Of two within a beam (of the first) the one of the earlier table stays, so that a source keeps
    its name and its place.
    """
    full = [table for table in tables if len(table)]
    if not full:
        return pd.DataFrame(columns=list(MOSAIC_COLUMNS))
    rows = pd.concat(full, ignore_index=True)
    place = np.radians(rows[["ra_deg", "dec_deg"]].to_numpy(dtype=float).T)
    kept = distinct(*place, np.radians(float(rows["beam_arcsec"].max()) / 3600))
    kept &= ~rows["name"].duplicated().to_numpy()
    return rows[kept].sort_values(["ra_deg", "dec_deg"], ignore_index=True)


def _distance(
    ra: NDArray[np.float64], dec: NDArray[np.float64], catalog: pd.DataFrame
) -> NDArray[np.float64]:
    """Distance [rad] of each place [rad] from the nearest source of the catalogue."""
    if catalog.empty:
        return np.full(ra.size, np.inf)
    known = unit_vectors(*np.radians(catalog[["ra_deg", "dec_deg"]].to_numpy(dtype=float).T))
    chord, _ = cKDTree(known).query(unit_vectors(ra, dec))
    return 2 * np.arcsin(np.minimum(np.asarray(chord) / 2, 1))


def _disturbance(
    peaks: Peaks,
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    width_rad: float,
    dynamic: float,
) -> NDArray[np.float64]:
    """What brighter peaks may have left at each one [Jy/beam]: `dynamic` of them a beam away."""
    result = np.zeros(ra.size)
    place = unit_vectors(ra, dec)
    least = peaks.peak_jy_beam.min(initial=np.inf)
    for k in np.flatnonzero(dynamic * peaks.peak_jy_beam > least):  # others disturb nothing
        chord = np.linalg.norm(place - place[k], axis=1) / width_rad
        reached = (chord > 0) & (chord < _NEAR_BEAMS)
        left = dynamic * peaks.peak_jy_beam[k] / np.maximum(chord[reached], 1)
        result[reached] = np.maximum(result[reached], left)
    return result

"""What is written about a mosaic: maps, tile list, facts and checks of its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.fits import Beam, write_image
from contimg.core.records import Check, atomic, check, inherited
from contimg.core.upstream import middle_of
from contimg.mosaic.beams import spread
from contimg.mosaic.combine import Mosaic, mid_frequency
from contimg.mosaic.grid import Grid
from contimg.mosaic.noise import Factors
from contimg.mosaic.tiles import Tile, region


class MapWriter:
    """Writes the maps of one mosaic with one header."""

    def __init__(
        self, name: str, wcs: WCS, beam: Beam, mjd: float, used: Sequence[Tile], method: str
    ) -> None:
        self.wcs = wcs
        freq = mid_frequency(used)
        headers = [tile.image.header for tile in used if tile.image is not None]
        starts = [header["MJD-OBS"] for header in headers if "MJD-OBS" in header]
        place = [headers[0].get(f"OBSGEO-{axis}") for axis in "XYZ"]
        self.common: dict[str, Any] = {
            "beam": beam,
            "freq_hz": freq if np.isfinite(freq) else None,
            "bandwidth_hz": max(tile.bandwidth_hz for tile in used) or None,
            "mjd": mjd,
            "start_mjd": min(starts) if len(starts) == len(used) else None,
            "observatory_m": None if None in place else place,
            "keywords": {
                "OBJECT": name,
                **{key: headers[0][key] for key in ("TELESCOP",) if key in headers[0]},
                "NTILES": len(used),
                "METHOD": (method, "weights of the tiles"),
                "PBCOR": (True, "corrected for the primary beam"),
            },
            "history": [f"tile {tile.name}" for tile in used],
        }

    def write(self, path: Path, data: NDArray[np.floating], unit: str) -> None:
        """Write one map [y, x]."""
        write_image(path, data, self.wcs, unit=unit, **self.common)


def facts(
    tiles: Sequence[Tile],
    mosaic: Mosaic,
    grid: Grid,
    beam: Beam,
    must_convolve: bool,
    factors: Factors,
) -> dict[str, Any]:
    """The ``data`` of the record; `mosaic.noise` is the measured one."""
    used = [tile for tile in tiles if tile.used]
    rms = mosaic.noise[np.isfinite(mosaic.noise)]
    mjd = [tile.mjd for tile in used]
    ra, dec = map(float, grid.wcs.wcs.crval)
    return {
        "mjd": mosaic.mjd0,
        "mjd_first_tile": min(mjd),
        "mjd_last_tile": max(mjd),
        "integration_s": _number(np.sum([tile.integration_s for tile in used])),
        "effective_time_max_s": _number(np.nanmax(mosaic.seconds)),
        "freq_hz": _number(mid_frequency(used)),
        "beam": {
            "bmaj_deg": beam.major_deg,
            "bmin_deg": beam.minor_deg,
            "bpa_deg": beam.pa_deg,
            "convolved": must_convolve,
            "spread": spread([tile.beam.covariance for tile in used]),
        },
        "centre": {"ra_deg": ra, "dec_deg": dec},
        "corners_deg": corners(grid.wcs, grid.shape),
        "cell_deg": grid.cell_deg,
        "shape": list(grid.shape),
        "area_deg2": float(np.count_nonzero(mosaic.coverage)) * grid.cell_deg**2,
        "rms_median_jy_beam": float(np.median(rms)) if rms.size else None,
        "rms_min_jy_beam": float(rms.min()) if rms.size else None,
        "noise_factor_median": _number(factors.median),
        "peak_jy_beam": _number(np.nanmax(mosaic.image)),
        "pointing_dec_deg": middle_of(tile.calibration.pointing_dec_deg for tile in used),
        "tiles_used": [tile.name for tile in used],
        "tiles_left_out": [
            {"tile": tile.name, "reason": tile.reason} for tile in tiles if not tile.used
        ],
        "decisions": [
            {"tile": tile.name, "decision": tile.decision[0], "reason": tile.decision[1]}
            for tile in tiles
            if tile.decision is not None
        ],
        "tiles_corrected_for_pb": [tile.name for tile in used if tile.image_corrected],
        "tile_flags": [
            {"tile": tile.name, "flags": tile.row_flags, "s_region": region(tile)}
            for tile in used
            if tile.row_flags
        ],
        "tile_scales": [
            {"tile": tile.name, **(tile.flux_scale or _UNSCALED), "s_region": region(tile)}
            for tile in used
            if any(other.flux_scale for other in used)
        ],
        "calsets": sorted({name for t in used for name in t.calibration.calsets}),
    }


_UNSCALED = {"factor": 1.0, "error": 0.0}


def corners(wcs: WCS, shape: tuple[int, int]) -> list[list[float]]:
    """(ra, dec) [deg] of the corners of a map that lie on the sky."""
    y, x = shape[0] - 1, shape[1] - 1
    sky = np.stack(wcs.pixel_to_world_values([0, x, x, 0], [0, 0, y, y]), axis=1)
    return [[float(a), float(b)] for a, b in sky if np.isfinite([a, b]).all()]


def unweighted(mosaic: Mosaic) -> int:
    """Number of pixels that tiles cover and whose expected noise is no positive number."""
    weighted = np.isfinite(mosaic.noise) & (mosaic.noise > 0)
    return int(np.count_nonzero((mosaic.coverage > 0) & ~weighted))


def checks(tiles: Sequence[Tile], factors: Factors, unweighted: int) -> list[Check]:
    """Verdicts on the making of a mosaic; the finished one is judged by its validation."""
    used = [tile for tile in tiles if tile.used]
    freq = [tile.freq_hz for tile in used]
    made = [
        check("noise_over_expected", factors.median, warn_above=2.0, fail_above=10.0),
        check("tiles_used_fraction", len(used) / len(tiles), warn_below=0.7),
        check(
            "blank_fraction",
            float(np.mean([tile.blank_fraction for tile in used])),
            warn_above=0.05,
            fail_above=0.5,
        ),
        check("pixels whose weight is not a positive number", unweighted, fail_above=0),
    ]
    edge = [t.edge_noise_ratio for t in used if np.isfinite(t.edge_noise_ratio)]
    if edge:  # rises when tiles are corrected for the primary beam without saying so
        made.append(check("edge_over_centre_noise", float(np.median(edge)), warn_above=1.6))
    made += inherited(
        {"stage": "image", "product": t.name, "verdict": "warn", "reason": t.warning}
        for t in used
        if t.warning
    )
    if np.isfinite(freq).all():
        made.append(check("frequency_spread", max(freq) / min(freq) - 1, warn_above=0.02))
    return made


def write_tiles(path: Path, tiles: Sequence[Tile]) -> None:
    """The list of the tiles used and left out."""
    with atomic(path) as partial:
        tile_table(tiles).to_csv(partial, index=False)


def tile_table(tiles: Sequence[Tile]) -> pd.DataFrame:
    """One row a tile, in canonical order."""
    known = [tile.offset_arcsec or (np.nan, np.nan) for tile in tiles]
    return pd.DataFrame(
        {
            "tile": [tile.name for tile in tiles],
            "used": [tile.used for tile in tiles],
            "reason": [tile.reason for tile in tiles],
            "rms_jy_beam": [tile.noise for tile in tiles],
            "weight": [tile.noise**-2 if tile.used else 0.0 for tile in tiles],
            "mjd": [tile.mjd for tile in tiles],
            "pb_corrected": [tile.image_corrected for tile in tiles],
            "calsets": [tile.calibration.named for tile in tiles],
            "compared_sources": [tile.compared_sources for tile in tiles],
            "offset_east_arcsec": [east for east, _ in known],
            "offset_north_arcsec": [north for _, north in known],
            "offset_err_arcsec": [_nan(tile.offset_err_arcsec) for tile in tiles],
            "flux_ratio": [_nan(tile.flux_ratio) for tile in tiles],
            "flux_ratio_err": [_nan(tile.flux_ratio_err) for tile in tiles],
            "s_region": [region(tile) for tile in tiles],
        }
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _nan(value: float | None) -> float:
    return np.nan if value is None else value

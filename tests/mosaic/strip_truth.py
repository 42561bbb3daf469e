"""A drifting strip full of known sources: tiles with noise, their mosaic, and what came out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.coordinates import angular_separation
from scipy import ndimage

from contimg.core.fits import read_image
from contimg.mosaic.command import MosaicFiles, run
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.sources import fit_points
from mosaic.make_tiles import BEAM, CELL, PB_FWHM, Sky, make_tile, mosaic_files, offset

RMS = 1e-3


def strip_sky(ra0, dec0, half_ra, half_dec, rng, step=0.05) -> Sky:
    """Sources on a jittered lattice, four beams apart and more, 0.02 to 1 Jy."""
    east, north = np.meshgrid(
        np.arange(-half_ra, half_ra + step / 2, step),
        np.arange(-half_dec, half_dec + step / 2, step),
    )
    east = east.ravel() + rng.uniform(-0.003, 0.003, east.size)
    north = north.ravel() + rng.uniform(-0.003, 0.003, north.size)
    ra, dec = offset(ra0, dec0, np.radians(east), np.radians(north))
    return Sky(ra, dec, 10 ** rng.uniform(np.log10(0.02), 0, ra.size))


def make_strip(
    folder: Path, ra0: float, dec0: float, *, tiles: int = 4, n: int = 300, seed: int = 1,
    step: float = 0.16, pb_fwhm: float = PB_FWHM,
):  # fmt: skip
    """(sky, tiles, centres) of a strip along a parallel; the tiles differ in noise."""
    rng = np.random.default_rng(seed)
    half = n * CELL / 2
    sky = strip_sky(ra0, dec0, half + step * (tiles - 1) / 2, half, rng)
    made, centres = [], []
    for i in range(tiles):
        ra = (ra0 + (i - (tiles - 1) / 2) * step / np.cos(np.radians(dec0))) % 360
        centres.append((ra, dec0))
        made.append(
            make_tile(
                folder, f"t{i}", (ra, dec0), sky, n=n, seed=seed * 100 + i,
                rms=RMS * (1 + 0.2 * (i % 3)), mjd=60953 + i * 309 / 86400,
                pb_fwhm=pb_fwhm, drift=0.7 * step,
            )
        )  # fmt: skip
    return sky, made, centres


def measure(folder: Path, sky: Sky, tiles, centres, name: str = "m", **options) -> dict:
    """Mosaic the tiles and hold it against the sky; ratios are of sources above 50 sigma."""
    files = MosaicFiles(**mosaic_files(folder, tiles, name))
    run(files, MosaicOptions(**options))
    image, rms, residual = (read_image(p) for p in (files.image, files.rms, files.residual))
    x, y = image.wcs.world_to_pixel_values(sky.ra, sky.dec)
    ny, nx = image.data.shape
    margin = 8
    near = (x > margin) & (y > margin) & (x < nx - margin) & (y < ny - margin)
    hole = ndimage.maximum_filter(~np.isfinite(image.data), size=2 * margin + 1)
    near[near] = ~hole[y[near].round().astype(int), x[near].round().astype(int)]
    x, y, flux = x[near], y[near], sky.flux[near]
    filled = np.nan_to_num(image.data.astype(float))
    peak = ndimage.map_coordinates(filled, [y, x], order=5)
    iy, ix = y.round().astype(int), x.round().astype(int)
    noise = rms.data[iy, ix].astype(float)
    ra, dec = sky.ra[near], sky.dec[near]
    distance = np.degrees(
        np.min(
            [
                angular_separation(*np.radians(centre), np.radians(ra), np.radians(dec))
                for centre in centres
            ],
            axis=0,
        )
    )
    bright = flux > 50 * noise
    scale = image.wcs.pixel_scale_matrix
    _, fy, fx = fit_points(image.data, iy[bright], ix[bright], image.beam, scale)
    beam = np.sqrt(BEAM.major_deg * BEAM.minor_deg) / CELL
    ratio = peak[bright] / flux[bright]
    trend = np.polyfit(distance[bright], ratio, 1, w=flux[bright] / noise[bright])[0]
    pulls = (residual.data / rms.data)[np.isfinite(residual.data)]
    return {
        "files": files,
        "sources": int(bright.sum()),
        "ratio_median": float(np.median(ratio)),
        "ratio_trend": float(trend * np.ptp(distance[bright])),
        "pull_pixels": float(np.std(pulls)),
        "pulls_sources": (peak - flux) / noise,
        "offset_max_beams": float(np.hypot(fy - y[bright], fx - x[bright]).max() / beam),
    }

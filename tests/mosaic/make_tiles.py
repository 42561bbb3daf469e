"""Synthetic tiles with a known sky, for the tests of mosaics and photometry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.coordinates import angular_separation
from astropy.wcs import WCS
from scipy import fft

from contimg.core.fits import Beam, write_image

CELL = 6 / 3600
BEAM = Beam(48 / 3600, 34 / 3600, 20.0)
PB_FWHM = 0.45  # deg: small, so that small tiles have a primary beam


@dataclass(frozen=True)
class Sky:
    """Positions [deg] and flux densities [Jy]."""

    ra: np.ndarray
    dec: np.ndarray
    flux: np.ndarray


def sin_wcs(ra: float, dec: float, n: int, cell: float = CELL) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [ra % 360, dec]
    wcs.wcs.cdelt = [-cell, cell]
    wcs.wcs.crpix = [n // 2 + 1, n // 2 + 1]
    wcs.wcs.set()
    return wcs


def offset(ra0: float, dec0: float, east: np.ndarray, north: np.ndarray):
    """Sky positions [deg] at direction cosines (east, north) [rad] from a centre."""
    east, north = np.asarray(east, float), np.asarray(north, float)
    d0 = np.radians(dec0)
    n = np.sqrt(1 - east**2 - north**2)
    dec = np.arcsin(north * np.cos(d0) + n * np.sin(d0))
    ra = np.radians(ra0) + np.arctan2(east, n * np.cos(d0) - north * np.sin(d0))
    return np.degrees(ra) % 360, np.degrees(dec)


def gaussians(shape, x, y, amplitude, pixel_cov, reach=6.0) -> np.ndarray:
    """Sum of Gaussians with covariance `pixel_cov` (x, y) at pixel positions."""
    image = np.zeros(shape)
    inverse = np.linalg.inv(pixel_cov)
    half = int(np.ceil(reach * np.sqrt(pixel_cov.diagonal().max())))
    for xs, ys, a in zip(x, y, amplitude, strict=True):
        x0, x1 = max(0, int(xs) - half), min(shape[1], int(xs) + half + 1)
        y0, y1 = max(0, int(ys) - half), min(shape[0], int(ys) + half + 1)
        if x0 >= x1 or y0 >= y1:
            continue
        dy, dx = np.mgrid[y0:y1, x0:x1].astype(float)
        dx, dy = dx - xs, dy - ys
        q = inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
        image[y0:y1, x0:x1] += a * np.exp(-q / 2)
    return image


def correlated_noise(shape, pixel_cov, rng) -> np.ndarray:
    """Noise of unit rms whose autocorrelation is the Gaussian with covariance `pixel_cov`."""
    u, v = fft.rfftfreq(shape[1])[None, :], fft.fftfreq(shape[0])[:, None]
    c = pixel_cov / 2
    transfer = np.exp(-2 * np.pi**2 * (c[0, 0] * u**2 + 2 * c[0, 1] * u * v + c[1, 1] * v**2))
    full = np.concatenate([transfer, transfer[:, 1 : (shape[1] + 1) // 2]], axis=1)
    norm = np.sqrt(np.mean(full**2))
    return fft.irfft2(fft.rfft2(rng.normal(size=shape)) * transfer, s=shape) / norm


def pixel_covariance(beam: Beam, wcs: WCS) -> np.ndarray:
    to_pixel = np.linalg.inv(wcs.pixel_scale_matrix)
    return to_pixel @ beam.covariance @ to_pixel.T


def make_tile(
    folder: Path,
    name: str,
    centre: tuple[float, float],
    sky: Sky,
    *,
    n: int | tuple[int, int] = 360,
    rms: float = 1e-3,
    beam: Beam = BEAM,
    mjd: float = 60953.0,
    seed: int | None = 0,
    noise: np.ndarray | None = None,
    cell: float = CELL,
    verdict: str = "pass",
    blank: tuple[slice, slice] | None = None,
    pb_fwhm: float = PB_FWHM,
    drift: float = 0.0,
    pb_scale: float = 1.0,
    gain: float = 1.0,
    shift_arcsec: float = 0.0,
    corrected: bool = False,
    marked: bool = True,
    data: dict | None = None,
) -> dict[str, Path]:
    """Write image, residual, primary beam and record.

    `seed` None means no noise, `noise` gives it in units of its rms. `drift` [deg] smears the
    primary beam to the east and west. `gain` and `shift_arcsec` (to the north) are errors of the
    tile; `corrected` divides by the primary beam, `marked` says so in the header.
    """
    shape = (n, n) if isinstance(n, int) else n
    wcs = sin_wcs(*centre, shape[1], cell)
    wcs.wcs.crpix = [shape[1] // 2 + 1, shape[0] // 2 + 1]
    wcs.wcs.set()
    cov = pixel_covariance(beam, wcs)
    x, y = wcs.world_to_pixel_values(sky.ra, sky.dec)
    distance = np.degrees(
        angular_separation(*np.radians([*centre]), np.radians(sky.ra), np.radians(sky.dec))
    )
    near = np.isfinite(x) & np.isfinite(y) & (distance < 2 * max(shape) * cell)
    x, y = x[near], y[near]
    power = tile_beam(x - shape[1] // 2, y - shape[0] // 2, cell, pb_fwhm, drift)
    shift = shift_arcsec / 3600 / cell
    image = gain * gaussians(shape, x, y + shift, sky.flux[near] * power, cov)
    if noise is None:
        noise = np.zeros(shape)
        if seed is not None:
            noise = correlated_noise(shape, cov, np.random.default_rng(seed))
    noise = rms * noise
    image += noise
    yy, xx = np.ogrid[: shape[0], : shape[1]]
    pb = tile_beam(xx - shape[1] // 2, yy - shape[0] // 2, cell, pb_fwhm, drift)
    residual = noise
    if corrected:
        image, residual = image / pb, residual / pb
    if blank is not None:
        image[blank] = np.nan
    paths = {k: folder / f"{name}.{k}.fits" for k in ("image", "residual", "pb")}
    paths["record"] = folder / f"{name}.json"
    common = {"beam": beam, "freq_hz": 1.4e9, "bandwidth_hz": 1.8e8, "mjd": mjd}
    common["keywords"] = {"PBCOR": True} if corrected and marked else {}
    write_image(paths["image"], image, wcs, unit="Jy/beam", **common)
    write_image(paths["residual"], residual, wcs, unit="Jy/beam", **common)
    common["keywords"] = {}
    write_image(paths["pb"], pb_scale * pb, wcs, unit="", **common)
    content = {
        "product": name,
        "stage": "image",
        "verdict": verdict,
        "reason": "too little data" if verdict == "fail" else "",
        "data": {"rms_jy_beam": rms, "mjd": mjd, "freq_hz": 1.4e9, "integration_s": 309.0}
        | (data or {}),
        "checks": [],
        "inputs": [],
    }
    paths["record"].write_text(json.dumps(content))
    return paths


def tile_beam(x, y, cell: float, fwhm: float, drift: float) -> np.ndarray:
    """Primary beam at pixels (x, y) from the centre: a Gaussian, averaged over the drift."""
    steps = np.linspace(-drift / 2, drift / 2, 5) if drift else [0.0]
    return np.mean(
        [np.exp(-4 * np.log(2) * (np.hypot(x * cell - d, y * cell) / fwhm) ** 2) for d in steps],
        axis=0,
    )


def primary_beam(separation_deg: np.ndarray) -> np.ndarray:
    return np.exp(-4 * np.log(2) * (np.asarray(separation_deg) / PB_FWHM) ** 2)


def mosaic_files(folder: Path, tiles: list[dict[str, Path]], name: str = "m1") -> dict:
    """Arguments of `MosaicFiles`."""
    out = folder / name
    outputs = ("image", "residual", "weight", "rms", "coverage", "mjd", "time", "freq")
    return {
        "images": [t["image"] for t in tiles],
        "residuals": [t["residual"] for t in tiles],
        "pbs": [t["pb"] for t in tiles],
        "image_records": [t["record"] for t in tiles],
        **{key: out / f"{name}.{key}.fits" for key in outputs},
        "tiles": out / f"{name}.tiles.csv",
        "record": out / f"{name}.json",
        "plot": out / f"{name}.png",
    }

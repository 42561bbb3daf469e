"""Tiles with any sky, and images of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from contimg.core.beam import PrimaryBeam
from contimg.core.constants import C_M_S
from contimg.core.fits import read_image
from contimg.core.ms import open_table, read_axes
from contimg.core.predict import predict
from contimg.core.records import write_record
from contimg.image.command import ImageFiles, run
from contimg.image.options import ImageOptions
from truth.observe import INSTRUMENT, PERFECT

SIMULATE = PERFECT.model_copy(update={"noise": True, "antenna_step": 5, "n_times": 8})
FITS = ("image", "residual", "psf", "model", "pb", "pbcor", "rms")


def sky(ms: Path, *sources: tuple[str, float, float, float]) -> pd.DataFrame:
    """A source table from (name, east [deg], north [deg], flux density [Jy]) about a tile."""
    ra0, dec0 = np.degrees(read_axes(ms).phase_center_rad)
    rows = [
        {
            "name": name,
            "ra_deg": ra0 + east / np.cos(np.radians(dec0 + north)),
            "dec_deg": dec0 + north,
            "flux_jy": flux,
            "ref_freq_hz": 1.4e9,
            "spectral_index": 0.0,
            "log_poly": "",
        }
        for name, east, north, flux in sources
    ]
    return pd.DataFrame(rows)


def with_sky(
    ms: Path,
    target: Path,
    sources: pd.DataFrame,
    noise_jy: float,
    *,
    steady: bool = True,
    gaussian_arcsec: float = 0.0,
) -> Path:
    """A copy of `ms` whose data are `sources` and noise (rms of one part of one visibility).

    `steady`: with the mean of the primary beam over the drift, as calibrated tiles have it.
    With `gaussian_arcsec` all sources are round Gaussians of that width (FWHM).
    """
    shutil.copytree(ms, target)
    axes = read_axes(target)
    random = np.random.default_rng(3)
    with open_table(target, writable=True) as table:
        good = ~table.getcol("FLAG").any(axis=-1)
        weight = good * table.getcol("WEIGHT").mean(axis=-1)[:, None]
        weight = weight.reshape(*axes.shape, -1).sum(axis=1)
        beam = PrimaryBeam(INSTRUMENT)
        whole = np.concatenate(list(predict(sources, beam, axes)))
        if steady:
            whole = whole - np.concatenate(list(predict(sources, beam, axes, weight)))
        if gaussian_arcsec:
            width = np.radians(gaussian_arcsec / 3600)
            uv = np.hypot(*axes.uvw_m.reshape(-1, 3).T[:2])[:, None] * axes.freq_hz / C_M_S
            whole = whole * np.exp(-((np.pi * width * uv) ** 2) / (4 * np.log(2)))
        data = np.repeat(whole[..., None], 2, axis=-1)
        data += noise_jy * (random.normal(size=data.shape) + 1j * random.normal(size=data.shape))
        table.putcol("DATA", data.astype(np.complex64))
    return target


def image(
    ms: Path,
    out: Path,
    options: ImageOptions,
    catalog: pd.DataFrame | None = None,
    cube: Path | None = None,
    fit: Path | None = None,
) -> tuple[ImageFiles, dict]:
    """Run ``contimg image``; its files and its record. Beside a `fit` lies its record."""
    out.mkdir(parents=True, exist_ok=True)
    record = out / "ms.json"
    data = {"group": "g", "ra_deg": 0.0, "dec_deg": 0.0, "calsets": ["none"]}
    write_record(record, product="tile", stage="apply", data=data)
    table = None
    if catalog is not None:
        table = out / "catalog.csv"
        catalog.to_csv(table, index=False)
    files = ImageFiles(
        ms=ms,
        ms_record=record,
        catalog=table,
        cube=cube,
        fit=fit,
        fit_record=None if fit is None else fit.with_suffix(".json"),
        plot=out / "p.png",
        page=out / "p.html",
        record=out / "r.json",
        **{product: out / f"{product}.fits" for product in FITS},
    )
    run(files, INSTRUMENT, options)
    return files, json.loads(files.record.read_text())


def peak_near(path: Path, source: pd.Series, reach: int = 2) -> float:
    """Highest pixel about a source [unit of the image]."""
    content = read_image(path)
    x, y = content.wcs.all_world2pix(source["ra_deg"], source["dec_deg"], 0)
    x, y = round(float(x)), round(float(y))
    cut = content.data[y - reach : y + reach + 1, x - reach : x + reach + 1]
    return float(np.nanmax(cut))

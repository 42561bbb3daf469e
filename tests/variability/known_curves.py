"""Photometry and light curves with known truth, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from contimg.core.lens import smoothed_gain
from contimg.core.records import write_record
from contimg.variability.ese import LightCurve
from contimg.variability.references import Grid

MJD0 = 60953.0


def grid(
    sources: int,
    epochs: int,
    seed: int,
    *,
    excess: float = 0.02,
    change: np.ndarray | None = None,
) -> tuple[Grid, np.ndarray, np.ndarray]:
    """Constant sources seen through gains that scatter by 5 %; (grid, gains, fluxes).

    `change` (sources, epochs) multiplies the true fluxes.
    """
    random = np.random.default_rng(seed)
    flux = 10 ** random.uniform(-2, 0, sources)
    noise = flux / random.uniform(30, 150, sources)
    gains = np.exp(0.05 * random.normal(size=epochs))
    true = flux[:, None] * (1 if change is None else change)
    measured = true * gains * (1 + excess * random.normal(size=(sources, epochs)))
    measured = measured + noise[:, None] * random.normal(size=measured.shape)
    made = Grid(
        [f"s{k:03d}" for k in range(sources)],
        [f"m{k:03d}" for k in range(epochs)],
        np.tile(MJD0 + np.arange(epochs), (sources, 1)),
        measured,
        np.tile(noise[:, None], (1, epochs)),
        np.ones(measured.shape, dtype=bool),
        np.ones(sources, dtype=bool),
    )
    return made, gains, flux


def lens_dip(times: np.ndarray, centre: float, width: float, depth: float) -> np.ndarray:
    """Relative flux of a source behind a lens of strength 4: a dip of given FWHM and depth."""
    u = np.linspace(0, 10, 2001)
    change = smoothed_gain(u, 4.0, 0.3) - 1
    half = u[np.argmax(change > change.min() / 2)]
    seen = np.interp(np.abs(times - centre) / (width / 2 / half), u, change, right=0.0)
    return 1 + depth / -change.min() * seen


def walk(times: np.ndarray, amplitude: float, tau: float, random: np.random.Generator):
    """A damped random walk about one."""
    matrix = amplitude**2 * np.exp(-np.abs(times[:, None] - times) / tau)
    root = np.linalg.cholesky(matrix + 1e-12 * np.eye(len(times)))
    return 1 + root @ random.normal(size=len(times))


def scintillation(times: np.ndarray, amplitude: float, tau: float, random: np.random.Generator):
    """A smooth Gaussian process about one."""
    matrix = amplitude**2 * np.exp(-0.5 * ((times[:, None] - times) / tau) ** 2)
    root = np.linalg.cholesky(matrix + 1e-9 * np.eye(len(times)))
    return 1 + root @ random.normal(size=len(times))


def curve(
    name: str, relative: np.ndarray, error: float, random: np.random.Generator, flux: float = 0.1
) -> LightCurve:
    """A daily light curve with fractional `error`."""
    sigma = np.full(len(relative), error * flux)
    mjd = MJD0 + np.arange(len(relative))
    return LightCurve(name, mjd, flux * relative + sigma * random.normal(size=len(mjd)), sigma)


def write_photometry(
    folder: Path, made: Grid, *, failed: tuple[str, ...] = ()
) -> tuple[list[Path], list[Path]]:
    """Tables and records of the photometry stage; those of `failed` hold no data."""
    folder.mkdir(parents=True, exist_ok=True)
    tables, records = [], []
    for column, mosaic in enumerate(made.mosaics):
        table = pd.DataFrame(
            {
                "source": made.sources,
                "ra_deg": 40.0 + np.arange(len(made.sources)) * 0.05,
                "dec_deg": 16.0,
                "mosaic": mosaic,
                "mjd": made.mjd[:, column],
                "flux_jy": made.flux[:, column],
                "flux_err_jy": made.error[:, column],
                "n_blend": np.where(made.isolated, 1, 2),
                "flag": np.where(made.good[:, column], "", "bad_fit"),
            }
        )
        bad = mosaic in failed
        tables.append(folder / f"{mosaic}.parquet")
        records.append(folder / f"{mosaic}.json")
        (pd.DataFrame() if bad else table).to_parquet(tables[-1])
        verdict = {"verdict": "fail", "reason": "all tiles lost"} if bad else {"verdict": "pass"}
        data = {} if made.strip is None else {"pointing_dec_deg": 16.0 + made.strip[column]}
        write_record(records[-1], product=mosaic, stage="photometry", data=data, **verdict)
    return tables, records

"""Bright catalogued sources outside the image, taken out of the visibilities before imaging.

Their sidelobes fill the image and cannot be cleaned. Each is described by two patterns, the mean
over the drift and the change about it, (the second is small in data that were made steady), with
a complex amplitude in each part of the band, all solved together by least squares with those of
the brightest sources inside: neither their catalogued flux densities nor the beam there need be
right. Of the other catalogued sources the catalogue's flux densities are taken out meanwhile, so
that their sidelobes do not bias the amplitudes.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import read_sources
from contimg.core.coords import separation
from contimg.core.ms import Axes, open_table, read_axes
from contimg.core.predict import predict
from contimg.image.masks import apparent_fluxes
from contimg.image.options import ImageOptions
from contimg.image.visibilities import Sampling

_MOST = 12  # sources that are subtracted: those after them are much fainter
_INSIDE = 4  # brightest sources inside that are solved for
_FAINTEST_JY = 0.002  # catalogued sources below are left alone
_PARTS = 8  # of the band
_REACH_RAD = 0.35  # beyond it nothing is seen through the beam


@dataclass(frozen=True)
class Outliers:
    """What was subtracted, and the MS to be imaged instead of the input."""

    ms: Path
    names: list[str] = field(default_factory=list)
    apparent_jy: list[float] = field(default_factory=list)  # by the catalogue
    subtracted_jy: list[float] = field(default_factory=list)  # as solved, mean over the band
    left: int = 0  # bright sources outside beyond those subtracted


def subtract_outliers(
    ms: Path,
    scratch: Path,
    catalog: Path | None,
    beam: PrimaryBeam,
    sampling: Sampling,
    wcs: WCS,
    size: int,
    options: ImageOptions,
) -> Outliers:
    """Subtract what lies outside into a copy of `ms`; the input where nothing does."""
    if catalog is None or not options.outliers:
        return Outliers(ms)
    sources = read_sources(catalog)
    ra0, dec0 = sampling.axes.phase_center_rad
    position = np.radians(sources[["ra_deg", "dec_deg"]].to_numpy())
    sources = sources[separation(*position.T, ra0, dec0) < _REACH_RAD].reset_index(drop=True)
    apparent = np.nan_to_num(apparent_fluxes(sources, beam, sampling))
    pixel = wcs.all_world2pix(sources[["ra_deg", "dec_deg"]].to_numpy(), 0)
    outside = ~((pixel > -0.5) & (pixel < size - 0.5)).all(axis=1)
    bright = np.flatnonzero(outside & (apparent >= options.outlier_min_jy))
    if not bright.size:
        return Outliers(ms)
    order = np.argsort(-apparent, kind="stable")
    taken = [int(k) for k in order if k in set(bright)][:_MOST]
    inside = [int(k) for k in order if not outside[k] and apparent[k] >= _FAINTEST_JY]
    solved, fixed = taken + inside[:_INSIDE], inside[_INSIDE:]
    copy = scratch / "without_outliers.ms"
    if copy.exists():  # of a first try
        shutil.rmtree(copy)
    shutil.copytree(ms, copy)
    amplitude = _solve(copy, sources.iloc[solved], sources.iloc[fixed], beam)
    flux = _subtract(copy, sources.iloc[taken], amplitude[:, : len(taken)], beam)
    return Outliers(
        ms=copy,
        names=[str(n) for n in sources["name"].iloc[taken]],
        apparent_jy=[float(a) for a in apparent[taken]],
        subtracted_jy=flux,
        left=bright.size - len(taken),
    )


def _patterns(sources: pd.DataFrame, beam: PrimaryBeam, axes: Axes, weight: NDArray):
    """Yield, for each time, the (source, pattern, baseline, channel) models."""
    rows = [sources.iloc[[k]] for k in range(len(sources))]
    whole = [predict(row, beam, axes) for row in rows]
    change = [predict(row, beam, axes, weight) for row in rows]
    for _ in range(axes.mjd.size):
        varying = np.stack([next(model) for model in change])
        steady = np.stack([next(model) for model in whole]) - varying
        yield np.stack([steady, varying], axis=1)


def _read(table, time: int, n_base: int) -> tuple[NDArray, NDArray]:
    """Stokes I and its weight, zero where flagged, (baseline, channel) of one time."""
    rows = {"startrow": time * n_base, "nrow": n_base}
    data = table.getcol("DATA", **rows)
    good = ~table.getcol("FLAG", **rows).any(axis=-1)
    weight = table.getcol("WEIGHT", **rows).mean(axis=-1)[:, None]
    return np.where(good, data.mean(axis=-1), 0), (good * weight).astype(np.float32)


def _time_weight(table, axes: Axes) -> NDArray[np.float64]:
    """Sum of the weights at each (time, channel)."""
    n_base = axes.shape[1]
    return np.stack([_read(table, t, n_base)[1].sum(axis=0) for t in range(axes.mjd.size)])


def _parts(n_channels: int) -> list[NDArray[np.int64]]:
    return np.array_split(np.arange(n_channels), min(_PARTS, n_channels))


def _solve(
    ms: Path, sources: pd.DataFrame, fixed: pd.DataFrame, beam: PrimaryBeam
) -> NDArray[np.complex128]:
    """Amplitudes (part of the band, source, pattern) in units of the catalogue's model.

    A pattern that says less than a thousandth of what the brightest says is left at zero.
    """
    axes = read_axes(ms)
    parts = _parts(axes.freq_hz.size)
    n = 2 * len(sources)
    normal = np.zeros((len(parts), n, n), np.complex128)
    right = np.zeros((len(parts), n), np.complex128)
    with open_table(ms) as table:
        weights = _time_weight(table, axes)
        known = iter(())
        if len(fixed):
            known = zip(
                predict(fixed, beam, axes), predict(fixed, beam, axes, weights), strict=True
            )
        for time, model in enumerate(_patterns(sources, beam, axes, weights)):
            data, weight = _read(table, time, axes.shape[1])
            if len(fixed):
                whole, change = next(known)
                data = data - (whole - change)
            for p, part in enumerate(parts):
                root = np.sqrt(weight[:, part]).ravel()
                columns = model[..., part].reshape(n, -1) * root
                normal[p] += columns.conj() @ columns.T
                right[p] += columns.conj() @ (data[:, part].ravel() * root)
    return np.stack([_least_squares(a, b) for a, b in zip(normal, right, strict=True)]).reshape(
        len(parts), len(sources), 2
    )


def _least_squares(normal: NDArray, right: NDArray) -> NDArray[np.complex128]:
    power = normal.diagonal().real
    used = power > 1e-6 * power.max(initial=0)
    result = np.zeros(right.shape, np.complex128)
    if used.any():
        scale = np.sqrt(power[used])
        scaled = normal[np.ix_(used, used)] / np.outer(scale, scale)
        result[used] = np.linalg.lstsq(scaled, right[used] / scale, rcond=1e-6)[0] / scale
    return result


def _subtract(
    ms: Path, sources: pd.DataFrame, amplitude: NDArray, beam: PrimaryBeam
) -> list[float]:
    """Subtract the solved models from `ms`; mean apparent flux density subtracted a source."""
    axes = read_axes(ms)
    parts = _parts(axes.freq_hz.size)
    n_base = axes.shape[1]
    flux = np.zeros(len(sources))
    with open_table(ms, writable=True) as table:
        weights = _time_weight(table, axes)
        for time, model in enumerate(_patterns(sources, beam, axes, weights)):
            rows = {"startrow": time * n_base, "nrow": n_base}
            data = table.getcol("DATA", **rows)
            for p, part in enumerate(parts):
                total = np.einsum("sk,skbc->bc", amplitude[p], model[..., part])
                data[:, part] -= total[..., None]
                steady = np.abs(model[:, 0, 0][:, part]).mean(axis=1)
                flux += amplitude[p, :, 0].real * steady * part.size
            table.putcol("DATA", data, **rows)
    return [float(f) for f in flux / axes.freq_hz.size / axes.mjd.size]


def describe(outliers: Outliers) -> dict[str, object]:
    """For the record."""
    return {
        "outliers_subtracted": [
            {"name": name, "apparent_jy": apparent, "subtracted_jy": found}
            for name, apparent, found in zip(
                outliers.names, outliers.apparent_jy, outliers.subtracted_jy, strict=True
            )
        ],
        "outliers_left": outliers.left,
    }

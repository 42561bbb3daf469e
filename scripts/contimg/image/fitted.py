"""Catalogued sources, fitted to the visibilities and taken out before anything is gridded.

A bright source lies between pixels, where clean leaves parts of a hundred of it over the image,
and clean of faint ones in noise makes them fainter. So the flux densities of the catalogue's
sources are solved together, in least squares, with the beam of every integration; the positions of
the bright ones too; what they are is subtracted and put back as restoring beams. What the catalogue
says of a flux density has no part in it, and what is fitted wrongly stays in the residual, where it
is cleaned and measured like anything else: this is bookkeeping, and biases nothing.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.beam import C_M_S, InstrumentOptions, PrimaryBeam
from contimg.core.catalog import flux_density, read_sources, with_flux
from contimg.core.coords import distinct
from contimg.core.fits import FWHM_TO_SIGMA, Beam, Image
from contimg.core.fluxfit.design import Design, design
from contimg.core.fluxfit.solve import Solution, fit, residuals
from contimg.core.fluxfit.sweep import Arrays, model_of, parts_of, sweep
from contimg.core.ms import Axes, open_table
from contimg.core.spectra import between, deviating
from contimg.core.steady import subtracted
from contimg.core.stokes import read_stokes_i
from contimg.image.masks import apparent_fluxes
from contimg.image.options import ImageOptions
from contimg.image.primary_beam import drift_averaged_response
from contimg.image.subbands import Ratio
from contimg.image.visibilities import Sampling, mean_frequency, thermal_noise

_NEAR_BEAMS = 0.15  # two entries nearer than this are fitted as one
_POSITION_SNR = 100.0  # from here on positions are fitted too
_STEP_RAD = np.radians(0.5 / 3600)  # of the derivative by position
_TOLERANCE = 0.1  # of an error: what is left stays in the residual
_PARTS = 32  # of the band, for sources whose spectrum is not that of the catalogue
_OTHER_SPECTRUM = 25.0  # chi^2 of the parts, over their number, from which it is not


@dataclass(frozen=True)
class Fitted:
    """Sources that were subtracted, and the MS to be imaged."""

    ms: Path
    # those of the catalogue at the places found, with what they were found to be: fitted_jy and, of
    # the catalogue, told_jy at the frequency of the image, flux_err_jy, snr, offset_*_arcsec
    sources: pd.DataFrame
    subbands: list[dict[str, Any]] = field(default_factory=list)  # data over model


def subtract_sources(
    ms: Path,
    scratch: Path,
    catalog: Path | None,
    beam: PrimaryBeam,
    sampling: Sampling,
    wcs: WCS,
    size: int,
    beam_deg: float,
    upstream: Mapping[str, Any],
    instrument: InstrumentOptions,
    options: ImageOptions,
) -> Fitted:
    """Fit and subtract into a copy of `ms`; the input itself where there is nothing to subtract.

    `upstream` is the ``data`` of the record of the calibrated MS, `beam_deg` the beam's width.
    Raises :class:`contimg.core.errors.DataQualityError` where the fit does not converge.
    """
    if catalog is None or not options.subtract_sources or options.niter == 0:
        return Fitted(ms, pd.DataFrame({"name": []}))
    least = options.subtract_min_sigma * thermal_noise(sampling, instrument.sefd_jy)
    sources = _inside(catalog, beam, sampling, wcs, size, least, beam_deg)
    if sources.empty:
        return Fitted(ms, sources)
    axes = sampling.axes
    blocks = read_stokes_i(ms, axes)
    weight = blocks.weight.sum(axis=1, dtype=np.float64)
    unit = mean_frequency(sampling)

    def model(table: pd.DataFrame) -> Design:
        offset = subtracted(upstream, table, beam, axes, weight)
        return design(table, beam, axes, unit_hz=unit, offset_jy=offset)

    made = model(sources)
    found = fit(made, blocks, tolerance=_TOLERANCE)
    snr = found.flux_jy / found.error_jy
    bright = np.flatnonzero(snr > _POSITION_SNR)
    shift = np.zeros((len(sources), 2))
    if bright.size:
        left = _residual(made, blocks, found.flux_jy)
        shift[bright] = _shifts(model, sources, bright, found.flux_jy[bright], left, axes, beam_deg)
        sources = _moved(sources, shift)
        made = model(sources)
        found = fit(made, blocks, start=found.flux_jy, tolerance=_TOLERANCE, parts=_PARTS)
    copy = scratch / "residual.ms"
    shutil.copytree(ms, copy)
    factor, shape, exact = _factors(made, found), flux_density(sources, axes.freq_hz), made
    if (factor != 1).any():  # the others are not to make up for what their spectra lack
        exact = dataclasses.replace(made, amplitude=made.amplitude * factor.astype(np.float32))
        found = fit(exact, blocks, start=found.flux_jy, tolerance=_TOLERANCE)
    ratio = _subtract(copy, axes, made, exact, found.flux_jy, blocks)
    # of the band, whatever of it is flagged on the day: the fit weights with the model's spectrum
    flux = found.flux_jy * (shape * factor).sum(axis=1) / shape.sum(axis=1)
    return Fitted(
        copy,
        sources.assign(
            fitted_jy=np.nan_to_num(flux),
            told_jy=flux_density(sources, unit)[:, 0],
            flux_err_jy=found.error_jy,
            snr=found.flux_jy / found.error_jy,
            offset_east_arcsec=np.degrees(shift[:, 0]) * 3600,
            offset_north_arcsec=np.degrees(shift[:, 1]) * 3600,
        ),
        ratio.describe(instrument.subbands, found.noise),
    )


def _inside(
    catalog: Path,
    beam: PrimaryBeam,
    sampling: Sampling,
    wcs: WCS,
    size: int,
    least_jy: float,
    beam_deg: float,
) -> pd.DataFrame:
    """Sources of the catalogue in the image, bright enough, of two at one place the brighter."""
    sources, _ = with_flux(read_sources(catalog), sampling.axes.freq_hz)
    pixel = wcs.all_world2pix(sources[["ra_deg", "dec_deg"]].to_numpy(), 0)
    with np.errstate(invalid="ignore"):
        on = ((pixel > -0.5) & (pixel < size - 0.5)).all(axis=1)
    sources = sources[on]
    apparent = apparent_fluxes(sources, beam, sampling)
    order = np.argsort(-apparent, kind="stable")
    order = order[apparent[order] >= least_jy]
    sources = sources.iloc[order]
    place = np.radians(sources[["ra_deg", "dec_deg"]].to_numpy().T)
    return sources[distinct(*place, np.radians(_NEAR_BEAMS * beam_deg))].reset_index(drop=True)


def _residual(made: Design, blocks: Arrays, flux: NDArray[np.float64]) -> Arrays:
    data = np.stack([block.data for block in residuals(made, blocks, flux)])
    return Arrays(data.astype(np.complex64), blocks.weight)


def _shifts(
    model, sources: pd.DataFrame, bright: NDArray, flux: NDArray, left: Arrays, axes: Axes, width
) -> NDArray[np.float64]:
    """(east, north) [rad] by which sources are away from their places, (source, 2).

    One Gauss-Newton step, each source by itself: the derivative of the projection on a source by
    its place over that of its model. What is less than three errors, or more than half a beam (then
    it is no shift), is zero.
    """
    rows = sources.iloc[bright].reset_index(drop=True)
    steps = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)]) * _STEP_RAD
    part = parts_of(axes.freq_hz.size, 1)
    four = [
        sweep(
            dataclasses.replace(model(_moved(rows, np.tile(s, (len(rows), 1)))), offset=None),
            left,
            part,
            None,
        ).gradient[0]
        for s in steps
    ]
    gradient = np.stack([four[0] - four[1], four[2] - four[3]], axis=1) / (2 * _STEP_RAD)
    amplitude = model(rows).amplitude
    shift = np.zeros((len(rows), 2))
    moments = _moments(left, axes)
    noise = float(
        np.sqrt((left.weight * np.abs(left.data) ** 2).sum() / 2 / (left.weight > 0).sum())
    )
    for k in range(len(rows)):
        curvature = np.einsum("tc,tcij->ij", amplitude[:, k].astype(float) ** 2, moments)
        inverse = np.linalg.inv(curvature)
        step = inverse @ gradient[k] / flux[k]
        error = noise * np.sqrt(np.trace(inverse)) / flux[k]
        size = np.hypot(*step)
        if 3 * error < size < np.radians(width) / 2:
            shift[k] = step
    return shift


def _moments(left: Arrays, axes: Axes) -> NDArray[np.float64]:
    """(time, channel, 2, 2): sum over baselines of weight (2 pi)^2 (u, v) (u, v)^T."""
    uv = 2 * np.pi * axes.uvw_m[..., :2] / C_M_S
    square = np.einsum("tbi,tbj->tbij", uv, uv)
    moments = np.einsum("tbc,tbij->tcij", left.weight, square)
    return moments * (axes.freq_hz**2)[None, :, None, None]


def _moved(sources: pd.DataFrame, shift_rad: NDArray[np.float64]) -> pd.DataFrame:
    east, north = np.degrees(shift_rad).T
    dec = sources["dec_deg"].to_numpy() + north
    return sources.assign(
        ra_deg=sources["ra_deg"].to_numpy() + east / np.cos(np.radians(dec)), dec_deg=dec
    )


def _factors(made: Design, found: Solution) -> NDArray[np.float64]:
    """(source, channel): spectra as they are in parts of the band over those of the catalogue.

    One but for sources whose spectrum is not the catalogue's: a lens, a curved spectrum or a
    subband that is too strong would leave a source with holes.
    """
    odd = deviating(
        found.flux_jy,
        found.error_jy,
        found.part_flux_jy,
        found.part_error_jy,
        least_snr=_POSITION_SNR,
        chi2=_OTHER_SPECTRUM,
    )
    factor = np.ones((made.n_sources, made.axes.freq_hz.size))
    for k in np.flatnonzero(odd):
        part = found.part_flux_jy[:, k] / found.flux_jy[k]
        factor[k] = between(found.part_hz, part, made.axes.freq_hz)
    return factor


def _subtract(
    ms: Path,
    axes: Axes,
    made: Design,
    exact: Design,
    flux: NDArray[np.float64],
    blocks: Arrays,
) -> Ratio:
    """Subtract the model `exact` from `ms`; what `blocks`, its data, are over the model `made`."""
    n_base, ratio, flux = axes.shape[1], Ratio(axes.freq_hz.size), np.nan_to_num(flux)
    models = zip(model_of(made, flux), model_of(exact, flux), strict=True)
    with open_table(ms, writable=True) as table:
        for time, (smooth, there) in enumerate(models):
            ratio.add(blocks, time, smooth)
            rows = {"startrow": time * n_base, "nrow": n_base}
            table.putcol("DATA", table.getcol("DATA", **rows) - there[..., None], **rows)
    return ratio


def restore(
    image: Image, fitted: Fitted, restoring: Beam, beam: PrimaryBeam, sampling: Sampling
) -> Image:
    """`image` with the fitted sources put back as restoring beams, apparent flux densities.

    Gaussians of the shape of the restoring beam in pixels, as the imagers put back theirs.
    """
    if fitted.sources.empty:
        return image
    data = image.data.astype(np.float32).copy()
    place = np.radians(fitted.sources[["ra_deg", "dec_deg"]].to_numpy().T)
    level = fitted.sources["fitted_jy"] / fitted.sources["told_jy"]
    flux = level * flux_density(fitted.sources, mean_frequency(sampling))[:, 0]
    apparent = flux * drift_averaged_response(beam, sampling, *place)
    pixel = image.wcs.all_world2pix(fitted.sources[["ra_deg", "dec_deg"]].to_numpy(), 0)
    half = int(np.ceil(3 * restoring.major_deg / image.cell_deg))
    pa = np.radians(restoring.pa_deg)
    scale = image.cell_deg / FWHM_TO_SIGMA
    for (x, y), height in zip(pixel, apparent, strict=True):
        row, column = round(float(y)), round(float(x))
        rows = np.arange(max(0, row - half), min(data.shape[0], row + half + 1))
        columns = np.arange(max(0, column - half), min(data.shape[1], column + half + 1))
        if not rows.size or not columns.size:
            continue
        north, east = (rows - y)[:, None] * scale, -(columns - x) * scale
        along = (north * np.cos(pa) + east * np.sin(pa)) / restoring.major_deg
        across = (east * np.cos(pa) - north * np.sin(pa)) / restoring.minor_deg
        part = np.ix_(rows, columns)
        data[part] += height * np.exp(-(along**2 + across**2) / 2)
    return dataclasses.replace(image, data=data)


def describe(fitted: Fitted) -> dict[str, object]:
    """For the record: what was subtracted and put back, brightest (apparent) first."""
    if fitted.sources.empty:
        return {"sources_subtracted": [], "subbands": fitted.subbands}
    table = fitted.sources[fitted.sources["fitted_jy"] != 0]
    digits = dict.fromkeys(("ra_deg", "dec_deg", "flux_jy", "flux_err_jy"), 7)
    digits |= dict.fromkeys(("offset_east_arcsec", "offset_north_arcsec"), 4)
    table = table.assign(flux_jy=table["fitted_jy"])[["name", *digits]].round(digits)
    return {"sources_subtracted": table.to_dict("records"), "subbands": fitted.subbands}

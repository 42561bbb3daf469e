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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.beam import InstrumentOptions, PrimaryBeam
from contimg.core.catalog import flux_density, read_sources, with_flux
from contimg.core.coords import cosines_to_sky, distinct
from contimg.core.fits import FWHM_TO_SIGMA, Beam, Image
from contimg.core.fluxfit.design import Design, design
from contimg.core.fluxfit.measurement import space, stokes_i
from contimg.core.fluxfit.positions import position_steps
from contimg.core.fluxfit.solve import Solution, fit
from contimg.core.fluxfit.sweep import Arrays, model_of
from contimg.core.ms import open_table
from contimg.core.parquet import read_parquet
from contimg.core.spectra import OWN, between, deviation, parabola
from contimg.core.steady import subtracted
from contimg.core.stokes import summed_weight
from contimg.image.masks import apparent_fluxes
from contimg.image.options import ImageOptions
from contimg.image.primary_beam import drift_averaged_response
from contimg.image.subbands import Ratio
from contimg.image.visibilities import Sampling, mean_frequency, thermal_noise

_NEAR_BEAMS = 0.15  # two entries nearer than this are fitted as one
_POSITION_SNR = 100.0  # from here on positions are fitted too
_TOLERANCE = 0.1  # of an error: what is left stays in the residual
_PARTS = 32  # of the band, for sources whose spectrum is not that of the catalogue
_OTHER_SPECTRUM = 10.0  # chi^2 a part, from which a slope and a curvature are not all


@dataclass(frozen=True)
class Fitted:
    """Sources that were subtracted, and what is to be imaged."""

    ms: Path
    # at the places found, with what they were found to be: fitted_jy and, of the catalogue,
    # told_jy at unit_hz, flux_err_jy, snr, offset_*_arcsec
    sources: pd.DataFrame
    subbands: list[dict[str, Any]] = field(default_factory=list)  # data over model
    left: Arrays | None = None  # Stokes I without the sources, if `ms` still holds them


@dataclass(frozen=True)
class Found:
    """Sources with what they were found to be: `fitted_jy`, `flux_err_jy`, `offset_*_arcsec`.

    The data hold `level_jy` times the `factor` of the catalogue's spectrum.
    """

    sources: pd.DataFrame
    unit_hz: float  # where fitted_jy holds
    factor: NDArray[np.float64]  # (source, channel)
    noise: float  # what 1/sqrt(weight) is to be multiplied by


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
    found: Found | None = None,
) -> Fitted:
    """Fit sources and subtract them; the input itself where there is nothing to subtract.

    What was `found` of a tile is subtracted as it is, instead of a fit. `upstream` is the ``data``
    of the record of the calibrated MS, `beam_deg` the beam's width. Raises
    :class:`contimg.core.errors.DataQualityError` where the fit does not converge.
    """
    nothing = Fitted(ms, pd.DataFrame({"name": []}))
    if not options.subtract_sources or options.niter == 0 or (catalog is None and found is None):
        return nothing
    axes = sampling.axes
    told = None if catalog is None else with_flux(read_sources(catalog), axes.freq_hz)[0]
    if found is None:
        least = options.subtract_min_sigma * thermal_noise(sampling, instrument.sefd_jy)
        sources = _inside(told, beam, sampling, wcs, size, least, beam_deg)
        if sources.empty:
            return nothing
    blocks = stokes_i(ms, axes, scratch)
    weight = summed_weight(ms, axes) if upstream.get("sources_steadied") else None

    def model(table: pd.DataFrame, unit_hz: float) -> Design:
        offset = None if weight is None else subtracted(upstream, table, beam, axes, weight)
        return design(table, beam, axes, unit_hz=unit_hz, offset_jy=offset)

    if found is None:
        unit = mean_frequency(sampling)
        found = _fit(lambda table: model(table, unit), sources, blocks, scratch, beam_deg)
    table, unit = found.sources, found.unit_hz
    made = model(table.assign(flux_jy=table["fitted_jy"], ref_freq_hz=unit), unit)
    left = space(axes, scratch, "left")
    ratio = _subtract(left, blocks, made, found)
    if options.backend != "residual":
        ms, left = _copied(ms, scratch, blocks, left), None
    return Fitted(
        ms,
        table.assign(
            unit_hz=unit,
            told_jy=_told(told, table["name"], unit),
            snr=table["fitted_jy"] / table["flux_err_jy"],
        ),
        ratio.describe(instrument.subbands, found.noise),
        left,
    )


def _told(catalog: pd.DataFrame | None, names: pd.Series, freq_hz: float) -> NDArray[np.float64]:
    """Flux densities by the catalogue [Jy]; NaN for what it does not have."""
    if catalog is None:
        return np.full(len(names), np.nan)
    known = pd.Series(flux_density(catalog, freq_hz)[:, 0], catalog["name"].to_numpy())
    return known.reindex(names).to_numpy()


def _fit(
    model: Callable[[pd.DataFrame], Design],
    sources: pd.DataFrame,
    blocks: Arrays,
    scratch: Path,
    beam_deg: float,
) -> Found:
    """Flux densities of all, positions of the bright."""
    made = model(sources)
    left = space(made.axes, scratch, "left")
    fitted = fit(made, blocks, tolerance=_TOLERANCE, left_over=left, parts=_PARTS)
    first = sources
    snr = fitted.flux_jy / fitted.error_jy
    bright = np.flatnonzero(np.isin(np.arange(len(sources)), made.points) & (snr > _POSITION_SNR))
    again = {"tolerance": _TOLERANCE, "shrinking": fitted.shrinking}
    if bright.size:
        sources = _moved(sources, bright, made, left, fitted, beam_deg)
        made = model(sources)
        fitted = fit(made, blocks, start=fitted.flux_jy, parts=_PARTS, **again)
    factor = _factors(
        made.axes.freq_hz,
        *(fitted.flux_jy, fitted.error_jy),
        *(fitted.part_flux_jy, fitted.part_error_jy, fitted.part_hz),
    )
    if (factor != 1).any():  # the others are not to make up for what their spectra lack
        fitted = fit(_with(made, factor), blocks, start=fitted.flux_jy, **again)
    shape = flux_density(sources, made.axes.freq_hz)
    east = (sources["ra_deg"] - first["ra_deg"] + 180) % 360 - 180
    east *= np.cos(np.radians(first["dec_deg"]))
    level = np.nan_to_num(fitted.flux_jy)
    return Found(
        sources.assign(
            level_jy=level,
            # of the band, whatever of it is flagged: the fit weights with the model's spectrum
            fitted_jy=level * (shape * factor).sum(axis=1) / shape.sum(axis=1),
            flux_err_jy=fitted.error_jy,
            offset_east_arcsec=east * 3600,
            offset_north_arcsec=(sources["dec_deg"] - first["dec_deg"]) * 3600,
        ),
        made.unit_hz,
        factor,
        fitted.noise,
    )


def _moved(
    sources: pd.DataFrame,
    bright: NDArray[np.int64],
    made: Design,
    left: Arrays,
    fitted: Solution,
    beam_deg: float,
) -> pd.DataFrame:
    """`bright` sources taken to where what is `left` says that they are.

    Less than three errors is left alone, and more than half a beam, which is no shift.
    """
    steps = position_steps(made, left, fitted.flux_jy, bright)
    error = fitted.noise * np.sqrt(np.trace(steps.covariance, axis1=1, axis2=2))
    size = np.hypot(*steps.step.T)
    real = (3 * error < size) & (size < np.radians(beam_deg) / 2)
    l_cos, m_cos = made.lmn[:2, bright[real]] + steps.step[real].T
    place = np.degrees(cosines_to_sky(l_cos, m_cos, *made.axes.phase_center_rad))
    moved = sources.copy()
    moved.loc[bright[real], ["ra_deg", "dec_deg"]] = place.T
    return moved


def _inside(
    sources: pd.DataFrame,
    beam: PrimaryBeam,
    sampling: Sampling,
    wcs: WCS,
    size: int,
    least_jy: float,
    beam_deg: float,
) -> pd.DataFrame:
    """Sources of the catalogue in the image, bright enough, of two at one place the brighter."""
    if sources.empty:
        return sources
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


def of_tile(path: Path, record: Path, freq_hz: NDArray[np.float64]) -> Found | None:
    """What ``contimg photometry tile`` has found; None where it has found nothing."""
    table = read_parquet(path, "sources fitted to the tile", record)
    if table.empty:
        return None
    unit, noise = (float(table[c].iloc[0]) for c in ("freq_hz", "noise"))
    factor = np.ones((len(table), freq_hz.size))
    for k in np.flatnonzero(table["factor"].map(len)):
        factor[k] = between(table["factor_hz"][k], table["factor"][k], freq_hz)
    return Found(table, unit, factor, noise)


def _factors(
    freq_hz: NDArray[np.float64],
    flux: NDArray[np.float64],
    error: NDArray[np.float64],
    part_flux: NDArray[np.float64],
    part_error: NDArray[np.float64],
    part_hz: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(source, channel): spectra as they are in parts of the band over those of the catalogue.

    One but for sources whose spectrum is not the catalogue's: a lens, a curved spectrum or a
    subband that is too strong would leave a source with holes.
    """
    limits = {"least_snr": _POSITION_SNR, "chi2": _OTHER_SPECTRUM}
    kind = deviation(part_hz, flux, error, part_flux, part_error, **limits)
    factor = np.ones((flux.size, freq_hz.size))
    for k in np.flatnonzero(kind):
        its = part_flux[:, k]
        if kind[k] != OWN:
            its = parabola(part_hz, its, part_error[:, k])
        factor[k] = between(part_hz, its / flux[k], freq_hz)
    return factor


def _with(made: Design, factor: NDArray[np.float64]) -> Design:
    """`made` with the spectra (source, channel) `factor` times as strong."""
    return dataclasses.replace(made, amplitude=made.amplitude * factor.astype(np.float32))


def _subtract(left: Arrays, blocks: Arrays, made: Design, found: Found) -> Ratio:
    """Write to `left` what the sources leave of `blocks`; those over the model `made`."""
    ratio, flux = Ratio(made.axes.freq_hz.size), found.sources["level_jy"].to_numpy()
    other = model_of(_with(made, found.factor), flux) if (found.factor != 1).any() else None
    for time, (block, smooth) in enumerate(zip(blocks, model_of(made, flux), strict=True)):
        ratio.add(blocks, time, smooth)
        there = smooth if other is None else next(other)
        left.data[time], left.weight[time] = block.data - there, block.weight
    return ratio


def _copied(ms: Path, scratch: Path, blocks: Arrays, left: Arrays) -> Path:
    """A copy of `ms` without what of its Stokes I, `blocks`, is not `left`."""
    copy, n_base = scratch / "residual.ms", blocks.data.shape[1]
    shutil.copytree(ms, copy)
    with open_table(copy, writable=True) as table:
        for time, (block, rest) in enumerate(zip(blocks, left, strict=True)):
            rows = {"startrow": time * n_base, "nrow": n_base}
            there = (block.data - rest.data)[..., None]
            table.putcol("DATA", table.getcol("DATA", **rows) - there, **rows)
    return copy


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
    shape = fitted.sources.assign(flux_jy=1.0, ref_freq_hz=fitted.sources["unit_hz"])
    unit = float(fitted.sources["unit_hz"].iloc[0])
    slope = flux_density(shape, mean_frequency(sampling)) / flux_density(shape, unit)
    flux = fitted.sources["fitted_jy"] * slope[:, 0]
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
    if "beam" in table:
        apparent = (table["fitted_jy"] * table["beam"]).to_numpy()
        table = table.iloc[np.argsort(-apparent, kind="stable")]
    digits = dict.fromkeys(("ra_deg", "dec_deg", "flux_jy", "flux_err_jy"), 7)
    digits |= dict.fromkeys(("offset_east_arcsec", "offset_north_arcsec"), 4)
    table = table.assign(flux_jy=table["fitted_jy"])[["name", *digits]].round(digits)
    return {"sources_subtracted": table.to_dict("records"), "subbands": fitted.subbands}

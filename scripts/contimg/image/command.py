"""``contimg image``: image a calibrated tile and correct it for its primary beam."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from pydantic import Field

from contimg.core.beam import PrimaryBeam
from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.fits import Beam, Image, read_image
from contimg.core.instrument import InstrumentOptions
from contimg.core.judge import by_checks
from contimg.core.outline import outline, polygon
from contimg.core.records import (
    Check,
    inherited,
    not_made,
    read_record,
    require,
    worst,
    write_record,
)
from contimg.core.scratch import scratch_directory
from contimg.image import extended, masks, quality, residual, tclean, wsclean
from contimg.image.against import settles
from contimg.image.cube import write_cube
from contimg.image.fitted import Fitted, Found, of_tile, restore, subtract_sources
from contimg.image.fitted import describe as describe_fitted
from contimg.image.grid import Grid, image_grid
from contimg.image.imager import ImagerOutput, check_deconvolution, restoring_beam
from contimg.image.options import ImageOptions
from contimg.image.outliers import Outliers, describe, subtract_outliers
from contimg.image.page import draw_validation, write_page
from contimg.image.preview import draw
from contimg.image.primary_beam import diameter_slope, drift_averaged_beam
from contimg.image.products import FITS, planes, write_products
from contimg.image.scaling import Scale, measured_scale, rescaled
from contimg.image.subbands import checks as subband_checks
from contimg.image.tiers import effective, explicit
from contimg.image.validate import checks as validation_checks
from contimg.image.validate import row_flags, summarise, validate
from contimg.image.visibilities import Sampling, mean_frequency, mean_mjd, read_sampling

IMAGERS = {"wsclean": wsclean, "tclean": tclean, "residual": residual}


class ImageFiles(Files):
    """Inputs and outputs of imaging."""

    ms: Path = Field(description="calibrated Measurement Set")
    ms_record: Path = Field(description="its record")
    catalog: Path | None = Field(
        None, description="table of the sources to mask, to subtract outside and to compare with"
    )
    fit: Path | None = Field(
        None, description="sources fitted to the tile (photometry tile), to subtract as they are"
    )
    fit_record: Path | None = Field(None, description="their record")
    image: Path = Field(description="image to write, not corrected for the primary beam")
    residual: Path = Field(description="residual image to write")
    psf: Path = Field(description="point-spread function to write")
    model: Path = Field(description="clean model to write")
    pb: Path = Field(description="drift-averaged primary beam to write")
    pbcor: Path = Field(description="image corrected for the primary beam to write")
    rms: Path = Field(description="map of the local noise to write, not corrected")
    cube: Path | None = Field(
        None, description="cube of the parts of the band to write (needs channels_out > 1)"
    )
    plot: Path = Field(description="preview to write")
    page: Path = Field(description="page about the image to write (HTML)")
    record: Path = Field(description="JSON record to write")
    threads: int = Field(1, ge=1, description="threads of the imager")


def run(files: ImageFiles, instrument: InstrumentOptions, options: ImageOptions) -> None:
    """Image one tile."""
    calibrated = require(files.ms_record)
    if "calsets" not in calibrated["data"]:
        raise ContimgError(
            f"{files.ms_record}: of {files.ms} as contimg {calibrated['stage']} left it, in the"
            " correlator's units; calibrate it first (contimg apply)"
        )
    upstream = calibrated["data"]
    settings = effective(options, has_catalog=files.catalog is not None)
    sampling = read_sampling(files.ms, settings.uv_min_lambda, settings.uv_max_lambda)
    beam = PrimaryBeam(instrument)
    grid = image_grid(sampling, beam, settings)
    print(f"{settings.backend}: {grid.size} x {grid.size} pixels of {grid.cell_arcsec} arcsec")
    found, doubts = _of_tile(files, settings, sampling)
    with scratch_directory(files.image) as scratch:
        inputs = (files, scratch, sampling, beam, grid)
        (made, outliers, fitted, masked), images, deconvolved, given_up = _image(
            *inputs, settings, upstream, instrument, found
        )
        spectrum = None
        if files.cube is not None:
            if len(made.channels) < 2:
                raise ContimgError("--cube needs --channels-out above 1 (WSClean)")
            spectrum = write_cube(
                files.cube, made.channels, beam, sampling, settings.pb_limit, fitted
            )
    restored = restoring_beam(images["image"])
    wcs = images["image"].wcs
    pb = drift_averaged_beam(beam, sampling, wcs, (grid.size, grid.size))
    # points of the fit are gone, found ones too: without it they would be taken for more
    looked = made.tapers if found is not None else []
    larger = extended.measure(images, looked, restored, pb >= settings.pb_limit)
    images["image"] = restore(images["image"], fitted, restored, beam, sampling)
    noise = quality.noise_map(images["residual"].data, restored.major_deg * 3600 / grid.cell_arcsec)
    compared = {
        "catalog": files.catalog,
        "freq_hz": mean_frequency(sampling),
        "options": settings,
        "beam_slope": lambda ra, dec: diameter_slope(beam, sampling, ra, dec),
    }
    scale, told = None, []
    if settings.apply_flux_scale:
        scale, told = _scale(images, fitted, pb, noise[0], restored, instrument, compared)
    if scale is not None:
        images, fitted = rescaled(images, fitted, scale.factor)
        residual_map = images["residual"].data
        noise = quality.noise_map(residual_map, restored.major_deg * 3600 / grid.cell_arcsec)
    gridded = made.gridded_fraction(sampling.count, float(sampling.weight.sum()))
    measured = quality.measure(images, pb, noise, sampling, instrument, settings, gridded, restored)
    results = quality.checks(measured, restored, grid, sampling, settings)
    results += extended.checks(larger, settings) + given_up + doubts + told
    data: dict[str, Any] = {
        **{k: upstream[k] for k in ("group", "ra_deg", "dec_deg", "calsets")},
        **_described(settings, sampling, grid, restored, made),
        "explicit": explicit(options),
        **measured,
        **deconvolved,
        "extended": larger,
        "masked_fraction": masked,
        **describe(outliers),
        **describe_fitted(fitted),
        "cube": spectrum,
        "s_region": _region(pb >= settings.pb_limit, wcs),
        "flux_scale_applied": None if scale is None else scale.describe(),
    }
    seen, judged = None, []
    if files.catalog is not None:
        seen = validate(images["image"], pb, noise[0], restored, fitted=fitted.sources, **compared)
        data["validation"] = summarise(seen, restored, instrument.dish_diameter_m)
        judged = validation_checks(data["validation"], restored, settings)
        if fitted.subbands:
            judged += subband_checks(fitted.subbands, settings.max_subband_error)
        results += judged
    cleared = None
    if calibrated["verdict"] == "warn":
        good = seen is not None and worst(judged) == "pass"
        if good and settles(data["validation"]["field"], settings):
            cleared = calibrated["reason"]
        else:
            results += inherited([calibrated])
    data |= {"cleared_by_measurement": cleared, "row_flags": row_flags(judged, calibrated, cleared)}
    content = planes(images, pb, noise[0], restored, settings.pb_limit)
    paths = {name: getattr(files, name) for name in FITS}
    write_products(paths, content, wcs, sampling, settings, upstream, made.software)
    corrected = Image(content["pbcor"][0], wcs, restored, data["freq_hz"], images["image"].header)
    draw(corrected, files.plot, title=upstream["group"], rms=measured["rms_jy_beam"])
    write_page(
        files.page,
        title=f"{upstream['group']} ({settings.tier})",
        picture=files.plot,
        data=data,
        checks=results,
        settings=settings.model_dump(mode="json"),
        validation=None
        if seen is None
        else draw_validation(images["image"], seen, data["validation"], measured["rms_jy_beam"]),
    )
    write_record(
        files.record,
        product=files.image.name,
        stage="image",
        data=data,
        checks=results,
        options=(instrument, settings),
        inputs=[p for p in (files.ms_record, files.catalog, files.fit_record) if p]
        + [p for p in (settings.mask_regions,) if p],
    )


def _of_tile(
    files: ImageFiles, settings: ImageOptions, sampling: Sampling
) -> tuple[Found | None, list[Check]]:
    """What was fitted to the tile before, and whether it is in doubt."""
    if files.fit is None or not settings.subtract_sources or settings.niter == 0:
        return None, []
    if files.fit_record is None:
        raise ContimgError("--fit needs its record: give --fit-record too")
    record = read_record(files.fit_record)
    found = of_tile(files.fit, files.fit_record, sampling.axes.freq_hz)
    if found is not None and record["verdict"] == "pass":
        return found, []
    return found, [Check("fit of the sources", None, "", "", "warn", f"fit: {record['reason']}")]


def _region(usable: NDArray[np.bool_], wcs: WCS) -> str:
    return polygon(outline(usable, 1, wcs, usable.shape), wcs) if usable.any() else ""


def _scale(
    images: dict[str, Image],
    fitted: Fitted,
    pb: NDArray[np.floating],
    noise: NDArray[np.floating],
    beam: Beam,
    instrument: InstrumentOptions,
    compared: dict[str, Any],
) -> tuple[Scale | None, list[Check]]:
    """The flux scale to divide the tile by, or why there is none."""
    if compared["catalog"] is None:
        return None, [not_made("flux scale applied", "there is no catalogue")]
    found = validate(images["image"], pb, noise, beam, fitted=fitted.sources, **compared)
    scale = measured_scale(summarise(found, beam, instrument.dish_diameter_m)["field"])
    return (scale, []) if isinstance(scale, Scale) else (None, [scale])


def _image(
    files: ImageFiles,
    scratch: Path,
    sampling: Sampling,
    beam: PrimaryBeam,
    grid: Grid,
    settings: ImageOptions,
    upstream: dict[str, Any],
    instrument: InstrumentOptions,
    found: Found | None,
) -> tuple[tuple, dict[str, Image], dict[str, float], list[Check]]:
    """What :func:`_make` made, its images, how clean went.

    Where sources were fitted first and that or the clean of what they leave does not converge (data
    that the model cannot describe), the tile is imaged without, and a warning says so.
    """
    rest = (upstream, instrument, found)
    try:
        made = _make(files, scratch, sampling, beam, grid, settings, *rest)
        images = _read(made[0], grid)
        return made, images, check_deconvolution(images, made[0].log), []
    except DataQualityError as error:
        fitted = bool(files.catalog or found) and settings.subtract_sources and settings.niter != 0
        if not fitted or settings.backend == "residual":  # which is made for what a fit leaves
            raise
        print(f"{error}: imaged again without sources fitted first")
        warning = Check("fit of the sources", None, "", "", "warn", f"sources not fitted: {error}")
    plain = settings.model_copy(update={"subtract_sources": False})
    made = _make(files, scratch, sampling, beam, grid, plain, *rest)
    images = _read(made[0], grid)
    return made, images, check_deconvolution(images, made[0].log), [warning]


def _read(made: ImagerOutput, grid: Grid) -> dict[str, Image]:
    images = made.images or {name: read_image(path) for name, path in made.paths.items()}
    for name, content in images.items():
        if content.data.shape != (grid.size, grid.size):
            raise ContimgError(
                f"{made.software} made the {name} of {content.data.shape} pixels, not of"
                f" {grid.size}; give another image.imsize"
            )
    return images


def _make(
    files: ImageFiles,
    scratch: Path,
    sampling: Sampling,
    beam: PrimaryBeam,
    grid: Grid,
    settings: ImageOptions,
    upstream: dict[str, Any],
    instrument: InstrumentOptions,
    found: Found | None,
) -> tuple[ImagerOutput, Outliers, Fitted, float | None]:
    """Outliers, sources, mask, imager; the part of the image that clean was allowed to touch."""
    imager = IMAGERS[settings.backend]
    reference = sampling.axes.phase_center_rad
    shifted = grid.center_rad != reference
    # tclean projects about the centre of the image, the others about the phase centre of the data
    wcs = masks.grid_wcs(grid, grid.center_rad if imager is tclean else reference)
    ms = files.ms.absolute()
    if found is None:
        outliers = subtract_outliers(
            ms, scratch, files.catalog, beam, sampling, wcs, grid.size, settings
        )
    else:  # what lies outside was fitted too
        outliers = Outliers(ms)
    fitted = subtract_sources(
        *(outliers.ms, scratch, files.catalog, beam, sampling, wcs, grid.size),
        *(grid.beam.minor_deg, upstream, instrument, settings, found),
    )
    mask = masks.clean_mask(grid, wcs, settings, files.catalog, beam, sampling)
    mask_file = None
    if mask is not None:
        mask_file = scratch / "mask.fits"
        masks.write_mask(mask_file, mask, wcs, mean_frequency(sampling))
    made = imager.make_images(
        fitted.ms,
        scratch,
        grid,
        settings,
        mask=mask_file,
        threads=files.threads,
        shifted=shifted,
        **({} if fitted.left is None else {"left": fitted.left}),
    )
    return made, outliers, fitted, None if mask is None else float(mask.mean())


def _described(
    settings: ImageOptions, sampling: Sampling, grid: Grid, beam: Beam, made: ImagerOutput
) -> dict[str, Any]:
    """What was made: imager, tier, grid, time, frequency, beam."""
    return {
        "backend": settings.backend,
        "imager": made.software,
        "tier": settings.tier,
        "imsize": grid.size,
        "cell_arcsec": grid.cell_arcsec,
        "mjd": mean_mjd(sampling),
        "freq_hz": mean_frequency(sampling),
        "bmaj_arcsec": beam.major_deg * 3600,
        "bmin_arcsec": beam.minor_deg * 3600,
        "bpa_deg": beam.pa_deg,
        "expected_bmaj_arcsec": grid.beam.major_deg * 3600,
        "expected_bmin_arcsec": grid.beam.minor_deg * 3600,
        "integration_s": sampling.effective_s,
    }


COMMAND = Command(
    help="Image a calibrated tile; write its drift-averaged primary beam and corrected image.",
    files=ImageFiles,
    options=(InstrumentOptions, ImageOptions),
    run=run,
    outputs=(*FITS, "cube", "plot", "page", "record"),
    record="record",
    judge=by_checks,
)

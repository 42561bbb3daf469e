"""``contimg image``: image a calibrated tile and correct it for its primary beam."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from pydantic import Field

from contimg.core.beam import InstrumentOptions, PrimaryBeam
from contimg.core.command import Command, Files
from contimg.core.errors import DataQualityError
from contimg.core.fits import Beam, Image, read_image, robust_rms, write_image
from contimg.core.records import Check, check, require, write_record
from contimg.image import tclean, wsclean
from contimg.image.grid import image_grid
from contimg.image.options import ImageOptions, resolve_backend
from contimg.image.preview import draw
from contimg.image.primary_beam import drift_averaged_beam
from contimg.image.visibilities import (
    Sampling,
    mean_frequency,
    mean_mjd,
    read_sampling,
    thermal_noise,
)


class ImageFiles(Files):
    """Inputs and outputs of imaging."""

    ms: Path = Field(description="calibrated Measurement Set")
    ms_record: Path = Field(description="its record")
    image: Path = Field(description="image to write, not corrected for the primary beam")
    residual: Path = Field(description="residual image to write")
    psf: Path = Field(description="point-spread function to write")
    model: Path = Field(description="clean model to write")
    pb: Path = Field(description="drift-averaged primary beam to write")
    pbcor: Path = Field(description="image corrected for the primary beam to write")
    plot: Path = Field(description="preview to write")
    record: Path = Field(description="JSON record to write")
    threads: int = Field(1, ge=1, description="threads of the imager")


def run(files: ImageFiles, instrument: InstrumentOptions, options: ImageOptions) -> None:
    """Image one tile."""
    upstream = require(files.ms_record)
    backend = resolve_backend(options.backend)
    sampling = read_sampling(files.ms)
    beam = PrimaryBeam(instrument)
    size, cell = image_grid(sampling, beam, options)
    print(f"{backend}: {size} x {size} pixels of {cell} arcsec", flush=True)
    with tempfile.TemporaryDirectory(
        prefix="contimg-image-", dir=_existing(files.image.parent)
    ) as work:
        scratch = Path(work).absolute()
        ms = files.ms.absolute()
        if backend == "wsclean":
            paths, gridded = wsclean.make_images(ms, scratch, size, cell, files.threads, options)
        else:
            paths, gridded = tclean.make_images(ms, scratch, size, cell, options), None
        images = {name: read_image(path) for name, path in paths.items()}
    restored = _restoring_beam(images["image"])
    pb = drift_averaged_beam(beam, sampling, images["image"].wcs, (size, size))
    measured = measure(images, pb, sampling, instrument, options, gridded)
    _write(files, images, pb, sampling, restored, options, backend)
    draw(files.pbcor, files.plot, title=upstream["data"]["group"], rms=measured["rms_jy_beam"])
    write_record(
        files.record,
        product=files.image.name,
        stage="image",
        data={
            **{k: upstream["data"][k] for k in ("group", "ra_deg", "dec_deg", "calset")},
            "backend": backend,
            "tier": options.tier,
            "imsize": size,
            "cell_arcsec": cell,
            "mjd": mean_mjd(sampling),
            "freq_hz": mean_frequency(sampling),
            "bmaj_arcsec": restored.major_deg * 3600,
            "bmin_arcsec": restored.minor_deg * 3600,
            "bpa_deg": restored.pa_deg,
            "integration_s": sampling.effective_s,
            **measured,
        },
        checks=checks(measured, gridded, restored, cell, options),
        options=(instrument, options),
        inputs=[files.ms_record],
    )


def _existing(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _restoring_beam(image: Image) -> Beam:
    beam = image.beam
    if beam is None or not np.all(np.isfinite([beam.major_deg, beam.minor_deg, beam.pa_deg])):
        raise DataQualityError("the imager could not fit a restoring beam")
    if not np.isfinite(image.data).any() or beam.minor_deg <= 0:
        raise DataQualityError("the image holds no finite pixel or a beam of no size")
    return beam


def measure(
    images: dict[str, Image],
    pb: np.ndarray,
    sampling: Sampling,
    instrument: InstrumentOptions,
    options: ImageOptions,
    gridded: int | None,
) -> dict[str, float | int | None]:
    """Noise, peak and what was imaged."""
    rms = robust_rms(images["residual"].data)
    thermal = thermal_noise(sampling, instrument.sefd_jy)
    inside = pb >= options.pb_limit
    peak = float(np.nanmax(np.where(inside, images["image"].data, np.nan)))
    return {
        "rms_jy_beam": rms,
        "thermal_rms_jy_beam": thermal,
        "noise_ratio": rms / thermal,
        "peak_jy_beam": peak,
        "dynamic_range": peak / rms,
        "visibilities": sampling.count,
        "unflagged_fraction": sampling.count / sampling.samples,
        "gridded_fraction": None if gridded is None else gridded / sampling.count,
    }


def _write(files, images, pb, sampling, beam, options: ImageOptions, backend: str) -> None:
    wcs = images["image"].wcs
    axes = sampling.axes
    common = {
        "freq_hz": mean_frequency(sampling),
        "bandwidth_hz": axes.width_hz * axes.freq_hz.size,
        "mjd": mean_mjd(sampling),
        "keywords": {
            "OBJECT": files.ms.stem,
            "ORIGIN": "contimg",
            "IMAGER": backend,
            "TIER": options.tier,
            "EXPTIME": (sampling.effective_s, "[s] effective integration time"),
        },
    }
    corrected = np.where(pb >= options.pb_limit, images["image"].data / pb, np.nan)
    planes = {
        "image": (images["image"].data, "Jy/beam", beam),
        "residual": (images["residual"].data, "Jy/beam", beam),
        "psf": (images["psf"].data, "", None),
        "model": (images["model"].data, "Jy/pixel", None),
        "pb": (pb, "", None),
        "pbcor": (corrected, "Jy/beam", beam),
    }
    for name, (data, unit, its_beam) in planes.items():
        write_image(getattr(files, name), data, wcs, unit=unit, beam=its_beam, **common)


def checks(
    measured: dict, gridded: int | None, beam: Beam, cell: float, options: ImageOptions
) -> list[Check]:
    """Verdicts on an image."""
    result = [
        check(
            "rms over thermal noise",
            measured["noise_ratio"],
            warn_above=options.max_noise_ratio,
            fail_above=options.fail_noise_ratio,
        ),
        check("pixels across the minor axis", beam.minor_deg * 3600 / cell, warn_below=2.5),
    ]
    if gridded is not None:
        result.append(
            check(
                "gridded fraction of the unflagged visibilities",
                measured["gridded_fraction"],
                fail_below=options.min_gridded,
                warn_above=1.001,
            )
        )
    return result


COMMAND = Command(
    help="Image a calibrated tile; write its drift-averaged primary beam and corrected image.",
    files=ImageFiles,
    options=(InstrumentOptions, ImageOptions),
    run=run,
    outputs=("image", "residual", "psf", "model", "pb", "pbcor", "plot", "record"),
    record="record",
)

"""The FITS files of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg import __version__
from contimg.core.fits import Beam, Image, write_image
from contimg.image.options import ImageOptions
from contimg.image.visibilities import Sampling, mean_frequency, mean_mjd, start_mjd

FITS = ("image", "residual", "psf", "model", "pb", "pbcor", "rms")


def planes(
    images: dict[str, Image],
    pb: NDArray[np.floating],
    noise: NDArray[np.floating],
    beam: Beam,
    pb_limit: float,
) -> dict[str, tuple[NDArray[np.floating], str, Beam | None]]:
    """Data, unit and beam of each product; corrected is what the beam passes above `pb_limit`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        corrected = np.where(pb >= pb_limit, images["image"].data / pb, np.nan)
    nothing = np.zeros_like(images["image"].data)  # of a dirty image
    model = images["model"].data if "model" in images else nothing
    return {
        "image": (images["image"].data, "Jy/beam", beam),
        "residual": (images["residual"].data, "Jy/beam", beam),
        "psf": (images["psf"].data, "", None),
        "model": (model, "Jy/pixel", None),
        "pb": (pb, "", None),
        "pbcor": (corrected, "Jy/beam", beam),
        "rms": (noise, "Jy/beam", beam),
    }


def write_products(
    paths: dict[str, Path],
    made: dict[str, tuple[NDArray[np.floating], str, Beam | None]],
    wcs,
    sampling: Sampling,
    options: ImageOptions,
    upstream: dict[str, Any],
    imager: str,
) -> None:
    """Write all planes with what they are, when and with what they were made."""
    axes = sampling.axes
    common = {
        "freq_hz": mean_frequency(sampling),
        "bandwidth_hz": axes.width_hz * axes.freq_hz.size,
        "mjd": mean_mjd(sampling),
        "start_mjd": start_mjd(sampling),
        "observatory_m": axes.antenna_positions_m.mean(axis=0),
    }
    keywords: dict[str, Any] = {
        "OBJECT": upstream["group"],
        "TELESCOP": sampling.telescope,
        "EXPTIME": (sampling.effective_s, "[s] effective integration time"),
        "CALSET": (" ".join(upstream["calsets"]), "calibration applied"),
        "IMAGER": imager,
        "TIER": (options.tier, "quality tier"),
        "WEIGHTNG": (options.weighting, "weighting of the visibilities"),
        "CONTIMG": (__version__, "version of contimg"),
    }
    if sampling.observer.strip():
        keywords["OBSERVER"] = sampling.observer
    if options.robust is not None:
        keywords["ROBUST"] = (options.robust, "robust parameter of Briggs weighting")
    kinds = {"psf": "Beam", "pb": "Sensitivity"}
    for name, (data, unit, beam) in made.items():
        its = {**keywords, "PRODUCT": name}
        if unit == "Jy/beam":
            its["PBCOR"] = (name == "pbcor", "corrected for the primary beam")
        if name in kinds:
            its["BTYPE"] = kinds[name]
        write_image(paths[name], data, wcs, unit=unit, beam=beam, keywords=its, **common)

"""Spectra: the images of the parts of the band as one cube."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from contimg.core.beam import PrimaryBeam
from contimg.core.fits import read_image, robust_rms, write_image
from contimg.image.imager import thinned
from contimg.image.primary_beam import drift_averaged_beam
from contimg.image.visibilities import Sampling, mean_frequency, mean_mjd, start_mjd


def write_cube(
    path: Path, parts: list[Path], beam: PrimaryBeam, sampling: Sampling, pb_limit: float
) -> list[dict[str, Any]]:
    """Write the images of `parts` over their own primary beams; what each plane is.

    The restoring beams of the planes are in a table of the file; a plane without data has none,
    and then there is no table.
    """
    planes, described, beams = [], [], []
    axes = sampling.axes
    for part in parts:
        image = read_image(part)
        centre, width = image.header["CRVAL3"], image.header["CDELT3"]
        inside = np.abs(axes.freq_hz - centre) < width / 2
        its = dataclasses.replace(sampling, weight=sampling.weight * inside)
        if its.weight.any():
            pb = drift_averaged_beam(beam, its, image.wcs, image.data.shape)
            with np.errstate(divide="ignore", invalid="ignore"):
                planes.append(np.where(pb >= pb_limit, image.data / pb, np.nan))
        else:
            planes.append(np.full_like(image.data, np.nan))
        if image.beam is not None and np.isfinite(image.beam.area_sr):
            beams.append(image.beam)
        described.append(
            {
                "freq_hz": mean_frequency(its) if its.weight.any() else None,
                "bandwidth_hz": width,
                "rms_jy_beam": robust_rms(thinned(image.data)),
                "bmaj_arcsec": image.beam.major_deg * 3600 if image.beam else None,
                "bmin_arcsec": image.beam.minor_deg * 3600 if image.beam else None,
                "bpa_deg": image.beam.pa_deg if image.beam else None,
            }
        )
    first = read_image(parts[0])
    write_image(
        path,
        np.stack(planes),
        first.wcs,
        unit="Jy/beam",
        beams=beams if len(beams) == len(planes) else None,
        freq_hz=first.header["CRVAL3"],
        bandwidth_hz=first.header["CDELT3"],
        mjd=mean_mjd(sampling),
        start_mjd=start_mjd(sampling),
        observatory_m=axes.antenna_positions_m.mean(axis=0),
        keywords={"PRODUCT": "cube", "TELESCOP": sampling.telescope, "PBCOR": True},
    )
    return described

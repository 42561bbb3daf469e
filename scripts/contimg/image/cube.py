"""Spectra: the images of the parts of the band as one cube."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from contimg.core.beam import PrimaryBeam
from contimg.core.fits import read_image, write_image
from contimg.core.robust import robust_rms
from contimg.image.fitted import Fitted, restore
from contimg.image.imager import restoring_beam, thinned
from contimg.image.primary_beam import drift_averaged_beam
from contimg.image.visibilities import Sampling, mean_frequency, mean_mjd, start_mjd

# of a part of the band without data
_NOTHING = dict.fromkeys(("rms_jy_beam", "bmaj_arcsec", "bmin_arcsec", "bpa_deg"))


def write_cube(
    path: Path,
    parts: list[Path],
    beam: PrimaryBeam,
    sampling: Sampling,
    pb_limit: float,
    fitted: Fitted,
) -> list[dict[str, Any]]:
    """Write the images of `parts` over their own primary beams; what each plane is.

    The sources `fitted` are put back into each.

    The restoring beams of the planes are in a table of the file; a plane without data is blank
    and has none, and then there is no table.
    """
    planes, described, beams, centres = [], [], [], []
    axes = sampling.axes
    for part in parts:
        image = read_image(part)
        centre, width = image.header["CRVAL3"], image.header["CDELT3"]
        centres.append(centre)
        inside = np.abs(axes.freq_hz - centre) < width / 2
        its = dataclasses.replace(sampling, weight=sampling.weight * inside)
        described.append({"freq_hz": None, "bandwidth_hz": width, **_NOTHING})
        if not its.weight.any():  # WSClean's image is zero then and its beam is not a number
            planes.append(np.full_like(image.data, np.nan))
            continue
        pb = drift_averaged_beam(beam, its, image.wcs, image.data.shape)
        beams.append(restoring_beam(image))
        whole = restore(image, fitted, beams[-1], beam, its).data
        with np.errstate(divide="ignore", invalid="ignore"):
            planes.append(np.where(pb >= pb_limit, whole / pb, np.nan))
        described[-1] |= {
            "freq_hz": mean_frequency(its),
            "rms_jy_beam": robust_rms(thinned(image.data)),
            "bmaj_arcsec": beams[-1].major_deg * 3600,
            "bmin_arcsec": beams[-1].minor_deg * 3600,
            "bpa_deg": beams[-1].pa_deg,
        }
    write_image(
        path,
        np.stack(planes),
        image.wcs,
        unit="Jy/beam",
        beams=beams if len(beams) == len(planes) else None,
        freq_hz=centres[0],
        bandwidth_hz=float(np.mean(np.diff(centres))),  # parts may differ by a channel
        mjd=mean_mjd(sampling),
        start_mjd=start_mjd(sampling),
        observatory_m=axes.antenna_positions_m.mean(axis=0),
        keywords={"PRODUCT": "cube", "TELESCOP": sampling.telescope, "PBCOR": True},
    )
    return described

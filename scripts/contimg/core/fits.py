"""Images: FITS in and out, with their beam, frequency and celestial coordinates.

On disk an image has the four axes of the field's tools (RA, Dec, FREQ, STOKES); in memory its
data are two-dimensional, indexed [y, x].
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.records import atomic

FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))


@dataclass(frozen=True)
class Beam:
    """Restoring beam: FWHM axes [deg], position angle north through east [deg]."""

    major_deg: float
    minor_deg: float
    pa_deg: float

    @property
    def area_sr(self) -> float:
        """Solid angle of the Gaussian beam [sr]."""
        axes = np.radians(self.major_deg) * np.radians(self.minor_deg)
        return float(np.pi * axes / (4 * np.log(2)))


@dataclass(frozen=True)
class Image:
    """A two-dimensional image [y, x] with what is needed to measure on it."""

    data: NDArray[np.floating]
    wcs: WCS
    beam: Beam | None
    freq_hz: float | None
    header: fits.Header

    @property
    def cell_deg(self) -> float:
        """Size of the (square) pixel [deg]."""
        return float(np.sqrt(np.prod(proj_plane_pixel_scales(self.wcs))))


def read_image(path: str | Path) -> Image:
    """Read the first plane of a FITS image; :class:`ContimgError` when it is not an image."""
    path = Path(path)
    try:
        with fits.open(path, memmap=False) as hdus:
            header, data = hdus[0].header, hdus[0].data
    except OSError as error:
        raise ContimgError(f"{path}: cannot be read as FITS ({error}); rebuild it") from None
    if data is None:
        raise ContimgError(f"{path}: holds no image ({header.get('HISTORY', 'no reason given')})")
    plane = data.reshape(-1, *data.shape[-2:])[0]
    beam = Beam(header["BMAJ"], header["BMIN"], header["BPA"]) if "BMAJ" in header else None
    freq = header.get("CRVAL3") if header.get("CTYPE3", "").startswith("FREQ") else None
    wcs = WCS(WCS(header).celestial.to_header())
    wcs.array_shape = plane.shape
    return Image(plane.astype(plane.dtype.newbyteorder("="), copy=False), wcs, beam, freq, header)


def write_image(
    path: str | Path,
    data: NDArray[np.floating],
    wcs: WCS,
    *,
    unit: str,
    beam: Beam | None = None,
    freq_hz: float | None = None,
    bandwidth_hz: float | None = None,
    mjd: float | None = None,
    keywords: dict[str, object] | None = None,
    history: list[str] | None = None,
) -> None:
    """Write a two-dimensional image atomically as a 4-axis float32 FITS file.

    `unit` is the FITS BUNIT ("Jy/beam"); `mjd` (UTC, mid-point) becomes MJD-AVG and DATE-AVG.
    """
    from astropy.time import Time

    header = fits.Header()
    header.update(wcs.celestial.to_header())
    for key in ("WCSAXES",):
        header.remove(key, ignore_missing=True)
    for axis, ctype, value, step, axis_unit in (
        (3, "FREQ", freq_hz or 0.0, bandwidth_hz or 1.0, "Hz"),
        (4, "STOKES", 1.0, 1.0, ""),
    ):
        header[f"CTYPE{axis}"], header[f"CRPIX{axis}"] = ctype, 1.0
        header[f"CRVAL{axis}"], header[f"CDELT{axis}"] = value, step
        if axis_unit:
            header[f"CUNIT{axis}"] = axis_unit
    header["BUNIT"] = unit
    header["RADESYS"] = "ICRS"
    if beam is not None:
        header["BMAJ"] = (beam.major_deg, "[deg] FWHM of the restoring beam")
        header["BMIN"] = (beam.minor_deg, "[deg]")
        header["BPA"] = (beam.pa_deg, "[deg] north through east")
    if mjd is not None:
        header["TIMESYS"] = "UTC"
        header["MJD-AVG"] = (mjd, "[d] mid-point of the observation")
        header["DATE-AVG"] = Time(mjd, format="mjd", scale="utc").isot
    for key, value in (keywords or {}).items():
        header[key] = value
    for line in history or []:
        header.add_history(line)
    hdu = fits.PrimaryHDU(np.asarray(data, dtype=np.float32)[None, None], header)
    with atomic(path) as partial:
        hdu.writeto(partial, output_verify="exception", checksum=False)


def robust_rms(data: NDArray[np.floating]) -> float:
    """Standard deviation of a Gaussian with the data's median absolute deviation; NaN ignored."""
    finite = data[np.isfinite(data)]
    if finite.size == 0:
        return float("nan")
    return float(1.4826 * np.median(np.abs(finite - np.median(finite))))

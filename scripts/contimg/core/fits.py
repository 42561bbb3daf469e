"""Images: FITS in and out, with their beam, frequency and celestial coordinates.

On disk an image has the four axes of the field's tools (RA, Dec, FREQ, STOKES); in memory its
data are two-dimensional, indexed [y, x].
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, WcsError
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from contimg import __version__
from contimg.core.disk import named, of_the_medium
from contimg.core.errors import ContimgError, DamagedError
from contimg.core.records import atomic

# keywords of a celestial WCS, without their axis numbers
_CELESTIAL = {"CRPIX", "PC", "CDELT", "CUNIT", "CTYPE", "CRVAL", "LONPOLE", "LATPOLE", "PV"}
_UNIT = re.compile("(|m|u|µ|μ)Jy(?:/beam|/BEAM|beam-1|beam\\^-1|[.]beam-1)")
_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6}
_LARGEST_BEAM_DEG, _LARGEST_CELL_DEG = 45.0, 10.0  # more is a number of another unit
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

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Covariance of the Gaussian beam in (east, north) [deg^2], 2 x 2."""
        pa = np.radians(self.pa_deg)
        along = np.array([np.sin(pa), np.cos(pa)])
        across = np.array([np.cos(pa), -np.sin(pa)])
        major, minor = self.major_deg * FWHM_TO_SIGMA, self.minor_deg * FWHM_TO_SIGMA
        return major**2 * np.outer(along, along) + minor**2 * np.outer(across, across)


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
    except (OSError, ValueError, TypeError) as error:
        if of_the_medium(error):
            named(error, path)
            raise
        raise DamagedError(path, f"cannot be read as FITS ({error})") from None
    if data is None or data.ndim < 2:
        raise ContimgError(f"{path}: holds no image ({header.get('HISTORY', 'no reason given')})")
    plane = data.reshape(-1, *data.shape[-2:])[0]
    beam, _ = restoring_beam(header)
    freq = header.get("CRVAL3") if header.get("CTYPE3", "").startswith("FREQ") else None
    wcs = celestial_wcs(header, path)
    wcs.array_shape = plane.shape
    return Image(plane.astype(plane.dtype.newbyteorder("="), copy=False), wcs, beam, freq, header)


def restoring_beam(header: fits.Header) -> tuple[Beam | None, str]:
    """The restoring beam of `header`, or None and why there is none that could be used."""
    keys = ("BMAJ", "BMIN", "BPA")
    missing = [key for key in keys if header.get(key) is None]
    if missing:
        return None, f"no restoring beam ({', '.join(missing)} not in its header)"
    beam = Beam(*(float(header[key]) for key in keys))
    axes = np.array([beam.major_deg, beam.minor_deg])
    right = (axes > 0).all() and axes[1] <= axes[0] * (1 + 1e-6) and axes[0] < _LARGEST_BEAM_DEG
    if not (np.isfinite([*axes, beam.pa_deg]).all() and right):
        return None, f"no restoring beam (BMAJ {axes[0]:g}, BMIN {axes[1]:g}, BPA {beam.pa_deg:g})"
    return beam, ""


def in_jansky(image: Image, path: str | Path) -> Image:
    """`image` in Jy/beam; :class:`ContimgError` when its unit is no flux density a beam."""
    unit = str(image.header.get("BUNIT", "")).strip()
    # astropy writes "beam-1 Jy", AIPS "JY/BEAM"
    plain = re.sub(r"^beam-1[ .*]*(.*)", r"\1beam-1", unit.replace("JY", "Jy"))
    found = _UNIT.fullmatch(plain.replace(" ", ""))
    if found is None:
        said = f"its unit is {unit}" if unit else "no unit (BUNIT) in its header"
        raise ContimgError(f"{path}: {said}; an image in Jy/beam is needed")
    factor = _PREFIXES[found[1]]
    return image if factor == 1 else replace(image, data=image.data * image.data.dtype.type(factor))


def celestial_wcs(header: fits.Header, path: str | Path) -> WCS:
    """The two celestial axes of `header`, that of `path`; :class:`ContimgError` for other frames.

    Positions are ICRS, from which FK5 of 2000 is not to be told apart here (25 mas). Times and
    places are left out: WSClean's psf is of 1858, CASA's OVRO lies near the earth's centre, and
    astropy warns of both though neither has a part in the coordinates of pixels.
    """
    kept = header.copy()
    for key in list(kept):
        if key.startswith(("DATE", "MJD", "OBSGEO")):
            del kept[key]
    try:
        wcs = WCS(WCS(kept).celestial.to_header())
        scales = proj_plane_pixel_scales(wcs)
    except (WcsError, ValueError, MemoryError) as error:
        raise ContimgError(f"{path}: its coordinates cannot be used ({error})") from None
    frame = (str(wcs.wcs.radesys), float(wcs.wcs.equinox))
    axes = [name.partition("-")[0] for name in wcs.wcs.ctype]
    if wcs.naxis and (axes != ["RA", "DEC"] or not _is_icrs(*frame)):
        said = " ".join([*axes, frame[0]])
        raise ContimgError(f"{path}: its coordinates are {said}, not ICRS; reproject it first")
    if wcs.naxis and not ((scales > 0) & (scales < _LARGEST_CELL_DEG)).all():
        raise ContimgError(f"{path}: pixels of {scales.max() * 3600:g} arcsec; CDELT is wrong")
    return wcs


def _is_icrs(radesys: str, equinox: float) -> bool:
    return radesys in ("", "ICRS") or (radesys == "FK5" and not abs(equinox - 2000) > 1e-3)


def write_image(
    path: str | Path,
    data: NDArray[np.floating],
    wcs: WCS,
    *,
    unit: str,
    beam: Beam | None = None,
    beams: Sequence[Beam] | None = None,
    freq_hz: float | None = None,
    bandwidth_hz: float | None = None,
    mjd: float | None = None,
    start_mjd: float | None = None,
    observatory_m: Sequence[float] | None = None,
    keywords: dict[str, object] | None = None,
    history: list[str] | None = None,
) -> None:
    """Write an image [y, x] atomically as a 4-axis float32 FITS file.

    A cube [frequency, y, x] is of planes `bandwidth_hz` apart, the first one at `freq_hz`; their
    `beams` become a table in the manner of CASA, which CARTA reads too.
    `unit` is the FITS BUNIT ("Jy/beam"); `mjd` (UTC, mid-point) becomes MJD-AVG and DATE-AVG,
    `start_mjd` MJD-OBS and DATE-OBS. `observatory_m` is ITRF (x, y, z) of the telescope, with
    which topocentric frequencies can be turned into others. `keywords` win over what follows from
    the other arguments.
    The bytes of the file, checksums included, depend on the arguments only.
    """
    header = fits.Header()
    for card in wcs.celestial.to_header().cards:
        if card.keyword.rstrip("12_0") in _CELESTIAL:
            header.append(card)
    for axis, ctype, value, step, axis_unit in (
        (3, "FREQ", freq_hz or 0.0, bandwidth_hz or 1.0, "Hz"),
        (4, "STOKES", 1.0, 1.0, ""),
    ):
        header[f"CTYPE{axis}"], header[f"CRPIX{axis}"] = ctype, 1.0
        header[f"CRVAL{axis}"], header[f"CDELT{axis}"] = value, step
        if axis_unit:
            header[f"CUNIT{axis}"] = axis_unit
    if unit:
        header["BUNIT"] = unit
    if unit.startswith("Jy"):
        header["BTYPE"] = "Intensity"
    header["RADESYS"] = "ICRS"
    if freq_hz is not None:
        header["SPECSYS"] = "TOPOCENT"
        header["RESTFRQ"] = (freq_hz, "[Hz] frequency of the image")
    if beam is not None:
        header["BMAJ"] = (beam.major_deg, "[deg] FWHM of the restoring beam")
        header["BMIN"] = (beam.minor_deg, "[deg]")
        header["BPA"] = (beam.pa_deg, "[deg] north through east")
    for name, when, meaning in (
        ("OBS", start_mjd, "start"),
        ("AVG", mjd, "mid-point"),
    ):
        if when is not None:
            header["TIMESYS"] = "UTC"
            header[f"DATE-{name}"] = (_isot(when), f"{meaning} of the observation")
            header[f"MJD-{name}"] = (when, f"[d] {meaning} of the observation")
    if observatory_m is not None:
        header.update(_observatory(observatory_m))
    header["ORIGIN"] = f"contimg {__version__}"
    for key, value in (keywords or {}).items():
        header[key] = value
    for line in history or []:
        header.add_history(line)
    values = np.asarray(data, dtype=np.float32)
    hdus = fits.HDUList([fits.PrimaryHDU(values.reshape(1, -1, *values.shape[-2:]), header)])
    if beams is not None:
        hdus[0].header["CASAMBM"] = (True, "beams of the planes in the table BEAMS")
        hdus.append(_beam_table(beams))
    for hdu in hdus:
        hdu.add_checksum(when="data and header as written")
    with atomic(path) as partial:
        hdus.writeto(partial, output_verify="exception")


def _beam_table(beams: Sequence[Beam]) -> fits.BinTableHDU:
    axes = np.array([(b.major_deg * 3600, b.minor_deg * 3600, b.pa_deg) for b in beams]).T
    columns = [
        fits.Column(name, "E", unit=unit, array=axis)
        for name, unit, axis in zip(
            ("BMAJ", "BMIN", "BPA"), ("arcsec", "arcsec", "deg"), axes, strict=True
        )
    ]
    columns.append(fits.Column("CHAN", "J", array=np.arange(len(beams))))
    columns.append(fits.Column("POL", "J", array=np.zeros(len(beams), int)))
    table = fits.BinTableHDU.from_columns(columns, name="BEAMS", ver=1)
    table.header["NCHAN"], table.header["NPOL"] = len(beams), 1
    return table


def _observatory(xyz_m: Sequence[float]) -> dict[str, tuple[float, str]]:
    """OBSGEO keywords; longitude, latitude and height on the ellipsoid that wcslib has."""
    wcs = WCS(naxis=2)
    wcs.wcs.obsgeo[:3] = xyz_m
    wcs.wcs.fix()  # quietly; WCS.fix() warns of what it is asked for
    names = zip("XYZLBH", ("m", "m", "m", "deg", "deg", "m"), wcs.wcs.obsgeo, strict=True)
    return {f"OBSGEO-{k}": (round(float(v), 9), f"[{unit}] observatory") for k, unit, v in names}


def _isot(mjd: float) -> str:
    from astropy.time import Time

    return str(Time(mjd, format="mjd", scale="utc", precision=6).isot)

"""Headers of UVH5 files: what the discovery, the conversion and the re-wrapping agree on."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord

from contimg.core.errors import ContimgError

# what h5py and pyuvdata are known to raise on broken files
READ_ERRORS = (
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
)


class HeaderError(ContimgError):
    """A UVH5 file that cannot be used; the message is the reason.

    `kind`: ``unreadable`` (not a UVH5 file, or a broken one), ``truncated``, or ``access`` (the
    file could not be opened this time: permission, vanished, an I/O error).
    """

    def __init__(self, message: str, kind: str = "unreadable") -> None:
        super().__init__(message)
        self.kind = kind


@dataclasses.dataclass(frozen=True)
class Header:
    """What discovery reads of one subband file. Times MJD UTC, angles degrees."""

    telescope: str
    latitude_deg: float
    longitude_deg: float
    height_m: float
    first_mjd: float  # mid-point of the first integration
    last_mjd: float
    n_times: int
    integration_s: float
    freq_min_hz: float  # edges of the outermost channels
    freq_max_hz: float
    n_channels: int
    tracking: str
    dec_app_deg: float | None
    ra_deg: float | None
    dec_deg: float | None
    field: str
    unprojected: bool = False  # drift data whose phases were not stopped at all


def read_header(path: str | Path) -> Header:
    """Read the header of a UVH5 file with pyuvdata; :class:`HeaderError` says why it cannot."""
    from pyuvdata.uvdata import FastUVH5Meta

    try:
        with contextlib.closing(FastUVH5Meta(str(path))) as meta:
            return _header(meta)
    except HeaderError:
        raise
    except READ_ERRORS as error:
        raise unreadable(error) from None


def unreadable(error: Exception) -> HeaderError:
    """What an exception of the reader says about the file."""
    if isinstance(error, OSError) and error.errno is not None:
        return HeaderError(f"no access: {os.strerror(error.errno)}", "access")
    kind = "truncated" if "truncated" in str(error) else "unreadable"
    return HeaderError(f"unreadable: {type(error).__name__}: {str(error)[:200]}", kind)


def _header(meta) -> Header:
    times = np.unique(np.asarray(meta.time_array))
    if times.size == 0 or not np.isfinite(times).all():
        raise HeaderError("no valid times")
    freq = np.atleast_1d(np.squeeze(np.asarray(meta.freq_array, dtype=float)))
    width = float(np.abs(np.ravel(np.asarray(meta.channel_width, dtype=float))[0]))
    integration = float(np.ravel(np.asarray(meta.integration_time, dtype=float))[0])
    if not (width > 0 and integration > 0 and np.isfinite(freq).all()):
        raise HeaderError("channel width, integration time or frequencies are not valid numbers")
    latitude, longitude, height = meta.telescope_location_lat_lon_alt_degrees
    # a JD near 2.46e6 resolves 40 us; the instrument's integrations are 12.9 s
    mjd = times - 2400000.5
    return Header(
        telescope=_text(meta.telescope_name),
        latitude_deg=float(latitude),
        longitude_deg=float(longitude),
        height_m=float(height),
        first_mjd=float(mjd[0]),
        last_mjd=float(mjd[-1]),
        n_times=int(times.size),
        integration_s=integration,
        freq_min_hz=float(freq.min() - width / 2),
        freq_max_hz=float(freq.max() + width / 2),
        n_channels=int(freq.size),
        **_pointing(meta),
    )


def _pointing(meta) -> dict:
    """Phase centre: a drift scan on the meridian or one sidereal position."""
    if "phase_center_catalog" not in meta.header:
        return _old_pointing(meta)
    used = np.unique(np.asarray(meta.phase_center_id_array))
    if used.size != 1:
        raise HeaderError(f"{used.size} phase centres in one file; split it by phase centre")
    centre = meta.phase_center_catalog[int(used[0])]
    kind, frame, name = (_text(centre[key]) for key in ("cat_type", "cat_frame", "cat_name"))
    if kind == "unprojected":
        return _drift(meta.telescope_location_lat_lon_alt_degrees[0], name, unprojected=True)
    if kind == "driftscan":
        return _drift(_driftscan_dec(meta, centre), name)
    if kind == "sidereal" and frame in {"icrs", "fk5"}:
        return _sidereal(centre["cat_lon"], centre["cat_lat"], frame, name)
    raise HeaderError(
        f"phase centre is {kind}, {frame}; sidereal (icrs, fk5), driftscan or unprojected is needed"
    )


def _old_pointing(meta) -> dict:
    """Phase centre in the words of UVH5 before it had a catalogue of them."""
    keywords = meta.extra_keywords if "extra_keywords" in meta.header else {}
    kind = _text(meta.phase_type)
    if kind == "drift" and "phase_center_dec" in keywords:
        return _drift(np.degrees(float(keywords["phase_center_dec"])), "")
    if kind == "drift":
        return _drift(meta.telescope_location_lat_lon_alt_degrees[0], "", unprojected=True)
    if kind == "phased" and {"phase_center_ra", "phase_center_dec"} <= set(meta.header):
        frame = "icrs"
        if "phase_center_frame" in meta.header:
            frame = _text(meta.header["phase_center_frame"][()])
        if frame in {"icrs", "fk5"}:
            ra, dec = (float(meta.header[f"phase_center_{x}"][()]) for x in ("ra", "dec"))
            return _sidereal(ra, dec, frame, _text(meta.object_name))
    raise HeaderError(
        f"phase_type is {kind!r}; it must be 'drift', or 'phased' with a centre in icrs or fk5"
    )


def _driftscan_dec(meta, centre) -> float:
    """Apparent declination [deg] of a fixed azimuth and elevation on the meridian."""
    azimuth, elevation = np.degrees(centre["cat_lon"]) % 360, np.degrees(centre["cat_lat"])
    latitude = meta.telescope_location_lat_lon_alt_degrees[0]
    north, south = abs((azimuth + 180) % 360 - 180) < 1e-3, abs(azimuth - 180) < 1e-3
    if not (north or south or elevation > 90 - 1e-6):
        raise HeaderError(f"drift scan at azimuth {azimuth:.3f} deg is not on the meridian")
    return latitude + (90 - elevation) * (1 if north else -1)


def _drift(dec_deg: float, field: str, unprojected: bool = False) -> dict:
    return {
        "tracking": "drift",
        "dec_app_deg": float(dec_deg),
        "ra_deg": None,
        "dec_deg": None,
        "field": "" if unprojected else field,
        "unprojected": unprojected,
    }


def _sidereal(ra_rad: float, dec_rad: float, frame: str, field: str) -> dict:
    sky = SkyCoord(ra_rad, dec_rad, unit="rad", frame=frame)
    return {
        "tracking": "sidereal",
        "dec_app_deg": None,
        "ra_deg": float(sky.icrs.ra.deg),
        "dec_deg": float(sky.icrs.dec.deg),
        "field": field,
    }


def _text(value) -> str:
    """HDF5 strings come as bytes or as text."""
    return value.decode() if isinstance(value, bytes) else str(value)

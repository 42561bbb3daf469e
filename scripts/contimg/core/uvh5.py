"""Headers of UVH5 files: what the discovery, the conversion and the re-wrapping agree on."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord

from contimg.core.errors import ContimgError


class HeaderError(ContimgError):
    """A UVH5 file that cannot be used; the message is the reason."""


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


def read_header(path: str | Path) -> Header:
    """Read the header of a UVH5 file with pyuvdata; :class:`HeaderError` says why it cannot."""
    from pyuvdata.uvdata import FastUVH5Meta

    try:
        with contextlib.closing(FastUVH5Meta(str(path))) as meta:
            return _header(meta)
    except HeaderError:
        raise
    except (OSError, KeyError, ValueError, AttributeError, RuntimeError) as error:
        raise HeaderError(f"unreadable: {type(error).__name__}: {str(error)[:200]}") from None


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
    keywords = meta.extra_keywords if "extra_keywords" in meta.header else {}
    if "phase_center_catalog" not in meta.header:
        if _text(meta.phase_type) != "drift" or "phase_center_dec" not in keywords:
            raise HeaderError(
                "phase_type is not 'drift' with a phase_center_dec, and no phase centre is given"
            )
        dec = np.degrees(float(keywords["phase_center_dec"]))
        return {
            "tracking": "drift",
            "dec_app_deg": dec,
            "ra_deg": None,
            "dec_deg": None,
            "field": "",
        }
    used = np.unique(np.asarray(meta.phase_center_id_array))
    if used.size != 1:
        raise HeaderError(f"{used.size} phase centres in one file; split it by phase centre")
    centre = meta.phase_center_catalog[int(used[0])]
    if centre["cat_type"] != "sidereal" or centre["cat_frame"] not in {"icrs", "fk5"}:
        kind = f"{centre['cat_type']}, {centre['cat_frame']}"
        raise HeaderError(f"phase centre is {kind}; sidereal icrs or fk5 is needed")
    sky = SkyCoord(centre["cat_lon"], centre["cat_lat"], unit="rad", frame=centre["cat_frame"])
    return {
        "tracking": "sidereal",
        "dec_app_deg": None,
        "ra_deg": float(sky.icrs.ra.deg),
        "dec_deg": float(sky.icrs.dec.deg),
        "field": _text(centre["cat_name"]),
    }


def _text(value) -> str:
    """HDF5 strings come as bytes or as text."""
    return value.decode() if isinstance(value, bytes) else str(value)

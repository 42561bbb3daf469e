"""Headers of UVH5 files: what the discovery, the conversion and the re-wrapping agree on.

The layout is that of the pyuvdata memo on UVH5, versions 0.1 to 1.3. Discovery opens a month of
files and a conversion is over in seconds, so the few items needed are taken by h5py: loading
pyuvdata takes a second. Tests hold what is read here against pyuvdata.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from contimg.core.disk import named, no_file, of_the_medium
from contimg.core.errors import ContimgError
from contimg.core.strips import linked

if TYPE_CHECKING:
    import h5py

DATASETS = ("visdata", "flags", "nsamples")
# what h5py and numpy are known to raise on broken files
READ_ERRORS = (
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
)
# datasets that writers compress
_COMPRESSIBLE = ("Header/time_array", "Header/uvw_array", *(f"Data/{d}" for d in DATASETS))
# datasets of one value a row, or more
_LONG = (*_COMPRESSIBLE, *(f"Header/{d}_array" for d in ("ant_1", "ant_2", "phase_center_id")))
_LARGE_BYTES = 2e8  # what declares less is read
_MOST_COMPRESSED = 1000  # times smaller in its file
# an antenna from the centre of the Earth, between its poles and the highest mountain
_EARTH_RADIUS_M, _EARTH_FLATTENING_M = 6.37e6, 2e4
_GEODETIC = ("latitude", "longitude", "altitude")


class HeaderError(ContimgError):
    """A UVH5 file that cannot be used; the message is the reason.

    `kind`: ``unreadable`` (not a UVH5 file, or a broken one), ``truncated``, ``access`` (the
    file could not be opened this time: permission, vanished, an I/O error), ``antennas`` or
    ``compression``.
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
    longest_m: float = float("nan")  # between any two antennas of the header; NaN without positions


def open_uvh5(path: str | Path) -> h5py.File:
    """A UVH5 file for reading, its compressed data readable.

    No lock is asked for: file systems without locks (NFS, Lustre) would refuse the file.
    Raises :class:`HeaderError` for a compression that nobody here knows, else what h5py does.
    """
    import h5py

    if why := no_file(path):
        raise HeaderError(why, "access")
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(h5py.File(path, "r", locking=False))
        for name in _LONG:
            if name in file:
                _need_bytes(file[name])
                _need_filters(file[name])
        stack.pop_all()  # it stays open: nothing is wrong with it
    return file


def _need_bytes(dataset: h5py.Dataset) -> None:
    """Refuse what declares far more than its file holds, before memory is taken for it."""
    declared, there = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if declared > max(_LARGE_BYTES, _MOST_COMPRESSED * there):
        raise HeaderError(
            f"{dataset.name} declares {declared / 1e9:.3g} GB, {there / 1e6:.3g} MB are in the file"
        )


def _need_filters(dataset: h5py.Dataset) -> None:
    """Load the filters of a compressed dataset (bitshuffle, LZ4 and others of hdf5plugin)."""
    from h5py import h5z

    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    if all(h5z.filter_avail(number) for number, *_ in filters):
        return
    import hdf5plugin  # noqa: F401  (registers its filters)

    for number, _, _, label in filters:
        if not h5z.filter_avail(number):
            raise HeaderError(
                f"{dataset.name} is compressed with HDF5 filter {number} ({text(label)}), which"
                " hdf5plugin does not have; decompress the file (h5repack -f NONE)",
                "compression",
            )


def read_header(path: str | Path) -> Header:
    """Read the header of a UVH5 file; :class:`HeaderError` says why it cannot."""
    try:
        with open_uvh5(path) as file:
            return _header(file["Header"])
    except HeaderError:
        raise
    except READ_ERRORS as error:
        # a block that cannot be read costs its file, a server that went away is nobody's fault
        if of_the_medium(error) and getattr(error, "errno", None) != errno.EIO:
            named(error, path)
            raise
        raise unreadable(error) from None


def unreadable(error: Exception) -> HeaderError:
    """What an exception of the reader says about the file."""
    if isinstance(error, OSError) and error.errno is not None:
        return HeaderError(f"no access: {os.strerror(error.errno)}", "access")
    kind = "truncated" if "truncated" in str(error) else "unreadable"
    return HeaderError(f"unreadable: {type(error).__name__}: {str(error)[:200]}", kind)


def geodetic(header: h5py.Group) -> tuple[float, float, float]:
    """Latitude [deg], longitude [deg] and height [m] of the telescope."""
    latitude, longitude, height = (float(header[k][()]) for k in _GEODETIC)
    return latitude, longitude, height


def text(value: Any) -> str:
    """HDF5 strings come as bytes or as text, of fixed length padded with blanks or zeros."""
    return (value.decode() if isinstance(value, bytes) else str(value)).strip("\0 ")


def integrations(
    times: NDArray[np.float64], integration_s: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(times of the integrations, number of the integration of each row), days in and out.

    Writers that compute the times row by row have them differ in the last bits (a JD near
    2.46e6 resolves 40 us): what lies nearer than a thousandth of an integration is one time.
    """
    number = linked(times, max(1e-3 * integration_s, 1e-4) / 86400)
    if not number.size:
        return np.empty(0), number
    first = np.full(number.max() + 1, np.inf)
    np.minimum.at(first, number, times)
    return first, number


def antenna_offsets(
    positions_m: NDArray[np.float64], centre_m: NDArray[np.float64]
) -> tuple[NDArray[np.float64], bool]:
    """Positions (antenna, 3) relative to the telescope at `centre_m` (ITRF), as UVH5 has them.

    Some writers put them from the centre of the Earth: that they did is the second value.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.linalg.norm(positions_m, axis=1)
    size = size[np.isfinite(size) & (size > 0)]
    absolute = bool(size.size and (np.abs(size - _EARTH_RADIUS_M) < _EARTH_FLATTENING_M).all())
    return (positions_m - centre_m if absolute else positions_m), absolute


def _header(header: h5py.Group) -> Header:
    rows = np.ravel(header["time_array"][()])
    if rows.size == 0 or not np.isfinite(rows).all():
        raise HeaderError("no valid times")
    freq = np.atleast_1d(np.squeeze(header["freq_array"][()]).astype(float))
    width = float(np.abs(np.ravel(header["channel_width"][()]).astype(float)[0]))
    integration = float(np.ravel(header["integration_time"][()])[0])
    if not (width > 0 and integration > 0 and np.isfinite(freq).all()):
        raise HeaderError("channel width, integration time or frequencies are not valid numbers")
    _check_antennas(header)
    times, _ = integrations(rows, integration)
    latitude, longitude, height = geodetic(header)
    mjd = times - 2400000.5
    return Header(
        telescope=text(header["telescope_name"][()]),
        latitude_deg=latitude,
        longitude_deg=longitude,
        height_m=height,
        first_mjd=float(mjd[0]),
        last_mjd=float(mjd[-1]),
        n_times=int(times.size),
        integration_s=integration,
        freq_min_hz=float(freq.min() - width / 2),
        freq_max_hz=float(freq.max() + width / 2),
        n_channels=int(freq.size),
        longest_m=_longest_m(header),
        **_pointing(header, latitude),
    )


def _check_antennas(header: h5py.Group) -> None:
    """One name and one position for every antenna number, or :class:`HeaderError`."""
    if "antenna_numbers" not in header:
        return  # the conversion says what else is missing
    wanted = header["antenna_numbers"].size
    for key in ("antenna_names", "antenna_positions"):
        if key in header and (found := header[key].shape[0]) != wanted:
            raise HeaderError(f"{wanted} antenna_numbers, but {found} {key}", "antennas")


def _longest_m(header: h5py.Group) -> float:
    """Longest distance of two antennas [m]; they may not both have taken data."""
    if "antenna_positions" not in header:
        return float("nan")
    positions = header["antenna_positions"][()].astype(float)
    positions = positions[np.isfinite(positions).all(axis=1)]
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    apart = apart[apart < _EARTH_RADIUS_M]  # one at the Earth's centre has no position
    return float(apart.max()) if apart.size else float("nan")


def _pointing(header: h5py.Group, latitude_deg: float) -> dict:
    """Phase centre: a drift scan on the meridian or one sidereal position."""
    if "phase_center_catalog" not in header:
        return _old_pointing(header, latitude_deg)
    used = np.unique(header["phase_center_id_array"][()])
    if used.size != 1:
        raise HeaderError(f"{used.size} phase centres in one file; split it by phase centre")
    centre = _phase_center(header["phase_center_catalog"], int(used[0]))
    kind, frame, name = (text(centre[key]) for key in ("cat_type", "cat_frame", "cat_name"))
    if kind == "unprojected":
        return _drift(latitude_deg, name, unprojected=True)
    if kind == "driftscan":
        return _drift(_driftscan_dec(centre, latitude_deg), name)
    if kind == "sidereal" and frame in {"icrs", "fk5"}:
        return _sidereal(centre["cat_lon"], centre["cat_lat"], frame, name)
    raise HeaderError(
        f"phase centre is {kind}, {frame}; sidereal (icrs, fk5), driftscan or unprojected is needed"
    )


def _phase_center(catalog: h5py.Group, number: int) -> dict[str, Any]:
    """One entry of the catalogue: a group by number, or (version 1.0) JSON by name."""
    import h5py

    for name, entry in catalog.items():
        if not isinstance(entry, h5py.Group):
            values = json.loads(text(entry[()]))
            if values["cat_id"] == number:
                return values | {"cat_name": name}
        elif int(name) == number:
            # an empty dataset stands for None
            return {k: None if v.shape is None else v[()] for k, v in entry.items()}
    raise HeaderError(f"phase centre {number} is not in the catalogue of the file")


def _old_pointing(header: h5py.Group, latitude_deg: float) -> dict:
    """Phase centre in the words of UVH5 before it had a catalogue of them."""
    keywords = header.get("extra_keywords", {})
    kind = text(header["phase_type"][()])
    if kind == "drift" and "phase_center_dec" in keywords:
        return _drift(np.degrees(float(keywords["phase_center_dec"][()])), "")
    if kind == "drift":
        return _drift(latitude_deg, "", unprojected=True)
    if kind == "phased" and {"phase_center_ra", "phase_center_dec"} <= set(header):
        frame = "icrs"
        if "phase_center_frame" in header:
            frame = text(header["phase_center_frame"][()])
        if frame in {"icrs", "fk5"}:
            ra, dec = (float(header[f"phase_center_{x}"][()]) for x in ("ra", "dec"))
            return _sidereal(ra, dec, frame, text(header["object_name"][()]))
    raise HeaderError(
        f"phase_type is {kind!r}; it must be 'drift', or 'phased' with a centre in icrs or fk5"
    )


def _driftscan_dec(centre: dict[str, Any], latitude: float) -> float:
    """Apparent declination [deg] of a fixed azimuth and elevation on the meridian."""
    azimuth, elevation = np.degrees(centre["cat_lon"]) % 360, np.degrees(centre["cat_lat"])
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

"""Antenna positions and uvw held against each other and against a reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray

from contimg.core.tables.antennas import AntennaTable, antenna_key
from contimg.validate.verdicts import Subject

_LONGEST_M = 1e5  # of any baseline of a connected array


def check_positions(
    subject: Subject,
    names: list[str],
    itrf_m: NDArray[np.float64],
    reference: AntennaTable,
    others: Sequence[str] = (),
) -> None:
    """Compare (antenna, 3) ITRF positions with a reference table, by name.

    `others` are antennas that the file knows and that take no data. What all antennas share, an
    error of the array's reference point, shifts sidereal times but no uvw; it is reported on its
    own and left out of the differences of the single antennas.
    """
    keys = [antenna_key(name) for name in names]
    known = [i for i, key in enumerate(keys) if key in reference.positions]
    lacking = [name for name, key in zip(names, keys, strict=True) if key not in reference.names]
    subject.hold(
        "antennas in the table of positions",
        not lacking,
        f"{len(lacking)} of {len(names)} antennas are not in it: {', '.join(lacking[:10])}",
        otherwise="warn" if known else "fail",
        value=len(known),
    )
    left = reference.unmatched([*names, *others])
    subject.hold(
        "rows of the table of positions",
        not left,
        f"{reference.path}: {len(left)} rows are no antenna of the file: {', '.join(left[:10])};"
        " rename or remove them",
        value=len(reference.names) - len(left),
    )
    if not known:
        return
    difference = itrf_m[known] - np.array([reference.positions[keys[i]] for i in known])
    shift = np.median(difference, axis=0)
    apart = np.linalg.norm(difference - shift, axis=1)
    subject.limit(
        "shift of the whole array", float(np.linalg.norm(shift)), "m", warn_above=1, fail_above=300
    )
    subject.limit("median position difference", float(np.median(apart)), "m", warn_above=0.05)
    subject.limit(
        "largest position difference", float(apart.max()), "m", warn_above=0.05, fail_above=1
    )
    worst = np.argsort(-apart)[:10]
    subject.data["position_differences_m"] = {
        names[known[i]]: round(float(apart[i]), 4) for i in worst if apart[i] > 0.01
    }


def expected_uvw(
    itrf_offsets_m: NDArray[np.float64],
    ant1: NDArray[np.int64],
    ant2: NDArray[np.int64],
    jd: float,
    location: EarthLocation,
    *,
    dec_app_rad: float | None = None,
    icrs_rad: tuple[float, float] | None = None,
) -> NDArray[np.float64]:
    """uvw (baseline, 3) [m] in the sense r2 - r1, by pyuvdata.

    Towards hour angle 0 at an apparent declination, or towards an ICRS position at `jd` (UTC).
    `itrf_offsets_m` (antenna, 3) may be relative to any point; `ant1`, `ant2` index it.
    """
    from pyuvdata.utils import get_lst_for_time
    from pyuvdata.utils.phasing import calc_app_coords, calc_frame_pos_angle, calc_uvw

    times = np.array([jd])
    lst = get_lst_for_time(jd_array=times, telescope_loc=location)
    if icrs_rad is None:
        app_ra, app_dec, angle = lst, np.array([dec_app_rad]), np.zeros(1)
    else:
        app_ra, app_dec = calc_app_coords(
            lon_coord=icrs_rad[0],
            lat_coord=icrs_rad[1],
            coord_frame="icrs",
            coord_type="sidereal",
            time_array=times,
            lst_array=lst,
            telescope_loc=location,
        )
        angle = calc_frame_pos_angle(
            time_array=times,
            app_ra=app_ra,
            app_dec=app_dec,
            telescope_loc=location,
            ref_frame="icrs",
        )
    n = len(ant1)
    return calc_uvw(
        app_ra=np.repeat(app_ra, n),
        app_dec=np.repeat(app_dec, n),
        frame_pa=np.repeat(angle, n),
        lst_array=np.repeat(lst, n),
        use_ant_pos=True,
        antenna_positions=itrf_offsets_m,
        antenna_numbers=np.arange(len(itrf_offsets_m)),
        ant_1_array=ant1,
        ant_2_array=ant2,
        telescope_lat=location.lat.rad,
        telescope_lon=location.lon.rad,
    )


def check_uvw(
    subject: Subject,
    uvw_m: NDArray[np.float64],
    expected_m: NDArray[np.float64],
    tolerance_m: float,
) -> None:
    """Compare uvw (row, 3) with those of the antenna positions; cross-correlations only."""
    if not check_uvw_values(subject, uvw_m):
        return
    apart = np.linalg.norm(uvw_m - expected_m, axis=1)
    turned = np.linalg.norm(uvw_m + expected_m, axis=1)
    subject.hold(
        "sense of uvw",
        bool(np.median(apart) <= np.median(turned)),
        "uvw have the opposite sign of the antenna positions",
    )
    subject.limit("median uvw difference", float(np.median(apart)), "m", warn_above=tolerance_m / 2)
    subject.limit("largest uvw difference", float(apart.max()), "m", warn_above=tolerance_m)


def check_uvw_values(subject: Subject, uvw_m: NDArray[np.float64]) -> bool:
    """uvw (row, 3) are finite, not all zero, and of a connected array."""
    if not subject.hold(
        "uvw finite", bool(np.isfinite(uvw_m).all()), "uvw hold values that are not finite"
    ):
        return False
    length = np.linalg.norm(uvw_m, axis=1)
    if not subject.hold("uvw present", bool((length > 0).any()), "all uvw are zero"):
        return False
    subject.limit("longest baseline", float(length.max()), "m", fail_above=_LONGEST_M)
    return True

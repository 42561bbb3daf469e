"""Checks of the antennas and the uvw of one UVH5 file."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray

from contimg.core.uvh5 import Header, antenna_offsets, text
from contimg.validate.geometry import check_positions, check_uvw, expected_uvw
from contimg.validate.tally import sampled
from contimg.validate.verdicts import Settings, Subject


def antennas(subject: Subject, header: dict[str, Any], file, settings: Settings) -> None:
    """Names, numbers and positions; autocorrelations."""
    numbers = _whole(header, "antenna_numbers")
    names = [text(name) for name in header["antenna_names"]]
    location = EarthLocation.from_geodetic(
        float(header["longitude"]), float(header["latitude"]), float(header["altitude"])
    )
    centre = np.array([float(x.to_value("m")) for x in location.geocentric])
    positions = np.asarray(header["antenna_positions"], dtype=float)
    shaped = len(names) == numbers.size and positions.shape == (numbers.size, 3)
    if not subject.hold("antenna table", shaped, "names, numbers and positions do not agree"):
        return
    positions, absolute = antenna_offsets(positions, centre)
    subject.hold(
        "antenna positions relative to the telescope",
        not absolute,
        "they are from the centre of the Earth, and are taken as such",
        otherwise="warn",
    )
    first, second = (_whole(header, name) for name in ("ant_1_array", "ant_2_array"))
    subject.hold("antenna numbers", len(set(numbers)) == numbers.size, "numbers are not unique")
    subject.hold("antenna names", len(set(names)) == len(names), "names are not unique")
    used = np.union1d(first, second)
    unknown = sorted(set(used.tolist()) - set(numbers.tolist()))
    if not subject.hold("antennas of the rows", not unknown, f"not in the table: {unknown[:10]}"):
        return
    index = {int(n): i for i, n in enumerate(numbers)}
    row1, row2 = (np.array([index[int(n)] for n in rows]) for rows in (first, second))
    at = np.array([index[int(n)] for n in used])
    finite = bool(np.isfinite(positions[at]).all())
    subject.hold("antenna positions", finite, "a position is not a finite number")
    autos = int((np.unique(first[first == second])).size)
    subject.hold(
        "autocorrelations",
        autos == used.size,
        f"of {autos} of {used.size} antennas",
        otherwise="warn",
        value=float(autos),
    )
    subject.facts |= {
        "ant1": row1,
        "ant2": row2,
        "positions_m": positions,
        "location": location,
        "antennas": [names[i] for i in at],
    }
    subject.data["antennas"] = int(used.size)
    if "lst_array" in header and "mjd" in subject.facts:
        with subject.attempt("sidereal times"):
            _sidereal_times(subject, header, location)
    if settings.positions is not None and finite:
        itrf = positions[at] + centre
        check_positions(subject, [names[i] for i in at], itrf, settings.positions, names)


def _whole(header: dict[str, Any], name: str) -> NDArray[np.int64]:
    """Numbers of antennas; :class:`ValueError` when they are none."""
    values = np.ravel(header[name])
    whole = values.astype(np.float64)  # text that is no number raises here
    if not (np.abs(whole) < 2**31).all() or (whole != np.rint(whole)).any():
        raise ValueError(f"{name} holds values that are no numbers of antennas")
    return whole.astype(np.int64)


def _sidereal_times(subject: Subject, header: dict[str, Any], location: EarthLocation) -> None:
    """Sidereal times of the file against its times and longitude."""
    from pyuvdata.utils import get_lst_for_time

    times = np.asarray(header["time_array"], dtype=float)
    turns = (get_lst_for_time(jd_array=times, telescope_loc=location) - header["lst_array"]) / (
        2 * np.pi
    )
    apart = float(np.abs(turns - np.rint(turns)).max()) * 86400
    subject.limit(
        "sidereal times against times and longitude", apart, "s", warn_above=1, fail_above=60
    )


def uvw(subject: Subject, header: dict[str, Any], settings: Settings) -> None:
    """uvw of the first, middle and last time against the antenna positions."""
    facts = subject.facts
    missing = [k for k in ("mjd", "ant1", "header") if k not in facts]
    if missing:
        subject.hold("uvw", False, "cannot be checked: see the failed checks of the header")
        return
    pointing: Header = facts["header"]
    times = np.asarray(header["time_array"], dtype=float)
    values = np.asarray(header["uvw_array"], dtype=float)
    cross = facts["ant1"] != facts["ant2"]
    rows, expected = [], []
    for mjd in facts["mjd"][sampled(facts["mjd"].size)]:
        mine = np.flatnonzero(cross & (np.abs(times - 2400000.5 - mjd) < 1e-8))
        drift = pointing.tracking == "drift"
        towards: dict[str, Any] = (
            {"dec_app_rad": np.radians(pointing.dec_app_deg)}
            if drift
            else {"icrs_rad": (np.radians(pointing.ra_deg), np.radians(pointing.dec_deg))}
        )
        rows.append(values[mine])
        expected.append(
            expected_uvw(
                facts["positions_m"],
                facts["ant1"][mine],
                facts["ant2"][mine],
                mjd + 2400000.5,
                facts["location"],
                **towards,
            )
        )
    check_uvw(subject, np.concatenate(rows), np.concatenate(expected), settings.uvw_tolerance_m)

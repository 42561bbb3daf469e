"""Groups and their manifest entries from the files that form them, all at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray

from contimg.core.coords import icrs_on_meridian, mjd_time
from contimg.core.grouping.rejections import Rejected
from contimg.core.groups import Group
from contimg.core.instrument import InstrumentOptions

_NUMBERS = (
    *("latitude_deg", "longitude_deg", "height_m", "first_mjd", "last_mjd", "n_times"),
    *("integration_s", "dec_app_deg", "ra_deg", "dec_deg", "freq_min_hz", "freq_max_hz"),
    "longest_m",
)
_ENTRY = ("path", "bytes", "content", "freq_min_hz", "freq_max_hz")


def build_groups(
    table: pd.DataFrame,
    members: list[NDArray[np.int64]],
    instrument: InstrumentOptions,
    rejected: list[Rejected],
) -> list[tuple[Group, list[dict]]]:
    """A :class:`Group` and its manifest entries for each set of rows of `table`.

    `members` are ascending in frequency. Without a known band, subbands that overlap in
    frequency are no group: their files go to `rejected`.
    """
    if instrument.band_mhz is None:
        members = [m for m in members if not _overlapping(table, m, rejected)]
    if not members:
        return []
    sizes = np.array([len(m) for m in members])
    flat = np.concatenate(members)
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    values = {
        name: _middle(table[name].to_numpy(dtype=float)[flat], sizes, offsets) for name in _NUMBERS
    }
    first_row = {
        name: table[name].to_numpy(dtype=object)[flat[offsets]].tolist()
        for name in ("telescope", "tracking", "field")
    }
    half = values["integration_s"] / 2 / 86400
    values["start_mjd"], values["end_mjd"] = values["first_mjd"] - half, values["last_mjd"] + half
    drift = np.array([tracking == "drift" for tracking in first_row["tracking"]])
    _add_centres(values, drift)
    if instrument.band_mhz is not None:
        values["freq_min_hz"] = np.full(len(sizes), instrument.band_mhz[0] * 1e6)
        values["freq_max_hz"] = np.full(len(sizes), instrument.band_mhz[1] * 1e6)
    else:
        values["freq_min_hz"] = table["freq_min_hz"].to_numpy(dtype=float)[flat[offsets]]
        values["freq_max_hz"] = table["freq_max_hz"].to_numpy(dtype=float)[
            flat[offsets + sizes - 1]
        ]
    lists = {name: column.tolist() for name, column in values.items()}
    names = group_names(values["first_mjd"])
    entries = _entries(table, flat, sizes)
    groups = []
    for k, name in enumerate(names):
        number = {key: column[k] for key, column in lists.items() if key in Group.__annotations__}
        number |= {
            "n_times": int(number["n_times"]),
            "dec_app_deg": number["dec_app_deg"] if drift[k] else None,
            "longest_m": number["longest_m"] if np.isfinite(number["longest_m"]) else None,
        }
        words = {key: column[k] for key, column in first_row.items()}
        groups.append((Group(group=name, subbands=int(sizes[k]), **number, **words), entries[k]))
    return groups


def group_names(first_mjd: NDArray[np.float64]) -> list[str]:
    """:func:`contimg.core.groups.group_name` of many groups."""
    return mjd_time(np.round(first_mjd * 86400) / 86400).strftime("%Y%m%dT%H%M%S").tolist()


def _middle(values: NDArray, sizes: NDArray, offsets: NDArray) -> NDArray[np.float64]:
    """The (lower) median of each group's values: one odd header does not move it."""
    number = np.repeat(np.arange(len(sizes)), sizes)
    return values[np.lexsort((values, number))][offsets + (sizes - 1) // 2]


def _add_centres(values: dict[str, NDArray], drift: NDArray[np.bool_]) -> None:
    """ICRS centre of every drifting tile: what transits at its mid-time."""
    places = np.stack([values[k] for k in ("longitude_deg", "latitude_deg", "height_m")], axis=1)
    mid = (values["start_mjd"] + values["end_mjd"]) / 2
    for place in np.unique(places[drift], axis=0):
        here = drift & (places == place).all(axis=1)
        ra, dec = icrs_on_meridian(
            np.radians(values["dec_app_deg"][here]),
            mjd_time(mid[here]),
            EarthLocation.from_geodetic(*place),
        )
        values["ra_deg"][here] = np.degrees(ra) % 360
        values["dec_deg"][here] = np.degrees(dec)


def _entries(table: pd.DataFrame, flat: NDArray, sizes: NDArray) -> list[list[dict]]:
    columns = [table[name].to_numpy()[flat].tolist() for name in _ENTRY]
    rows = [dict(zip(_ENTRY, row, strict=True)) for row in zip(*columns, strict=True)]
    ends = np.cumsum(sizes).tolist()
    return [rows[end - size : end] for end, size in zip(ends, sizes.tolist(), strict=True)]


def _overlapping(table: pd.DataFrame, rows: NDArray, rejected: list[Rejected]) -> bool:
    low, high, n = (
        table[name].to_numpy(dtype=float)[rows]
        for name in ("freq_min_hz", "freq_max_hz", "n_channels")
    )
    if (low[1:] >= high[:-1] - 0.25 * ((high - low) / n)[:-1]).all():
        return False
    reason = "frequencies of the subbands of its group overlap"
    paths = table["path"].to_numpy()[rows]
    rejected += [Rejected(path, reason, "frequency") for path in paths]
    return True

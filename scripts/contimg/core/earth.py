"""The rotation of the Earth, from the table that comes with astropy (astropy-iers-data).

Astropy reads this table through a general reader that takes more than a second, in every job;
here the columns are cut out where the format has them.
"""

from __future__ import annotations

from functools import cache

import astropy.units as u
import numpy as np
from astropy.utils import iers

# Columns of finals2000A (0-based slices), as its readme has them: Bulletin A, then Bulletin B.
_MJD = slice(7, 15)
_COLUMNS = {
    "PM_x": (slice(18, 27), slice(134, 144), u.arcsec),
    "PM_y": (slice(37, 46), slice(144, 154), u.arcsec),
    "UT1_UTC": (slice(58, 68), slice(154, 165), u.s),
    "dX_2000A": (slice(97, 106), slice(165, 175), u.mas),
    "dY_2000A": (slice(116, 125), slice(175, 185), u.mas),
}


@cache
def earth_orientation() -> iers.IERS:
    """UT1-UTC, polar motion and celestial pole offsets by day, final values before rapid ones.

    Days for which UT1-UTC is not even predicted are left out: times beyond raise in astropy.
    """
    import astropy_iers_data

    with open(astropy_iers_data.IERS_A_FILE) as file:
        lines = [line for line in file if line[_COLUMNS["UT1_UTC"][0]].strip()]
    table = iers.IERS({"MJD": [float(line[_MJD]) for line in lines] * u.d})
    for name, (rapid, final, unit) in _COLUMNS.items():
        texts = [line[final].strip() or line[rapid].strip() or "0" for line in lines]
        table[name] = np.array(texts, dtype=float) * unit
    return table


@cache
def covered_mjd() -> tuple[float, float]:
    """First and last MJD (UTC) for which the rotation of the Earth is known or predicted."""
    days = earth_orientation()["MJD"].to_value("d")
    return float(days.min()), float(days.max())


def outside(mjd: float) -> str:
    """What to say of a time that the table does not cover."""
    from astropy.time import Time

    first, last = (str(Time(day, format="mjd").iso)[:10] for day in covered_mjd())
    return (
        f"MJD {mjd:.3f} is outside the table of the Earth's rotation, {first} to {last};"
        " for later dates install a newer astropy-iers-data"
    )


def use_bundled_earth_orientation() -> None:
    """Make astropy take its times from the table above; a job never goes to the network."""
    iers.conf.auto_download = False
    # predictions do not go bad because the lock file is a month old
    iers.conf.auto_max_age = None
    iers.earth_orientation_table.set(earth_orientation())

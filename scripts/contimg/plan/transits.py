"""``contimg transits``: when calibrators, or a position, cross the meridian."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from astropy.coordinates import EarthLocation
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from contimg.core.beam import PrimaryBeam
from contimg.core.calibrators import read_calibrators
from contimg.core.catalog import flux_density
from contimg.core.command import Command
from contimg.core.coords import SIDEREAL_DAY, apparent, mjd_time
from contimg.core.errors import ContimgError
from contimg.core.instrument import InstrumentOptions
from contimg.core.records import atomic
from contimg.core.site import SiteFiles
from contimg.core.window import utc_of, window
from contimg.plan.options import PlanOptions

# centre of the band of DSA-110; used where the options name no band
_DEFAULT_FREQ_HZ = 1405e6


class TransitFiles(SiteFiles):
    """What is looked at, from where and when, and where the table goes."""

    calibrators: Path = Field(
        PlanOptions.model_fields["calibrators"].default, description="table of the calibrators"
    )
    use: list[str] | None = Field(None, description="only these calibrators of the table")
    ra_deg: float | None = Field(
        None, ge=0, lt=360, description="ICRS right ascension of a position, instead of the table"
    )
    dec_deg: float | None = Field(
        None, ge=-90, le=90, description="ICRS declination of that position [deg]"
    )
    pointing_dec_deg: float | None = Field(
        None, ge=-90, le=90, description="apparent pointing declination: adds the beam response"
    )
    freq_mhz: float | None = Field(
        None,
        gt=0,
        description="frequency of response and flux density [MHz] (centre of the band if unset)",
    )
    min_elevation_deg: float = Field(
        0.0, description="leave out transits below this elevation [deg]"
    )
    table: Path | None = Field(None, description="table to write (CSV)")


def run(files: TransitFiles, instrument: InstrumentOptions) -> None:
    """Print the transits in order of time; write the table."""
    start, end, note = window(files.since, files.until, files.days)
    sources = positions(files.calibrators, files.use, files.ra_deg, files.dec_deg)
    result = transit_table(sources, start, end, files.location)
    below = result["elevation_deg"] < files.min_elevation_deg
    result = result[~below].reset_index(drop=True)
    if files.pointing_dec_deg is not None:
        freq = frequency(files.freq_mhz, instrument)
        result = with_response(result, sources, files.pointing_dec_deg, freq, instrument)
    print(f"{note}; {len(sources)} sources, {len(result)} transits")
    if below.any():
        print(f"{int(below.sum())} transits below {files.min_elevation_deg:g} deg are left out")
    if len(result):
        print(_layout(result))
    if files.table is not None:
        with atomic(files.table) as partial:
            result.to_csv(partial, index=False)


def positions(
    calibrators: Path, use: list[str] | None, ra_deg: float | None, dec_deg: float | None
) -> pd.DataFrame:
    """The sources asked for: one position, or rows of the table of calibrators."""
    if (ra_deg is None) != (dec_deg is None):
        raise ContimgError("--ra-deg and --dec-deg go together")
    if ra_deg is not None:
        return pd.DataFrame({"name": ["position"], "ra_deg": [ra_deg], "dec_deg": [dec_deg]})
    table = read_calibrators(calibrators)
    if use is not None:
        unknown = sorted(set(use) - set(table["name"]))
        if unknown:
            raise ContimgError(f"{calibrators}: no calibrator named {', '.join(unknown)}")
        table = table[table["name"].isin(use)]
    return table.reset_index(drop=True)


def transit_table(
    sources: pd.DataFrame, start_mjd: float, end_mjd: float, location: EarthLocation
) -> pd.DataFrame:
    """Upper transits of all sources in the closed window, in order of time.

    Columns ``name``, ``transit_utc``, ``mjd`` (UTC), ``ra_app_deg`` (of date, from the true
    equinox: the local apparent sidereal time of the transit), ``dec_app_deg`` (topocentric, of
    date) and ``elevation_deg``, without refraction.
    """
    ra, dec = (np.radians(sources[c].to_numpy(dtype=float)) for c in ("ra_deg", "dec_deg"))
    index, mjd, dec_app = transits(ra, dec, start_mjd, end_mjd, location)
    order = np.lexsort((index, mjd))
    index, mjd, dec_app = index[order], mjd[order], dec_app[order]
    time = mjd_time(mjd)
    lst = time.sidereal_time("apparent", longitude=location.lon).deg if mjd.size else mjd
    elevation = 90 - np.abs(location.lat.deg - np.degrees(dec_app))
    return pd.DataFrame(
        {
            "name": sources["name"].to_numpy()[index],
            "transit_utc": utc_of(mjd),
            "mjd": np.round(mjd, 8),
            "ra_app_deg": np.round(lst % 360, 6),
            "dec_app_deg": np.round(np.degrees(dec_app), 6),
            "elevation_deg": np.round(elevation, 4),
        }
    )


def transits(
    ra_rad: ArrayLike,
    dec_rad: ArrayLike,
    start_mjd: float,
    end_mjd: float,
    location: EarthLocation,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Upper transits of many ICRS positions in the closed window, by their apparent places.

    Returns, one entry a transit: index of the position, MJD UTC, apparent declination [rad].
    The same answer as :func:`contimg.core.coords.transits_between` (to 1 ms) at a small part of
    its cost: one place each at mid-window gives times good to seconds, and one correction at
    those times is exact, as an apparent place moves by less than 0.5 arcsec a day.
    """
    from astropy import units
    from astropy.coordinates.erfa_astrom import ErfaAstromInterpolator, erfa_astrom

    ra, dec = np.atleast_1d(ra_rad), np.atleast_1d(dec_rad)
    middle = (start_mjd + end_mjd) / 2
    hour_angle, _ = apparent(ra, dec, mjd_time(middle), location)
    nearest = middle - hour_angle / (2 * np.pi) * SIDEREAL_DAY
    reach = int((end_mjd - start_mjd) / 2 / SIDEREAL_DAY) + 2
    turns = np.arange(-reach, reach + 1)
    guess = (nearest[:, None] + turns * SIDEREAL_DAY).ravel()
    index = np.repeat(np.arange(ra.size), turns.size)
    near = (guess > start_mjd - 0.01) & (guess < end_mjd + 0.01)
    guess, index = guess[near], index[near]
    if guess.size == 0:
        return index, guess, guess
    # the Earth's place and attitude, computed once an hour: good to 1e-9 rad in between
    with erfa_astrom.set(ErfaAstromInterpolator(1 * units.hour)):
        hour_angle, dec_app = apparent(ra[index], dec[index], mjd_time(guess), location)
    mjd = guess - hour_angle / (2 * np.pi) * SIDEREAL_DAY
    inside = (mjd >= start_mjd) & (mjd <= end_mjd)
    return index[inside], mjd[inside], dec_app[inside]


def with_response(
    result: pd.DataFrame,
    sources: pd.DataFrame,
    pointing_dec_deg: float,
    freq_hz: float,
    instrument: InstrumentOptions,
) -> pd.DataFrame:
    """Add ``pb``, the power response at transit, and ``apparent_flux_jy``.

    At its transit a source is off the axis by the difference of the apparent declinations.
    """
    offset = np.radians(result["dec_app_deg"].to_numpy() - pointing_dec_deg)
    pb = PrimaryBeam(instrument).power(offset, freq_hz)
    flux = np.full(len(result), np.nan)
    if "flux_jy" in sources:
        known = dict(zip(sources["name"], flux_density(sources, freq_hz)[:, 0], strict=True))
        flux = result["name"].map(known).to_numpy(dtype=float)
    return result.assign(pb=np.round(pb, 4), apparent_flux_jy=np.round(pb * flux, 4))


def frequency(freq_mhz: float | None, instrument: InstrumentOptions) -> float:
    """Frequency of the responses [Hz]: as given, or the centre of the band."""
    if freq_mhz is not None:
        return freq_mhz * 1e6
    if instrument.band_mhz is not None:
        return sum(instrument.band_mhz) / 2 * 1e6
    return _DEFAULT_FREQ_HZ


def _layout(result: pd.DataFrame) -> str:
    digits = {"mjd": 6, "ra_app_deg": 4, "dec_app_deg": 4, "elevation_deg": 2}
    digits |= {"pb": 3, "apparent_flux_jy": 3}
    shown = result.copy()
    for column, places in digits.items():
        if column in shown:
            shown[column] = [f"{value:.{places}f}" for value in shown[column]]
    return shown.to_string(index=False)


COMMAND = Command(
    help="List the meridian transits of calibrators or of a position in a window of time.",
    files=TransitFiles,
    options=(InstrumentOptions,),
    run=run,
)

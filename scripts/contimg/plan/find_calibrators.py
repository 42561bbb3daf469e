"""``contimg find-calibrators``: which calibrators suit a pointing, and are there data of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.core.beam import PrimaryBeam
from contimg.core.calibrators import may_set_scale, read_calibrators
from contimg.core.catalog import flux_density
from contimg.core.command import Command
from contimg.core.coords import apparent, mjd_time, separation
from contimg.core.errors import ContimgError
from contimg.core.instrument import InstrumentOptions
from contimg.core.parquet import read_parquet
from contimg.core.paths import path
from contimg.core.plans import latest
from contimg.core.records import atomic
from contimg.core.site import SiteFiles
from contimg.core.window import utc, window
from contimg.plan.options import PlanOptions
from contimg.plan.transits import frequency, transits

_PLAN = PlanOptions.model_fields


class FindFiles(SiteFiles):
    """The pointing, what a calibrator must have, and where the table goes."""

    calibrators: Path = Field(_PLAN["calibrators"].default, description="table of the calibrators")
    pointing_dec_deg: float | None = Field(
        None, ge=-90, le=90, description="apparent pointing declination: the whole strip [deg]"
    )
    ra_deg: float | None = Field(
        None, ge=0, lt=360, description="ICRS right ascension of a position to calibrate [deg]"
    )
    dec_deg: float | None = Field(
        None, ge=-90, le=90, description="ICRS declination of that position [deg]"
    )
    radius_deg: float | None = Field(
        None, gt=0, description="only calibrators this near to the position (any if unset) [deg]"
    )
    min_pb: float = Field(
        _PLAN["min_pb"].default, ge=0, le=1, description=str(_PLAN["min_pb"].description)
    )
    min_flux_jy: float = Field(
        _PLAN["min_flux_jy"].default, ge=0, description=str(_PLAN["min_flux_jy"].description)
    )
    freq_mhz: float | None = Field(
        None,
        gt=0,
        description="frequency of response and flux density [MHz] (centre of the band if unset)",
    )
    results: str | None = Field(
        None, description="results directory whose inventory is searched for data of the transits"
    )
    table: Path | None = Field(None, description="table to write (CSV)")


def run(files: FindFiles, instrument: InstrumentOptions) -> None:
    """Print the calibrators that suit, the brightest first; write the table."""
    start, end, note = window(files.since, files.until, files.days)
    sources = read_calibrators(files.calibrators)
    groups = None if files.results is None else read_groups(files.results)
    pointing = pointing_of(files, (start + end) / 2)
    if files.radius_deg is not None:
        if files.ra_deg is None:
            raise ContimgError("--radius-deg needs the position: --ra-deg and --dec-deg")
        angles = (sources["ra_deg"], sources["dec_deg"], files.ra_deg, files.dec_deg)
        away = np.degrees(separation(*(np.radians(a) for a in angles)))
        sources = sources[away <= files.radius_deg]
    result = find(sources, pointing, start, end, files, instrument, groups)
    print(f"{note}; pointing at apparent declination {pointing:.4f} deg")
    print(
        f"{len(result)} of {len(sources)} calibrators with response >= {files.min_pb:g} "
        f"and apparent flux density >= {files.min_flux_jy:g} Jy at transit"
    )
    if len(result):
        print(result.to_string(index=False))
    if files.table is not None:
        with atomic(files.table) as partial:
            result.to_csv(partial, index=False)


def pointing_of(files: FindFiles, mjd: float) -> float:
    """Apparent declination of the beam axis [deg]: as given, or of the position at that date."""
    if (files.ra_deg is None) != (files.dec_deg is None):
        raise ContimgError("--ra-deg and --dec-deg go together")
    if files.pointing_dec_deg is not None:
        return files.pointing_dec_deg
    if files.ra_deg is None or files.dec_deg is None:
        raise ContimgError("give --pointing-dec-deg, or --ra-deg and --dec-deg")
    angles = np.radians([files.ra_deg, files.dec_deg])
    return float(np.degrees(apparent(*angles, mjd_time(mjd), files.location)[1]))


def find(
    sources: pd.DataFrame,
    pointing_dec_deg: float,
    start_mjd: float,
    end_mjd: float,
    files: FindFiles,
    instrument: InstrumentOptions,
    groups: pd.DataFrame | None,
) -> pd.DataFrame:
    """One row a calibrator that suits, by apparent flux density at its first transit.

    The offset from the axis is that of the apparent declinations at the transit: J2000
    declinations are up to 0.15 deg away from those by now. A calibrator of unknown flux density
    is listed last if nothing but its flux density speaks against it.
    """
    freq = frequency(files.freq_mhz, instrument)
    flux = flux_density(sources, freq)[:, 0]
    ra, dec = (np.radians(sources[c].to_numpy(dtype=float)) for c in ("ra_deg", "dec_deg"))
    index, mjd, dec_app = transits(ra, dec, start_mjd, end_mjd, files.location)
    beam = PrimaryBeam(instrument)
    rows = []
    for number, source in enumerate(sources.itertuples(index=False)):
        mine = np.flatnonzero(index == number)
        if mine.size == 0:
            continue
        mine = mine[np.argsort(mjd[mine])]
        offset = dec_app[mine[0]] - np.radians(pointing_dec_deg)
        pb = float(beam.power(offset, freq))
        if pb < files.min_pb or pb * flux[number] < files.min_flux_jy:
            continue
        row = {
            "name": source.name,
            "apparent_flux_jy": round(pb * float(flux[number]), 3),
            "flux_jy": round(float(flux[number]), 3),
            "pb": round(pb, 4),
            "offset_deg": round(float(np.degrees(offset)), 4),
            "role": source.role,
            "sets_scale": "yes" if may_set_scale(source)[0] else "no",
            "spectrum": _spectrum(source),
            "first_transit_utc": utc(mjd[mine[0]]),
            "transits": int(mine.size),
        }
        if groups is not None:
            row |= _data(groups, mjd[mine], pointing_dec_deg)
        rows.append(row | {"variable": source.variable, "remarks": source.remarks})
    rows.sort(key=lambda r: (np.nan_to_num(-r["apparent_flux_jy"], nan=np.inf), r["name"]))
    return pd.DataFrame(rows)


def read_groups(results: str) -> pd.DataFrame:
    """The groups of an inventory."""
    table = Path(path("groups", results, plan=latest(results)))
    groups = read_parquet(table, "table of groups")
    missing = {"group", "start_mjd", "end_mjd", "dec_app_deg", "dec_deg"} - set(groups.columns)
    if len(groups) and missing:
        raise ContimgError(f"{table}: lacks {', '.join(sorted(missing))}; run contimg discover")
    return groups


def _data(groups: pd.DataFrame, mjd, pointing_dec_deg: float) -> dict[str, str | int]:
    """Which group holds the first transit, and of how many transits there are data.

    A group counts when it holds the time and points where the search does, to the tolerance
    with which the plan takes calsets and tiles for one strip.
    """
    pointing = groups["dec_app_deg"].astype(float) if len(groups) else pd.Series(dtype=float)
    if len(groups):
        pointing = pointing.fillna(groups["dec_deg"].astype(float))
    here = groups[np.abs(pointing - pointing_dec_deg) <= _PLAN["dec_tolerance_deg"].default]
    found = []
    for time in mjd:
        holds = here[(here["start_mjd"] <= time) & (time <= here["end_mjd"])] if len(here) else here
        found.append(str(holds["group"].iloc[0]) if len(holds) else "")
    held = [name for name in found if name]
    return {
        "in_group": found[0] or "no data",
        "transits_with_data": len(held),
        "last_group": held[-1] if held else "",
    }


def _spectrum(source) -> str:
    """Where the spectral shape comes from."""
    if source.standard:
        return source.standard
    if source.log_poly:
        return f"polynomial of order {len(source.log_poly.split()) - 1}"
    if np.isfinite(source.flux_jy) and np.isfinite(source.spectral_index):
        return f"power law {source.spectral_index:+.2f}"
    return "flux density unknown"


COMMAND = Command(
    help="List the calibrators that suit a pointing: response, apparent flux, next transit, data.",
    files=FindFiles,
    options=(InstrumentOptions,),
    run=run,
    by_hand=True,
)

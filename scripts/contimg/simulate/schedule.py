"""When the telescope observes: one tile about every transit of the calibrator, or several.

Computed from the options alone, so that a run can be planned before any file exists.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from contimg.core.coords import apparent, icrs_on_meridian, mjd_time, transit_mjd
from contimg.core.errors import ContimgError
from contimg.core.groups import Group, group_name
from contimg.core.instrument import InstrumentOptions
from contimg.simulate import array
from contimg.simulate.options import SimulateOptions

BAND_MIN_HZ = 1311.25e6
BAND_MAX_HZ = 1498.75e6


def schedule(simulate: SimulateOptions, instrument: InstrumentOptions) -> list[Group]:
    """All groups that are observed, in time. One apparent declination throughout."""
    dec_app = pointing_dec_rad(simulate)
    tile_days = simulate.n_times * simulate.integration_s / 86400
    groups = []
    for epoch in range(simulate.epochs):
        transit = transit_of_epoch(simulate, epoch)
        tiles = simulate.wide_tiles if epoch in simulate.wide_epochs else 1
        # Groups are named to the second: whole seconds keep names safe from rounding.
        first_mid = transit - (simulate.n_times - 1) / 2 * simulate.integration_s / 86400
        first_mid = round(first_mid * 86400) / 86400
        start = first_mid - simulate.integration_s / 2 / 86400
        for tile in range(tiles):
            offset = (tile - tiles // 2) * tile_days
            groups.append(_group(simulate, instrument, dec_app, start + offset))
    return groups


def find_group(groups: list[Group], name: str) -> Group:
    """The group of that name; :class:`ContimgError` when it is not scheduled."""
    for group in groups:
        if group.group == name:
            return group
    raise ContimgError(
        f"group {name} is not in the simulated schedule of {len(groups)} groups "
        f"({groups[0].group} to {groups[-1].group}); check start_date, epochs and cadence_days"
    )


def first_transit(simulate: SimulateOptions) -> float:
    """MJD UTC of the calibrator's first transit on or after 0h of the start date."""
    midnight = Time(simulate.start_date.isoformat(), scale="utc").mjd
    return _transit_after(*_calibrator(simulate), midnight)


def transit_of_epoch(simulate: SimulateOptions, epoch: int) -> float:
    """MJD UTC of the transit that epoch number `epoch` is centred on."""
    nominal = first_transit(simulate) + epoch * simulate.cadence_days
    return transit_mjd(*_calibrator(simulate), nominal, array.location())


def epoch_of(simulate: SimulateOptions, mjd: float) -> int:
    """Number of the epoch that a time (MJD UTC) belongs to."""
    return round((mjd - first_transit(simulate)) / simulate.cadence_days)


def pointing_dec_rad(simulate: SimulateOptions) -> float:
    """Apparent declination of the pointing [rad], fixed at the first epoch."""
    time = mjd_time(first_transit(simulate))
    _, dec = apparent(*_calibrator(simulate), time, array.location())
    return float(dec) + math.radians(simulate.pointing_offset_deg)


def integration_mids(group: Group) -> NDArray[np.float64]:
    """MJD UTC of the mid-point of every integration of a group."""
    return group.start_mjd + (np.arange(group.n_times) + 0.5) * group.integration_s / 86400


def subband_channels(group: Group, channels_per_subband: int) -> NDArray[np.float64]:
    """Channel centres [Hz], shape (subbands, channels): descending, subband 0 the highest."""
    n = group.subbands * channels_per_subband
    width = (group.freq_max_hz - group.freq_min_hz) / n
    centres = group.freq_max_hz - (np.arange(n) + 0.5) * width
    return centres.reshape(group.subbands, channels_per_subband)


def _calibrator(simulate: SimulateOptions) -> tuple[float, float]:
    return math.radians(simulate.calibrator_ra_deg), math.radians(simulate.calibrator_dec_deg)


@functools.lru_cache(maxsize=8)
def _transit_after(ra_rad: float, dec_rad: float, mjd: float) -> float:
    """First transit (MJD UTC) at or after a time; asked for again and again."""
    transit = transit_mjd(ra_rad, dec_rad, mjd, array.location())
    if transit >= mjd:
        return transit
    return transit_mjd(ra_rad, dec_rad, transit + 1, array.location())


def _group(
    simulate: SimulateOptions, instrument: InstrumentOptions, dec_app: float, start: float
) -> Group:
    length = simulate.n_times * simulate.integration_s / 86400
    ra, dec = icrs_on_meridian(dec_app, mjd_time(start + length / 2), array.location())
    return Group(
        group=group_name(start + simulate.integration_s / 2 / 86400),
        telescope=instrument.telescope,
        latitude_deg=array.TEE_LAT_DEG,
        longitude_deg=array.TEE_LON_DEG,
        height_m=array.TEE_HEIGHT_M,
        start_mjd=start,
        end_mjd=start + length,
        integration_s=simulate.integration_s,
        n_times=simulate.n_times,
        tracking="drift",
        dec_app_deg=math.degrees(dec_app),
        ra_deg=math.degrees(float(ra)) % 360,
        dec_deg=math.degrees(float(dec)),
        field="",
        freq_min_hz=BAND_MIN_HZ,
        freq_max_hz=BAND_MAX_HZ,
        subbands=instrument.subbands,
        longest_m=array.longest_m(),
    )

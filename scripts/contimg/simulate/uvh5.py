"""Writing a subband file exactly as the instrument does: the UVH5 of its correlator.

Old-style header (``phase_type`` drift, no phase-centre catalogue), channels descending, one
frozen float32 uvw for all times, autos included, baselines in the order 1-1, 1-2, 2-2, 1-3.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from astropy.time import Time, TimeDelta
from numpy.typing import NDArray

from contimg.core.coords import mjd_time
from contimg.core.groups import Group
from contimg.core.records import atomic
from contimg.simulate import array
from contimg.simulate.instrument import N_SAMPLES, group_key
from contimg.simulate.schedule import integration_mids
from contimg.simulate.visibilities import uvw_m

_CLOCK_JITTER_S = 3.0
_POLARIZATIONS = (-5, -6)  # XX, YY


def file_name(group: Group, subband: int) -> str:
    """Name of a subband file: the wall clock of its node when it opened the file.

    The clocks of the nodes differ by up to 3 s; which way does not depend on the seed, so that
    another simulation into the same directory replaces the files.
    """
    jitter = np.random.default_rng([group_key(group), subband]).uniform(0, _CLOCK_JITTER_S)
    opened = mjd_time(group.start_mjd) + TimeDelta(jitter, format="sec")
    return f"{Time(opened, precision=0).isot}_sb{subband:02d}.hdf5"


def write_subband(
    path: Path,
    group: Group,
    numbers: NDArray[np.int64],
    positions_m: NDArray[np.float64],
    dish_diameter_m: float,
    freq_hz: NDArray[np.float64],
    channel_width_hz: float,
    visibilities: NDArray[np.complex64],
) -> None:
    """Write one file atomically.

    `numbers`: stations that take data; `positions_m` theirs, in the meridian frame; `freq_hz`
    (channels,) descending; `visibilities` (times, baselines, channels, 2) in correlator units.
    """
    n_times, n_baselines, n_channels, n_pols = visibilities.shape
    with atomic(path) as partial, h5py.File(partial, "w", locking=False) as file:
        header = file.create_group("Header")
        _write_array(header, numbers, n_times, dish_diameter_m)
        _write_times(header, group, n_baselines)
        _write_pointing(header, group, positions_m, n_times)
        header["Nfreqs"] = n_channels
        header["Npols"] = n_pols
        header["Nspws"] = 1
        header["spw_array"] = np.array([1])
        header["freq_array"] = freq_hz[None, :]
        header["channel_width"] = channel_width_hz
        header["polarization_array"] = np.array(_POLARIZATIONS)
        header["vis_units"] = np.bytes_("uncalib")
        header["instrument"] = np.bytes_("DSA")
        header["object_name"] = np.bytes_("search")
        header["history"] = np.bytes_("simulated")
        data = file.create_group("Data")
        shape = (n_times * n_baselines, 1, n_channels, n_pols)
        data["visdata"] = visibilities.reshape(shape)
        data["flags"] = np.zeros(shape, dtype=bool)
        data["nsamples"] = np.full(shape, N_SAMPLES, dtype=np.float32)


def _write_array(
    header: h5py.Group, numbers: NDArray[np.int64], n_times: int, dish_diameter_m: float
) -> None:
    """Site, stations (all 117 of them) and the two of every row, counted from zero."""
    first, second = array.baselines(len(numbers))
    header["latitude"] = array.TEE_LAT_DEG
    header["longitude"] = array.TEE_LON_DEG
    header["altitude"] = array.TEE_HEIGHT_M
    header["Nants_telescope"] = array.N_STATIONS
    header["Nants_data"] = len(numbers)
    header["antenna_names"] = np.array([str(n + 1) for n in range(array.N_STATIONS)], dtype="S4")
    header["antenna_numbers"] = np.arange(array.N_STATIONS)
    header["antenna_positions"] = array.itrf_offsets()
    header["antenna_diameters"] = np.full(array.N_STATIONS, dish_diameter_m)
    header["ant_1_array"] = np.tile(numbers[first] - 1, n_times)
    header["ant_2_array"] = np.tile(numbers[second] - 1, n_times)


def _write_times(header: h5py.Group, group: Group, n_baselines: int) -> None:
    """Times [JD UTC] and sidereal times [rad] at mid-integration, repeated per baseline."""
    times = mjd_time(integration_mids(group))
    lst = times.sidereal_time("apparent", longitude=group.location.lon).rad
    header["Ntimes"] = group.n_times
    header["Nbls"] = n_baselines
    header["Nblts"] = group.n_times * n_baselines
    header["time_array"] = np.repeat(times.jd, n_baselines)
    header["integration_time"] = np.full(group.n_times * n_baselines, group.integration_s)
    header["lst_array"] = np.repeat(lst, n_baselines)


def _write_pointing(
    header: h5py.Group, group: Group, positions_m: NDArray[np.float64], n_times: int
) -> None:
    """Phase centre, and uvw for it: the same for all times."""
    dec = np.radians(group.dec_app_deg)
    header["phase_type"] = np.bytes_("drift")
    header["phase_center_app_dec"] = dec
    header["telescope_name"] = np.bytes_(group.telescope)
    header["uvw_array"] = np.tile(uvw_m(positions_m, dec).astype(np.float32), (n_times, 1))
    extra = header.create_group("extra_keywords")
    extra["phase_center_dec"] = dec
    extra["ha_phase_center"] = 0.0
    extra["phase_center_epoch"] = np.bytes_("HADEC")

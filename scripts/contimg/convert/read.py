"""Reading a group's UVH5 files on a regular grid of times and cross-correlation baselines."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray

from contimg.core.errors import DataQualityError

# UVH5 polarisation number -> CASA Stokes enumeration
PARALLEL_HANDS = {-5: 9, -6: 12, -1: 5, -2: 8}


@dataclasses.dataclass(frozen=True)
class Layout:
    """What all subbands of a group share."""

    times_jd: NDArray[np.float64]  # (time,)
    ant1: NDArray[np.int64]  # (baseline,) index into the antenna table
    ant2: NDArray[np.int64]
    time_index: NDArray[np.int64]  # (row of the file,), -1 for autocorrelations
    base_index: NDArray[np.int64]
    uvw_m: NDArray[np.float64]  # (time, baseline, 3), as in the file
    polarisations: list[int]  # UVH5 numbers of the parallel hands
    pol_index: list[int]
    integration_s: float
    location: EarthLocation
    antenna_names: list[str]
    antenna_positions_m: NDArray[np.float64]  # (antenna, 3) ECEF relative to the telescope
    antenna_diameter_m: float | None


def read_layout(path: str) -> Layout:
    """Layout of a group from one of its files."""
    from pyuvdata.uvdata import FastUVH5Meta

    with contextlib.closing(FastUVH5Meta(path)) as meta:
        times = np.asarray(meta.time_array, dtype=float)
        numbers = np.asarray(meta.antenna_numbers)
        order = np.argsort(numbers)
        index = {int(n): i for i, n in enumerate(numbers[order])}
        first = np.array([index[int(n)] for n in meta.ant_1_array])
        second = np.array([index[int(n)] for n in meta.ant_2_array])
        polarisations = [int(p) for p in np.asarray(meta.polarization_array)]
        latitude, longitude, height = meta.telescope_location_lat_lon_alt_degrees
        names = np.asarray(meta.antenna_names)[order]
        has_diameters = "antenna_diameters" in meta.header
        diameter = float(np.median(meta.antenna_diameters)) if has_diameters else None
        positions = np.asarray(meta.antenna_positions, dtype=float)[order]
        uvw = np.asarray(meta.uvw_array, dtype=float)
        integration = float(np.ravel(np.asarray(meta.integration_time))[0])
    wanted = [p for p in (-5, -6, -1, -2) if p in polarisations]
    if len(wanted) != 2:
        raise DataQualityError(f"{path}: polarisations {polarisations} hold no pair XX,YY or RR,LL")
    unique_times, time_index = np.unique(times, return_inverse=True)
    cross = first != second
    pairs = np.unique(np.stack([first[cross], second[cross]], axis=1), axis=0)
    key = {(int(a), int(b)): i for i, (a, b) in enumerate(pairs)}
    base_index = np.array(
        [key.get((int(a), int(b)), -1) for a, b in zip(first, second, strict=True)]
    )
    time_index = np.where(cross, time_index, -1)
    grid = np.full((unique_times.size, len(pairs), 3), np.nan)
    grid[time_index[cross], base_index[cross]] = uvw[cross]
    return Layout(
        times_jd=unique_times,
        ant1=pairs[:, 0],
        ant2=pairs[:, 1],
        time_index=time_index,
        base_index=base_index,
        uvw_m=grid,
        polarisations=wanted,
        pol_index=[polarisations.index(p) for p in wanted],
        integration_s=integration,
        location=EarthLocation.from_geodetic(longitude, latitude, height),
        antenna_names=[n.decode() if isinstance(n, bytes) else str(n) for n in names],
        antenna_positions_m=positions,
        antenna_diameter_m=diameter,
    )


@dataclasses.dataclass
class Subband:
    """One subband on the grid (time, baseline, channel, corr), channels ascending."""

    freq_hz: NDArray[np.float64]
    width_hz: float
    data: NDArray[np.complex64]
    flags: NDArray[np.bool_]
    nsamples: NDArray[np.float32]


def read_subband(path: str, layout: Layout) -> Subband:
    """Read the data of one file; rows the file lacks are flagged."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            header, group = file["Header"], file["Data"]
            freq = np.atleast_1d(np.squeeze(header["freq_array"][()]).astype(float))
            width = float(np.abs(np.ravel(header["channel_width"][()])[0]))
            visibilities = group["visdata"][()]
            flags = group["flags"][()]
            nsamples = group["nsamples"][()]
    except (OSError, KeyError) as error:
        raise DataQualityError(f"{path}: {error}") from None
    if visibilities.dtype.names:  # integer or half-float pairs of the UVH5 memo
        visibilities = visibilities["r"] + np.complex64(1j) * visibilities["i"]
    expected = (layout.time_index.size, freq.size)
    shape = (visibilities.shape[0], visibilities.shape[-2])
    if shape != expected or flags.shape != visibilities.shape:
        raise DataQualityError(f"{path}: data are {visibilities.shape}, expected {expected}")
    order = np.argsort(freq)
    return Subband(
        freq_hz=freq[order],
        width_hz=width,
        data=_grid(visibilities, layout, order, np.complex64(0)),
        flags=_grid(flags, layout, order, np.bool_(True)),
        nsamples=_grid(nsamples, layout, order, np.float32(0)),
    )


def _grid(array: NDArray, layout: Layout, order: NDArray[np.int64], fill) -> NDArray:
    """(row[, 1], channel, pol) of the file -> (time, baseline, channel, corr)."""
    rows = array.reshape(array.shape[0], *array.shape[-2:])
    cross = layout.time_index >= 0
    shape = (layout.times_jd.size, layout.ant1.size, order.size, len(layout.pol_index))
    grid = np.full(shape, fill, dtype=fill.dtype)
    picked = rows[cross][:, order][:, :, layout.pol_index]
    grid[layout.time_index[cross], layout.base_index[cross]] = picked
    return grid

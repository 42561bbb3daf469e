"""Reading a group's UVH5 files: the layout that they share, and one subband at a time."""

from __future__ import annotations

import dataclasses

import numpy as np
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray

from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.uvh5 import (
    READ_ERRORS,
    HeaderError,
    antenna_offsets,
    geodetic,
    integrations,
    open_uvh5,
    text,
    unreadable,
)

# UVH5 polarisation number -> CASA Stokes enumeration
PARALLEL_CORRELATIONS = {-5: 9, -6: 12, -1: 5, -2: 8}

# rows of a file may lack some baselines at some times, but not most of them
_MIN_FILLED = 0.1


@dataclasses.dataclass(frozen=True)
class Layout:
    """What all subbands of a group share.

    Baselines are cross-correlations with the antenna of the smaller number first, in order.
    """

    times_jd: NDArray[np.float64]  # (time,)
    ant1: NDArray[np.int64]  # (baseline,) index into the antenna table
    ant2: NDArray[np.int64]
    row_of: NDArray[np.int64]  # (time, baseline) row of the file, -1 where there is none
    swapped: NDArray[np.bool_]  # (time, baseline) the row holds the conjugate
    antennas: NDArray[np.int64]  # (used antenna,) index into the antenna table
    auto_row: NDArray[np.int64]  # (time, used antenna) row of the autocorrelation or -1
    n_rows: int  # of the file
    uvw_m: NDArray[np.float64]  # (time, baseline, 3), as in the file, NaN where there is no row
    polarisations: list[int]  # UVH5 numbers of the parallel correlations
    file_polarisations: list[int]
    integration_s: float
    location: EarthLocation
    antenna_names: list[str]
    antenna_positions_m: NDArray[np.float64]  # (antenna, 3) ECEF relative to the telescope
    antenna_diameter_m: float | None
    absolute_positions: bool  # the file has them from the centre of the Earth

    @property
    def pol_index(self) -> NDArray[np.int64]:
        """Where the correlations are in the file."""
        return np.array([self.file_polarisations.index(p) for p in self.polarisations])


def failure(path: str, error: HeaderError) -> ContimgError | DataQualityError:
    """A broken file is bad data; one that cannot be opened may open the next time."""
    kind = ContimgError if error.kind == "access" else DataQualityError
    return kind(f"{path}: {error}")


def read_layout(path: str) -> Layout:
    """Layout of a group from one of its files; :class:`DataQualityError` if there is none."""
    try:
        with open_uvh5(path) as file:
            header = file["Header"]
            times = header["time_array"][()].astype(float)
            numbers = header["antenna_numbers"][()]
            ant_1, ant_2 = header["ant_1_array"][()], header["ant_2_array"][()]
            polarisations = [int(p) for p in header["polarization_array"][()]]
            latitude, longitude, height = geodetic(header)
            names = [text(name) for name in header["antenna_names"][()]]
            has_diameters = "antenna_diameters" in header
            diameter = float(np.median(header["antenna_diameters"][()])) if has_diameters else None
            positions = header["antenna_positions"][()].astype(float)
            uvw = header["uvw_array"][()].astype(float)
            integration = float(np.median(np.ravel(header["integration_time"][()])))
    except READ_ERRORS as error:
        raise failure(path, unreadable(error)) from None
    if not (times.size == ant_1.size == ant_2.size == len(uvw) and times.size):
        raise DataQualityError(
            f"{path}: {times.size} times, {ant_1.size} and {ant_2.size} antennas and {len(uvw)} uvw"
            " where there should be one of each a row"
        )
    unknown = np.setdiff1d([ant_1, ant_2], numbers)
    if unknown.size:
        raise DataQualityError(f"{path}: rows of antennas {unknown} that the header does not name")
    order = np.argsort(numbers)
    first, second = (np.searchsorted(numbers[order], ant) for ant in (ant_1, ant_2))
    wanted = [p for p in (-5, -6, -1, -2) if p in polarisations]
    if len(wanted) != 2:
        raise DataQualityError(f"{path}: polarisations {polarisations} hold no pair XX,YY or RR,LL")
    grid = _grid(path, integrations(times, integration), first, second)
    row_of, swapped = grid["row_of"], grid["swapped"]
    uvw_m = np.where((row_of >= 0)[..., None], uvw[row_of], np.nan)
    uvw_m[swapped] *= -1
    location = EarthLocation.from_geodetic(longitude, latitude, height)
    centre = np.array([x.to_value("m") for x in location.geocentric])
    positions, absolute = antenna_offsets(positions, centre)
    return Layout(
        **grid,
        n_rows=times.size,
        uvw_m=uvw_m,
        polarisations=wanted,
        file_polarisations=polarisations,
        integration_s=integration,
        location=location,
        antenna_names=[names[k] for k in order],
        antenna_positions_m=positions[order],
        absolute_positions=absolute,
        antenna_diameter_m=diameter,
    )


def _grid(path: str, times, first, second) -> dict[str, NDArray]:
    """Where the rows of a file are on the grid of times and baselines."""
    times_jd, when = times
    cross = np.flatnonzero(first != second)
    pairs = np.stack([np.minimum(first, second), np.maximum(first, second)], axis=1)[cross]
    if not len(pairs):
        raise DataQualityError(f"{path}: no cross-correlations")
    baselines, which = np.unique(pairs, axis=0, return_inverse=True)
    which = which.ravel()
    shape = (times_jd.size, len(baselines))
    if len(cross) < _MIN_FILLED * shape[0] * shape[1]:
        raise DataQualityError(
            f"{path}: {len(cross)} rows for {shape[0]} times of {shape[1]} baselines; data averaged"
            " with the baseline (BDA) must be brought to one time grid first"
        )
    row_of = np.full(shape, -1)
    row_of[when[cross], which] = cross
    if np.count_nonzero(row_of >= 0) != len(cross):
        raise DataQualityError(f"{path}: some baselines have more than one row at the same time")
    swapped = np.zeros(shape, bool)
    swapped[when[cross], which] = first[cross] > second[cross]
    antennas = np.unique(baselines)
    auto_row = np.full((times_jd.size, antennas.size), -1)
    autos = np.flatnonzero((first == second) & np.isin(first, antennas))
    auto_row[when[autos], np.searchsorted(antennas, first[autos])] = autos
    return {
        "times_jd": times_jd,
        "ant1": baselines[:, 0],
        "ant2": baselines[:, 1],
        "row_of": row_of,
        "swapped": swapped,
        "antennas": antennas,
        "auto_row": auto_row,
    }


@dataclasses.dataclass
class Subband:
    """One subband as it is in its file; (row, channel, pol), channels ascending or descending."""

    path: str
    freq_hz: NDArray[np.float64]  # ascending
    width_hz: float
    descending: bool
    visibilities: NDArray[np.complex64]
    flags: NDArray[np.bool_]
    nsamples: NDArray[np.float32]


def read_subband(path: str, layout: Layout, kept: dict[str, NDArray] | None = None) -> Subband:
    """Read one file; :class:`DataQualityError` if it is broken.

    That its header is that of its group has been seen to (:mod:`contimg.convert.agree`).

    `kept` holds arrays of an earlier call, which this one overwrites: to read into memory that is
    there takes a third of the time.
    """
    kept = {} if kept is None else kept

    try:
        with open_uvh5(path) as file:
            header, group = file["Header"], file["Data"]
            freq = np.atleast_1d(np.squeeze(header["freq_array"][()]).astype(float))
            width = float(np.abs(np.ravel(header["channel_width"][()])[0]))
            polarisations = [int(p) for p in header["polarization_array"][()]]
            visibilities = _complex(_read_into(kept, group["visdata"]))
            flags = _read_into(kept, group["flags"]).astype(bool, copy=False)
            nsamples = _read_into(kept, group["nsamples"]).astype(np.float32, copy=False)
    except READ_ERRORS as error:
        raise failure(path, unreadable(error)) from None
    wanted = (layout.n_rows, freq.size, len(polarisations))
    for name, array in (("visdata", visibilities), ("flags", flags), ("nsamples", nsamples)):
        shape = (*array.shape[:1], *array.shape[-2:])
        if shape != wanted or array.size != np.prod(wanted):
            raise DataQualityError(f"{path}: {name} has shape {array.shape}, expected {wanted}")
    steps = np.diff(freq) * np.sign(freq[-1] - freq[0])
    if freq.size > 1 and not np.allclose(steps, width, rtol=1e-3):
        raise DataQualityError(f"{path}: channels are not evenly spaced by their width")
    return Subband(
        path=path,
        freq_hz=np.sort(freq),
        width_hz=width,
        descending=bool(freq[-1] < freq[0]),
        visibilities=visibilities.reshape(wanted),
        flags=flags.reshape(wanted),
        nsamples=nsamples.reshape(wanted),
    )


def _read_into(kept: dict[str, NDArray], dataset) -> NDArray:
    """A dataset, in the array that `kept` has for it if that is of its shape and type."""
    array = kept.get(dataset.name)
    if array is None or (array.shape, array.dtype) != (dataset.shape, dataset.dtype):
        array = kept[dataset.name] = np.empty(dataset.shape, dataset.dtype)
    dataset.read_direct(array)
    return array


def _complex(values: NDArray) -> NDArray[np.complex64]:
    """Visibilities, which may be integer or half-float pairs (UVH5 memo)."""
    if values.dtype.names:
        values = values["r"] + np.complex64(1j) * values["i"]
    elif values.dtype.kind != "c":
        raise TypeError(f"visdata are {values.dtype}, not complex")
    return values.astype(np.complex64, copy=False)


def autocorrelations(subband: Subband, layout: Layout) -> NDArray[np.float32] | None:
    """Amplitudes of the autos (time, used antenna, channel, corr); NaN, or None, without any."""
    if (layout.auto_row < 0).all():
        return None
    values = np.abs(subband.visibilities[layout.auto_row][..., layout.pol_index])
    values[layout.auto_row < 0] = np.nan
    return values[:, :, ::-1] if subband.descending else values

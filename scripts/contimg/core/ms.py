"""Reading our Measurement Sets: one field, one spectral window, times by baselines."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.plain import plain


@dataclass(frozen=True)
class Axes:
    """The axes of an MS. Rows are (time, baseline) with the baseline running fastest."""

    mjd: NDArray[np.float64]  # (time,) UTC mid-points
    integration_s: float
    ant1: NDArray[np.int64]  # (baseline,)
    ant2: NDArray[np.int64]
    antenna_names: list[str]
    antenna_positions_m: NDArray[np.float64]  # (antenna, 3) ITRF
    uvw_m: NDArray[np.float64]  # (time, baseline, 3)
    freq_hz: NDArray[np.float64]  # (channel,)
    width_hz: float
    phase_center_rad: tuple[float, float]  # ICRS
    pointing_rad: tuple[NDArray[np.float64], NDArray[np.float64]]  # (time,) ICRS

    @property
    def shape(self) -> tuple[int, int]:
        """(times, baselines)."""
        return self.mjd.size, self.ant1.size


@contextlib.contextmanager
def open_table(path: str | Path, *, writable: bool = False) -> Iterator:
    """A casacore table; :class:`ContimgError` when it is none."""
    from casacore import tables

    try:
        table = tables.table(plain(path), readonly=not writable, ack=False)
    except RuntimeError as error:
        raise ContimgError(f"{path}: not a readable table ({error}); delete and rebuild") from None
    try:
        yield table
    except RuntimeError as error:
        if "number of bytes read" not in str(error):
            raise
        why = "the disk gave less of it than there is: run again, or delete it and run again"
        raise ContimgError(f"{path}: {why} ({error})") from None
    finally:
        table.close()


def working_copy(source: Path, target: Path) -> None:
    """Copy an MS for work in which all but DATA may change.

    DATA, nearly all of its bytes, is not copied but linked to, if it has files of its own and
    these can be opened for writing (as CASA opens them, though it does not write).
    """
    with open_table(source) as table:
        managers = table.getdminfo().values()
    numbers = [m["SEQNR"] for m in managers if list(m["COLUMNS"]) == ["DATA"]]
    shared = {file for n in numbers for file in source.glob(f"table.f{n}_TSM*")}

    def copy(file: str, to: str) -> None:
        if Path(file) in shared and os.access(file, os.W_OK):
            os.symlink(Path(file).absolute(), to)
        else:
            shutil.copy2(file, to)

    shutil.copytree(source, target, copy_function=copy)


def read_axes(path: str | Path) -> Axes:
    """Axes of an MS that `contimg convert` or `contimg apply` wrote."""
    with open_table(path) as table:
        time = table.getcol("TIME")
        ant1, ant2 = table.getcol("ANTENNA1"), table.getcol("ANTENNA2")
        uvw = table.getcol("UVW")
        integration = float(np.median(table.getcol("EXPOSURE")))
    times = np.unique(time)
    n_base = time.size // times.size
    regular = (
        n_base * times.size == time.size
        and np.array_equal(time, np.repeat(times, n_base))
        and np.array_equal(ant1, np.tile(ant1[:n_base], times.size))
        and np.array_equal(ant2, np.tile(ant2[:n_base], times.size))
    )
    if not regular:
        raise ContimgError(f"{path}: rows are not times by baselines; was it made by this package?")
    with open_table(f"{path}/SPECTRAL_WINDOW") as window:
        freq, width = window.getcell("CHAN_FREQ", 0), window.getcell("CHAN_WIDTH", 0)
    with open_table(f"{path}/ANTENNA") as antenna:
        names, positions = antenna.getcol("NAME"), antenna.getcol("POSITION")
    with open_table(f"{path}/FIELD") as field:
        ra, dec = field.getcell("PHASE_DIR", 0)[0]
    return Axes(
        mjd=times / 86400,
        integration_s=integration,
        ant1=ant1[:n_base].astype(np.int64),
        ant2=ant2[:n_base].astype(np.int64),
        antenna_names=list(names),
        antenna_positions_m=positions,
        uvw_m=uvw.reshape(times.size, n_base, 3),
        freq_hz=freq,
        width_hz=float(width[0]),
        phase_center_rad=(float(ra), float(dec)),
        pointing_rad=_pointing(path, times),
    )


def _pointing(path: str | Path, times: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    with open_table(f"{path}/POINTING") as pointing:
        when = pointing.getcol("TIME")
        direction = pointing.getcol("DIRECTION")[:, 0]
    rows = np.searchsorted(when, times - 0.01)
    if when.size == 0 or rows.max() >= when.size or np.abs(when[rows] - times).max() > 0.1:
        raise ContimgError(f"{path}: POINTING does not cover the times of the data")
    return direction[rows, 0], direction[rows, 1]

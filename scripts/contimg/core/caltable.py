"""Reading CASA calibration tables: one spectral window, any number of times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.ms import open_table

LEAST_CHANNELS = 4  # a slope of phases, a delay, and its error need as many


@dataclass(frozen=True)
class Caltable:
    """Solutions on a grid of times and antennas; what has no row is flagged."""

    names: list[str]  # of all antennas of the table, observed or not
    positions_m: NDArray[np.float64]  # (antenna, 3) ITRF
    mjd: NDArray[np.float64]  # (time,)
    freq_hz: NDArray[np.float64]  # (channel,)
    value: NDArray  # (time, antenna, channel, corr) gain, or delay [ns]; NaN where flagged
    flag: NDArray[np.bool_]  # the same shape
    snr: NDArray[np.float64]  # NaN where flagged, and where CASA gives none (that of K is 0)
    refant: NDArray[np.int64]  # (time, antenna) number of the reference antenna, -1 if none
    unusable: int  # unflagged solutions that are zero or not finite (a delay may be zero)


def read_table(path: Path) -> dict[str, NDArray]:
    """Columns of a CASA calibration table; solutions (row, channel, corr), flagged ones NaN.

    :class:`ContimgError` for a table of several spectral windows.
    """
    with open_table(path) as table:
        if len(np.unique(table.getcol("SPECTRAL_WINDOW_ID"))) > 1:
            raise ContimgError(
                f"{path}: solutions of several spectral windows; solve again with the band as one"
                " (contimg solve does)"
            )
        column = "FPARAM" if "FPARAM" in table.colnames() else "CPARAM"
        values = table.getcol(column)
        flags = table.getcol("FLAG")
        content = {
            "antenna": table.getcol("ANTENNA1"),
            "refant": table.getcol("ANTENNA2"),
            "mjd": table.getcol("TIME") / 86400,
            "flag": flags,
            "snr": table.getcol("SNR"),
        }
    values = values.astype(complex if column == "CPARAM" else float)
    values[flags] = np.nan
    return content | {"value": values}


def table_freq_hz(path: Path) -> NDArray[np.float64]:
    """Channel centres of a CASA calibration table [Hz]; B may have fewer than the data."""
    with open_table(f"{path}/SPECTRAL_WINDOW") as window:
        return window.getcell("CHAN_FREQ", 0)


def table_antennas(path: Path) -> list[str]:
    """Names of all antennas of a CASA calibration table, by their number."""
    with open_table(f"{path}/ANTENNA") as antenna:
        return list(antenna.getcol("NAME"))


def read_caltable(path: Path) -> Caltable:
    """A calibration table on its grid."""
    rows = read_table(path)
    with open_table(f"{path}/ANTENNA") as antenna:
        names, positions = list(antenna.getcol("NAME")), antenna.getcol("POSITION")
    mjd, time = np.unique(rows["mjd"], return_inverse=True)
    at = (time, rows["antenna"])
    shape = (mjd.size, len(names), *rows["value"].shape[1:])
    value = np.full(shape, np.nan, rows["value"].dtype)
    flag, snr = np.ones(shape, bool), np.zeros(shape)
    refant = np.full(shape[:2], -1)
    value[at], flag[at], snr[at], refant[at] = (rows[k] for k in ("value", "flag", "snr", "refant"))
    bad = ~flag & ~np.isfinite(value)
    if np.iscomplexobj(value):
        bad |= ~flag & (value == 0)
    snr[flag | (snr == 0)] = np.nan
    return Caltable(
        names=names,
        positions_m=positions,
        mjd=mjd,
        freq_hz=table_freq_hz(path),
        value=value,
        flag=flag,
        snr=snr,
        refant=refant,
        unusable=int(bad.sum()),
    )

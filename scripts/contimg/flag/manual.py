"""The table of known bad data: who, when, at which frequencies, and why."""

from __future__ import annotations

import csv
import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.flag.context import SubbandContext

COLUMNS = ("antenna", "start_utc", "end_utc", "freq_min_mhz", "freq_max_mhz", "corr", "reason")
# the correlations in the order of our files
_CORRELATIONS = {"": (0, 1), "XX": (0,), "RR": (0,), "YY": (1,), "LL": (1,)}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table; an empty cell stands for all."""

    line: int
    antenna: str
    start_mjd: float
    end_mjd: float
    freq_min_hz: float
    freq_max_hz: float
    corrs: tuple[int, ...]
    reason: str


@cache
def read_table(path: Path) -> list[Row]:
    """Rows of the table; :class:`ContimgError` names the line that is wrong."""
    try:
        lines = list(enumerate(path.read_text().splitlines(), start=1))
    except OSError as error:
        raise ContimgError(f"flag.manual_table {path}: {error.strerror}") from None
    numbered = [(n, text) for n, text in lines if text.strip() and not text.startswith("#")]
    header, *body = [next(csv.reader([text])) for _, text in numbered] or [[]]
    if tuple(name.strip() for name in header) != COLUMNS:
        raise ContimgError(f"{path}: the columns must be {','.join(COLUMNS)}")
    return [
        _row(path, number, cells) for (number, _), cells in zip(numbered[1:], body, strict=True)
    ]


def _row(path: Path, line: int, cells: list[str]) -> Row:
    where = f"{path}, line {line}"
    if len(cells) != len(COLUMNS):
        raise ContimgError(f"{where}: {len(cells)} columns instead of {len(COLUMNS)}")
    cell = {name: text.strip() for name, text in zip(COLUMNS, cells, strict=True)}
    if not cell["reason"]:
        raise ContimgError(f"{where}: no reason given")
    if cell["corr"] not in _CORRELATIONS:
        known = ", ".join(name for name in _CORRELATIONS if name)
        raise ContimgError(f"{where}: corr {cell['corr']!r} is not one of {known} or empty")
    row = Row(
        line,
        cell["antenna"],
        _mjd(where, cell["start_utc"], -np.inf),
        _mjd(where, cell["end_utc"], np.inf),
        _hz(where, cell["freq_min_mhz"], -np.inf),
        _hz(where, cell["freq_max_mhz"], np.inf),
        _CORRELATIONS[cell["corr"]],
        cell["reason"],
    )
    if row.start_mjd >= row.end_mjd or row.freq_min_hz >= row.freq_max_hz:
        raise ContimgError(f"{where}: an interval ends before it begins")
    if all(not text for name, text in cell.items() if name != "reason"):
        raise ContimgError(f"{where}: would flag everything; name at least one thing")
    return row


def _mjd(where: str, text: str, otherwise: float) -> float:
    from astropy.time import Time

    try:
        return float(Time(text, scale="utc").mjd) if text else otherwise
    except ValueError:
        raise ContimgError(f"{where}: {text!r} is not a UTC such as 2025-10-05T03:40:00") from None


def _hz(where: str, text: str, otherwise: float) -> float:
    try:
        return float(text) * 1e6 if text else otherwise
    except ValueError:
        raise ContimgError(f"{where}: {text!r} is not a frequency in MHz") from None


def rows_mask(
    row: Row, context: SubbandContext, n_corr: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[int, ...]]:
    """Times and channels that a row touches, however little, and its correlations."""
    half_time = context.integration_s / 2 / 86400
    times = (context.times_mjd + half_time > row.start_mjd) & (
        context.times_mjd - half_time < row.end_mjd
    )
    freq = context.freq_hz
    half_width = np.abs(np.diff(freq)).min() / 2 if freq.size > 1 else 0.0
    channels = (freq + half_width > row.freq_min_hz) & (freq - half_width < row.freq_max_hz)
    return times, channels, tuple(c for c in row.corrs if c < n_corr)

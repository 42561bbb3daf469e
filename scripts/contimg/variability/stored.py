"""The light curves of a run, read from their table in parts: it may be larger than the memory.

The table is in order of source, time and mosaic, as ``contimg lightcurves`` writes it; one that is
not is read at once and sorted.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.parquet import read_parquet, read_parts
from contimg.core.rowflags import usable
from contimg.variability.doubt import block_odds, doubtful
from contimg.variability.ese import LightCurve
from contimg.variability.growing import Growing, Names
from contimg.variability.lightcurves import UNNORMALISED
from contimg.variability.strips import kept, strips_of

NEEDED = ["source", "mosaic", "mjd", "flux_norm_jy", "flux_norm_err_jy", "flag"]
POSITION = ["ra_deg", "dec_deg"]
POINTING = "pointing_dec_deg"
CURVE = ("mjd", "flux_norm_jy", "flux_norm_err_jy")
TEXTS = ("source", "mosaic", "flag")
WHAT = "light curves"


@dataclass(frozen=True)
class Stored:
    """What is searched of a table of light curves."""

    curves: list[LightCurve]  # the good points of every source, in order of names
    positions: pd.DataFrame | None  # by source, ICRS; none where the table has no positions


def read_curves(path: Path, record: Path) -> Stored:
    """All of the table at `path`, held against its `record`."""
    rows = _Rows(path)
    parts = read_parts(path, WHAT, [*NEEDED, *POSITION, POINTING], record, TEXTS)
    if all(map(rows.add, parts)) and rows.names.are_in_order():
        return rows.stored()
    rows, table = _Rows(path), in_order(read_parquet(path, WHAT, record))
    rows.take(rows.names.codes(table["source"]), table)
    return rows.stored()


def rows_of(path: Path, record: Path, sources: Collection[str], columns: list[str]) -> pd.DataFrame:
    """``source, mosaic, mjd`` and other `columns` of all rows of some sources, in order."""
    names = list(dict.fromkeys(["source", "mosaic", "mjd", *columns]))
    among = "source", set(sources)
    parts = [part[names] for part in read_parts(path, WHAT, names, record, (), among)]
    return in_order(pd.concat([part for part in parts if len(part)] or parts, ignore_index=True))


def references(path: Path, record: Path) -> set[str]:
    """Sources any measurement of which was a reference."""
    names = ["source", "is_reference"]
    parts = read_parts(path, WHAT, names, record, TEXTS[:1])
    return {str(n) for p in parts for n in p["source"][p["is_reference"].astype(bool)].unique()}


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """By source, time and mosaic, as ``contimg lightcurves`` writes it."""
    names = [pd.factorize(table[name], sort=True)[0] for name in ("mosaic", "source")]
    order = np.lexsort((names[0], table["mjd"].to_numpy(dtype=float), names[1]))
    if (np.diff(order) == 1).all():
        return table.reset_index(drop=True)
    return table.iloc[order].reset_index(drop=True)


class _Rows:
    """The usable rows of parts of a table in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = Names()
        self.code, self.warned = Growing(np.int32), Growing(bool)
        self.pointing = Growing(np.int16)
        self.columns = [Growing() for _ in CURVE]
        self.positions: list[pd.DataFrame] = []  # of every part, by number of the source
        self.last: list[NDArray] = []  # number of the source, time and mosaic of the last row

    def add(self, part: pd.DataFrame) -> bool:
        """Take what is usable of the next rows, if they are in order; whether they are."""
        missing = [name for name in NEEDED if name not in part.columns]
        if missing:
            raise ContimgError(f"{self.path}: lacks the columns {', '.join(missing)}")
        code = self.names.codes(part["source"])
        if not self._follow(code, part):
            return False
        self.take(code, part)
        return True

    def take(self, code: NDArray, part: pd.DataFrame) -> None:
        """What is usable of the next rows, whose sources have the numbers `code`."""
        good = _good(part)
        self.code.extend(code[good])
        self.warned.extend(doubtful(part["flag"])[good])
        unknown = np.full(len(part), np.nan)
        pointing = part[POINTING].to_numpy(dtype=float) if POINTING in part else unknown
        self.pointing.extend(kept(pointing[good]))
        for name, column in zip(CURVE, self.columns, strict=True):
            column.extend(part[name].to_numpy(dtype=float)[good])
        if set(POSITION) <= set(part.columns):
            self.positions.append(part[POSITION].groupby(code).first())

    def _follow(self, code: NDArray, part: pd.DataFrame) -> bool:
        """Whether rows are in order of source, time and mosaic, after those before."""
        keys = [code, part["mjd"].to_numpy(dtype=float), part["mosaic"].to_numpy()]
        if not len(code):
            return True
        keys = [
            np.append(*pair) for pair in zip(self.last or [k[:0] for k in keys], keys, strict=True)
        ]
        self.last = [key[-1:] for key in keys]
        return _are_in_order(*keys)

    def stored(self) -> Stored:
        """Light curves of all sources, empty ones too."""
        sources = list(self.names.place)
        odds, strip = block_odds(self.warned.values), strips_of(self.pointing.values)
        columns = [*(column.values for column in self.columns), odds]
        columns += [] if strip is None else [strip]
        edges = np.searchsorted(self.code.values, np.arange(len(sources) + 1))
        curves = [
            LightCurve(source, *(column[first:last] for column in columns))
            for source, (first, last) in zip(sources, pairwise(edges), strict=True)
        ]
        return Stored(curves, self._positions(sources))

    def _positions(self, sources: list[str]) -> pd.DataFrame | None:
        """The first that is known of every source."""
        if not self.positions:
            return None
        first = pd.concat(self.positions).groupby(level=0).first()
        return first.set_axis([sources[k] for k in first.index])


def _good(part: pd.DataFrame) -> NDArray[np.bool_]:
    """Points that count; those not normalised do, as their errors say so."""
    value, error = (part[name].to_numpy(dtype=float) for name in CURVE[1:])
    good = usable(part["flag"], also=[UNNORMALISED]).to_numpy()
    return good & np.isfinite(value) & (error > 0) & np.isfinite(error)


def _are_in_order(code: NDArray, mjd: NDArray, mosaic: NDArray) -> bool:
    same = code[1:] == code[:-1]
    later = (code[1:] > code[:-1]) | (same & (mjd[1:] > mjd[:-1]))
    unknown = np.flatnonzero(~later)  # hardly any: a source has one measurement at a time
    again = same[unknown] & (mjd[1:] == mjd[:-1])[unknown]
    return bool(again.all()) and all(mosaic[k] <= mosaic[k + 1] for k in unknown)

"""Rows of a survey or of a source finder as a source table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from contimg.catalogs.surveys import FILES, Survey
from contimg.core.errors import ContimgError
from contimg.core.tables.content import Content, Problems
from contimg.core.tables.units import Quantity, convert_column

_RA = Quantity("ra", "deg", "right ascension", "hms")
_DEC = Quantity("dec", "deg", "declination", "dms")
_FLUX = Quantity("flux", "Jy", "flux density")
_FREQ = Quantity("ref_freq", "Hz", "frequency")
_SIZE = Quantity("size", "arcsec", "size")
_ANGLE = Quantity("pa", "deg", "position angle")
_NUMBER = Quantity("number")
_STEEPEST = 10.0  # a spectral index beyond stands for none (-99)


@dataclass(frozen=True)
class Spectrum:
    """What the tables of surveys do not say."""

    index: float  # of sources without one
    of_table: bool = False  # take that of the table where it has one
    freq_hz: float | None = None  # where neither survey nor table has it


def recognise(content: Content, survey: str = "auto") -> str:
    """Which of :data:`FILES` a table is; the one of which most columns are needed, if several.

    Other than with ``auto`` it must be one of `survey`. Raises :class:`ContimgError` when it is
    none.
    """
    there = {_plain(name) for name in content.columns}
    possible = {k: v for k, v in FILES.items() if survey in ("auto", k.partition("-")[0])}
    fitting = [name for name, kind in possible.items() if set(map(_plain, kind.needed)) <= there]
    if not fitting:
        wanted = "; ".join(f"{name}: {', '.join(k.needed)}" for name, k in possible.items())
        raise ContimgError(
            f"{content.path}: none of the known tables ({wanted}); it has the columns"
            f" {', '.join(list(content.columns)[:12])}; rename columns as docs/catalogs.md says"
            " and use the file as it is"
        )
    return max(fitting, key=lambda name: len(FILES[name].needed))


def _plain(name: str) -> str:
    """A column's name as all services write it: VizieR's S1.4 may be S1_4, CASDA adds col_."""
    return name.lower().replace(".", "_").removeprefix("col_")


class _Reader:
    """Columns of a table in wanted units, by the names that a survey has for them."""

    def __init__(self, content: Content) -> None:
        self.content, self.problems = content, Problems(content)
        self.names = {_plain(name): name for name in content.columns}

    def __call__(self, name: str, quantity: Quantity, default_unit: str = "") -> pd.Series:
        """Values; NaN throughout if there is no such column."""
        there = self.names.get(_plain(name))
        if not name or there is None:
            return pd.Series(np.nan, index=range(self.content.rows))
        return convert_column(
            there, self.content.columns[there], quantity, self.problems, default_unit
        )

    def says(self, name: str, word: str) -> pd.Series:
        """Where a column of text holds `word`."""
        there = self.names.get(_plain(name))
        if not name or there is None:
            return pd.Series(False, index=range(self.content.rows))
        return self.content.columns[there].values.astype(str).str.strip() == word


def source_table(
    content: Content, survey: Survey, spectrum: Spectrum
) -> tuple[pd.DataFrame, dict[str, int]]:
    """A source table (:mod:`contimg.core.catalog`) by right ascension; rows left out, by reason.

    Names are made from the positions, as the surveys do (``NVSS J083454+553421``), with a number
    where several sources share one. Raises :class:`ContimgError` for columns that are missing,
    values that are not what they should be, and an unknown frequency.
    """
    read = _Reader(content)
    missing = [c for c in survey.needed if _plain(c) not in read.names]
    if missing:
        raise ContimgError(f"{content.path}: no column {', '.join(missing)}")
    table = pd.DataFrame(
        {
            "ra_deg": read(survey.place[0], _RA, "deg"),
            "dec_deg": read(survey.place[1], _DEC, "deg"),
            "flux_jy": read(survey.flux, _FLUX, survey.flux_unit),
            "flux_err_jy": read(survey.flux_error, _FLUX, survey.flux_unit),
            "ref_freq_hz": _frequency(read, survey, spectrum),
            **_index(read, survey, spectrum),
            **_sizes(read, survey),
        }
    )
    for column, name in zip(("ra_deg", "dec_deg"), survey.place, strict=True):
        read.problems.rows(table[column].isna(), name, "is empty; the table was cut off?")
    good = {name: read(name, _NUMBER).isin(values) for name, values in survey.keep}
    read.problems.refuse()
    keep = np.logical_and.reduce([np.ones(len(table), bool), *good.values()])
    positive = np.isfinite(table["flux_jy"]) & (table["flux_jy"] > 0)
    whole = table[keep & positive]
    rows = whole.drop_duplicates().sort_values(["ra_deg", "dec_deg"], ignore_index=True)
    rows.insert(0, "name", position_names(survey.label, rows["ra_deg"], rows["dec_deg"]))
    left_out = {
        f"flagged by the survey ({', '.join(good)})": int((~keep).sum()),
        "without a positive flux density": int((keep & ~positive).sum()),
        "there twice": len(whole) - len(rows),
    }
    return rows, {reason: number for reason, number in left_out.items() if number}


def _frequency(read: _Reader, survey: Survey, spectrum: Spectrum) -> pd.Series | float:
    given = spectrum.freq_hz or survey.freq_hz
    if given is not None:
        return given
    freq = read(survey.freq, _FREQ, "MHz")
    if freq.isna().any():
        raise ContimgError(
            f"{read.content.path}: the table does not say at what frequency its flux densities are;"
            " give --freq-hz"
        )
    return freq


def _index(read: _Reader, survey: Survey, spectrum: Spectrum) -> dict[str, pd.Series | str]:
    own = read(survey.index, _NUMBER)
    usable = spectrum.of_table & (own.abs() < _STEEPEST)
    return {
        "spectral_index": own.where(usable, spectrum.index),
        "spectral_index_from": pd.Series(np.where(usable, "table", "assumed"), dtype=object),
    }


def _sizes(read: _Reader, survey: Survey) -> dict[str, pd.Series]:
    """Full widths and position angle; zero where the table has a limit."""
    major, minor, angle = survey.size
    sizes = {
        "major_arcsec": read(major, _SIZE, survey.size_unit),
        "minor_arcsec": read(minor, _SIZE, survey.size_unit),
        "pa_deg": read(angle, _ANGLE, "deg"),
    }
    for column, limit in zip(("major_arcsec", "minor_arcsec"), survey.limits, strict=True):
        sizes[column] = sizes[column].mask(read.says(limit, "<"), 0.0)
    sizes["minor_arcsec"] = sizes["minor_arcsec"].clip(upper=sizes["major_arcsec"])
    return sizes


def position_names(label: str, ra_deg: pd.Series, dec_deg: pd.Series) -> list[str]:
    """``LABEL Jhhmmss+ddmmss`` (truncated, not rounded), unique."""
    names: list[str] = []
    seen: dict[str, int] = {}
    seconds_of = (ra_deg.to_numpy() % 360 * 240 + 1e-6).astype(int).tolist()
    arcsec_of = (np.abs(dec_deg.to_numpy()) * 3600 + 1e-6).astype(int).tolist()
    for seconds, arcsec, south in zip(seconds_of, arcsec_of, (dec_deg < 0).tolist(), strict=True):
        name = (
            f"{label} J{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
            f"{'-' if south else '+'}{arcsec // 3600:02d}{arcsec // 60 % 60:02d}{arcsec % 60:02d}"
        )
        number = seen[name] = seen.get(name, 0) + 1
        names.append(name if number == 1 else f"{name}_{number}")
    return names

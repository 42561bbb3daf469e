"""The surveys that can be fetched: their tables at VizieR and what their columns mean.

None of them has a spectral index, which therefore has to be given. Sizes are deconvolved; where
the survey gives a limit instead, the source is a point.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from contimg.core.errors import ContimgError


@dataclass(frozen=True)
class Survey:
    """A table at VizieR. Flux densities in mJy, sizes in arcsec, angles in degrees."""

    table: str
    freq_hz: float
    flux: str
    flux_error: str
    size: tuple[str, str, str] = ("", "", "")  # major, minor, position angle
    limits: tuple[str, str] = ("", "")  # columns that say "<" where major, minor are limits
    where: str = ""  # what makes a row a good one
    reference: str = ""
    columns: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        wanted = ("RAJ2000", "DEJ2000", self.flux, self.flux_error, *self.size, *self.limits)
        object.__setattr__(self, "columns", tuple(c for c in wanted if c))


SURVEYS = {
    "nvss": Survey(
        "VIII/65/nvss",
        1.4e9,
        "S1.4",
        "e_S1.4",
        ("MajAxis", "MinAxis", "PA"),
        ("l_MajAxis", "l_MinAxis"),
        reference="Condon et al. 1998, AJ 115, 1693",
    ),
    "first": Survey(
        "VIII/92/first14",
        1.4e9,
        "Fint",
        "Rms",
        ("Maj", "Min", "PA"),
        reference="Helfand et al. 2015, ApJ 801, 26",
    ),
    "racs": Survey(
        "J/other/PASA/38.58/gausscut",
        887.5e6,
        "Ftot",
        "e_Ftot",
        reference="RACS-low, Hale et al. 2021, PASA 38, 58",
    ),
    "vlass": Survey(
        "J/ApJS/255/30/comp",
        3.0e9,
        "Ftot",
        "e_Ftot",
        ("DCMaj", "DCMin", "DCPA"),
        where='"DupFlag" < 2 AND "QualFlag" IN (0, 4)',
        reference="quick-look epoch 1, Gordon et al. 2021, ApJS 255, 30; flux densities 10 % low",
    ),
}


def parse_answer(text: str, survey: Survey, origin: str) -> pd.DataFrame:
    """The rows of a CSV or tab-separated answer, numbers as numbers, empty cells NaN.

    Lines of comment, and the lines of units and dashes of VizieR's tab-separated form, are
    dropped. Raises :class:`ContimgError` when the answer is not the table asked for.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise ContimgError(f"{origin}: the answer is empty")
    separator = "\t" if "\t" in lines[0] else ","
    names = [word.strip().strip('"') for word in lines[0].split(separator)]
    missing = [c for c in survey.columns if c not in names]
    if missing:
        start = " ".join(re.sub(r"<[^>]*>", " ", " ".join(lines)).split())[:300]
        raise ContimgError(f"{origin}: no column {', '.join(missing)} in the answer: {start}")
    body = lines[1:]
    dashes = [i for i, line in enumerate(body[:3]) if set(line) <= set("- \t")]
    if dashes:
        body = body[dashes[0] + 1 :]
    table = pd.read_csv(
        io.StringIO("\n".join(body)), sep=separator, names=names, dtype=str, skipinitialspace=True
    )
    table = table[list(survey.columns)].apply(lambda column: column.str.strip())
    for column in survey.columns:
        if column in survey.limits:
            table[column] = table[column].fillna("")
        elif column in ("RAJ2000", "DEJ2000"):
            table[column] = _degrees(table[column], column)
        else:
            table[column] = _number(table[column], column, origin)
    if table[["RAJ2000", "DEJ2000"]].isna().any(axis=None):
        raise ContimgError(f"{origin}: rows without a position; the answer was cut off?")
    return table


def _number(values: pd.Series, column: str, origin: str) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce")
    odd = values[numbers.isna() & values.notna() & (values != "")]
    if len(odd):
        raise ContimgError(f"{origin}: {column} is {odd.iloc[0]!r} where a number belongs")
    return numbers.astype(float)


def _degrees(values: pd.Series, column: str) -> pd.Series:
    """Positions in degrees, or in hours (right ascension) and degrees with sixtieths."""
    if not values.str.contains(r"\d[ :]\d", na=False).any():
        return pd.to_numeric(values, errors="coerce").astype(float)
    parts = values.str.replace(":", " ").str.split(expand=True).reindex(columns=range(3))
    sign = np.where(parts[0].str.startswith("-"), -1.0, 1.0)
    number = parts.apply(lambda part: pd.to_numeric(part, errors="coerce")).abs()
    degrees = sign * (number[0] + number[1].fillna(0) / 60 + number[2].fillna(0) / 3600)
    return degrees * 15 if column == "RAJ2000" else degrees


def source_table(
    rows: pd.DataFrame, name: str, survey: Survey, spectral_index: float
) -> pd.DataFrame:
    """Rows of a survey as a source table (:mod:`contimg.core.catalog`), by right ascension.

    Names are made from the positions, as the surveys do (``NVSS J083454+553421``), with a letter
    where several sources share one.
    """
    rows = rows.drop_duplicates().sort_values(["RAJ2000", "DEJ2000"], ignore_index=True)
    ra, dec = rows["RAJ2000"].to_numpy(), rows["DEJ2000"].to_numpy()
    sizes = {}
    for column, source, limit in zip(
        ("major_arcsec", "minor_arcsec", "pa_deg"), survey.size, (*survey.limits, ""), strict=True
    ):
        values = rows[source].copy() if source else pd.Series(np.nan, index=rows.index)
        if limit:
            values[rows[limit] != ""] = 0.0
        sizes[column] = values
    return pd.DataFrame(
        {
            "name": _names(name.upper(), ra, dec),
            "ra_deg": ra,
            "dec_deg": dec,
            "flux_jy": rows[survey.flux] / 1e3,
            "flux_err_jy": rows[survey.flux_error] / 1e3,
            "ref_freq_hz": survey.freq_hz,
            "spectral_index": spectral_index,
            "spectral_index_from": "assumed",
            **sizes,
        }
    )


def _names(prefix: str, ra_deg: np.ndarray, dec_deg: np.ndarray) -> list[str]:
    names: list[str] = []
    seen: dict[str, int] = {}
    for ra, dec in zip(ra_deg, dec_deg, strict=True):
        seconds, arcsec = int(ra % 360 * 240 + 1e-6), int(abs(dec) * 3600 + 1e-6)
        name = (
            f"{prefix} J{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
            f"{'-' if dec < 0 else '+'}{arcsec // 3600:02d}{arcsec // 60 % 60:02d}{arcsec % 60:02d}"
        )
        number = seen[name] = seen.get(name, 0) + 1
        names.append(name if number == 1 else f"{name}_{number}")
    return names

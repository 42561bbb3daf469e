"""Source tables: from the columns of a file to checked rows.

What can not be (a frequency of 1400 Hz, a median flux density above 50 Jy, a declination of 95
degrees) is an error that names file, row, column and remedy, because nothing later in the chain
could tell it from a sky that is odd.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from contimg.core.standards import STANDARDS, coefficients
from contimg.core.tables.content import Content, Problems
from contimg.core.tables.formats import read_content
from contimg.core.tables.units import Quantity, convert, find

NAME = Quantity("name")
REQUIRED = (
    Quantity("ra", "deg", "right ascension", "hms"),
    Quantity("dec", "deg", "declination", "dms"),
    Quantity("flux", "Jy", "flux density"),
    Quantity("ref_freq", "Hz", "frequency"),
    Quantity("spectral_index"),
)
OPTIONAL = (
    Quantity("flux_err", "Jy", "flux density"),
    Quantity("major", "arcsec", "size"),
    Quantity("minor", "arcsec", "size"),
    Quantity("pa", "deg", "position angle"),
)
POWER_LAW = ("flux_jy", "ref_freq_hz", "spectral_index")
_NO_NAMES = ("", "nan", "none", "null", "--", "masked", "<na>")
_FREQ_HZ = (1e7, 1e12)
_MEDIAN_JY = (1e-5, 50.0)
_STEEPEST = 10.0
_STANDARD_HZ = 1.405e9  # where the power law of a source of a standard touches its polynomial


def read_checked(path: str | Path, texts: tuple[str, ...] = ()) -> tuple[pd.DataFrame, Problems]:
    """The rows of a source table in the units of the workflow, and its (empty) list of problems.

    The latter is for further checks of the caller, as it knows the place of each row in the file.
    Columns that a source table does not have stay as they are: numbers where all cells are, but
    text in those named in `texts`. Raises :class:`ContimgError`.
    """
    content = read_content(path)
    problems = Problems(content)
    table = _columns(content, problems, texts)
    problems.names = table["name"]
    _check_names(table, problems)
    _resolve_standards(table, problems)
    problems.refuse()
    _check_positions(table, problems)
    _check_spectra(table, problems)
    _check_sizes(table, problems)
    problems.refuse()
    return table, problems


def _columns(content: Content, problems: Problems, as_text: tuple[str, ...]) -> pd.DataFrame:
    """Name and quantities under the names of the workflow, then what else the file has."""
    columns, used = {}, set()
    name = find(content, NAME, problems)
    missing = [NAME.column] if name is None else []
    if name is not None:
        columns["name"] = _names(content, name, problems)
        used.add(name)
    for quantity in (*REQUIRED, *OPTIONAL):
        source = find(content, quantity, problems)
        values = None if source is None else convert(content, quantity, problems)
        if values is not None and source is not None:
            columns[quantity.column] = values
            problems.aliases[quantity.column] = source
            used.add(source)
        elif quantity in REQUIRED:
            missing.append(quantity.column)
    if missing:
        there = ", ".join(content.columns)
        problems.found.insert(
            0, f"lacks the columns {', '.join(missing)}; it has {there} (docs/products.md)"
        )
        problems.refuse()
    texts = {
        key: content.columns[key].values.fillna("").astype(str).str.strip()
        if key in content.columns
        else pd.Series("", index=range(content.rows), dtype=object)
        for key in ("log_poly", "standard")
    }
    rest = {
        key: column.values if key in as_text else _inferred(column.values)
        for key, column in content.columns.items()
        if key not in used | set(columns) | set(texts)
    }
    return pd.DataFrame(columns | rest | texts)


def _names(content: Content, column: str, problems: Problems) -> pd.Series:
    values = content.columns[column].values
    if values.dtype.kind == "f":
        problems.column(column, "holds numbers with a fraction, not names; write names as text")
    names = values.astype(str).str.strip()
    problems.rows(names.str.lower().isin(_NO_NAMES), column, "is empty; every source needs a name")
    return names


def _inferred(values: pd.Series) -> pd.Series:
    """Text as numbers where every cell that is not empty is one."""
    if values.dtype != object:
        return values
    text = values.astype(str).str.strip()
    numbers = pd.to_numeric(text.where(text != ""), errors="coerce")
    return numbers.astype(float) if (numbers.notna() | (text == "")).all() else values


def _check_names(table: pd.DataFrame, problems: Problems) -> None:
    double = table["name"].duplicated(keep=False) & ~table["name"].str.lower().isin(_NO_NAMES)
    problems.rows(double, "name", "is the name of more than one source; make names unique")


def _check_positions(table: pd.DataFrame, problems: Problems) -> None:
    for column, low, high in (("ra_deg", 0.0, 360.0), ("dec_deg", -90.0, 90.0)):
        value = table[column]
        problems.rows(value.isna(), column, "is empty; no position")
        problems.rows(
            ~value.between(low, high) & value.notna(),
            column,
            f"is not in {low:g}..{high:g}, not a position in degrees",
            value,
        )


def _check_spectra(table: pd.DataFrame, problems: Problems) -> None:
    flux, freq, index = (table[c] for c in POWER_LAW)
    problems.rows(np.isinf(flux), "flux_jy", "is infinite; leave unknown flux densities empty")
    problems.rows(flux <= 0, "flux_jy", "Jy is not positive; leave unknown ones empty", flux)
    low, high = _FREQ_HZ
    remedy = "write it in Hz, or name the column"
    for unit, meant in (("mhz", freq.between(50, low * 0.999)), ("ghz", freq.between(0, 50))):
        reason = f"Hz is below 10 MHz; {remedy} ref_freq_{unit}"
        problems.rows(meant, "ref_freq_hz", reason, freq)
        freq = freq.where(~meant)
    odd = ~freq.between(low, high) & freq.notna()
    problems.rows(odd, "ref_freq_hz", "Hz is not between 10 MHz and 1 THz", freq)
    problems.rows(index.abs() > _STEEPEST, "spectral_index", f"is beyond +-{_STEEPEST:g}", index)
    median = float(flux.median()) if flux.notna().any() else np.nan
    if median > _MEDIAN_JY[1] or median < _MEDIAN_JY[0]:
        problems.column(
            "flux_jy",
            f"the median flux density is {median:.3g} Jy, which no sky has; in mJy? Declare the"
            " unit or name the column flux_mjy",
        )


def _check_sizes(table: pd.DataFrame, problems: Problems) -> None:
    sizes = [c for c in ("major_arcsec", "minor_arcsec") if c in table.columns]
    for column in sizes:
        value = table[column]
        problems.rows((value < 0) | np.isinf(value), column, "is not a size", value)
    if len(sizes) == 2:
        over = table["minor_arcsec"] > table["major_arcsec"] * (1 + 1e-6)
        problems.rows(over, "minor_arcsec", "is above major_arcsec", table["minor_arcsec"])


def _resolve_standards(table: pd.DataFrame, problems: Problems) -> None:
    """Fill ``log_poly`` and, where empty, the power law of rows that name a standard."""
    given = table["log_poly"].where(table["log_poly"] != "").dropna()
    for row, text in given.items():
        if not all(_is_number(word) for word in text.split()):
            problems.rows(table.index == row, "log_poly", "is not numbers", table["log_poly"])
    for row in table.index[table["standard"] != ""]:
        reason, polynomial = _of_standard(table.loc[row])
        if polynomial is None:
            problems.rows(table.index == row, "standard", reason, table["standard"])
            continue
        table.at[row, "log_poly"] = " ".join(str(a) for a in polynomial)
        if not np.isfinite(table.loc[row, list(POWER_LAW)].to_numpy(dtype=float)).all():
            x = np.log10(_STANDARD_HZ / 1e9)
            slope = np.polynomial.polynomial.polyder(polynomial)
            table.at[row, "flux_jy"] = 10 ** np.polynomial.polynomial.polyval(x, polynomial)
            table.at[row, "ref_freq_hz"] = _STANDARD_HZ
            table.at[row, "spectral_index"] = np.polynomial.polynomial.polyval(x, slope)


def _of_standard(row: pd.Series) -> tuple[str, tuple[float, ...] | None]:
    """Polynomial of a row that names a standard; or what is wrong with that."""
    standard = row["standard"]
    if standard not in STANDARDS:
        return f"unknown standard; known: {', '.join(STANDARDS)}", None
    polynomial = coefficients(standard, row["name"])
    if polynomial is None:
        return f"is no source of it; it has {', '.join(STANDARDS[standard])}", None
    if row["log_poly"] not in ("", " ".join(str(a) for a in polynomial)):
        return "and a log_poly besides; keep one", None
    return "", polynomial


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False

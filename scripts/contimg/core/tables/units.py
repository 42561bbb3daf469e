"""From the columns of a file to quantities in the units of the workflow.

A column is known by its name: ``flux_jy``, or ``flux`` with any unit behind it (``flux_mjy``,
``flux [mJy]``, or ``flux`` with a unit that the file declares). A unit that the file declares
counts for more than the one in the name. Angles may be text in sixtieths.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from contimg.core.tables.content import Column, Content, Problems


@dataclass(frozen=True)
class Quantity:
    """What a column is to become: ``base`` of its names, unit, and whether sixtieths may occur."""

    base: str
    unit: str = ""
    meaning: str = "number"
    sixtieths: str = ""  # unit of angles as text where neither letters nor a unit say it

    @property
    def column(self) -> str:
        """The workflow's name of it."""
        return f"{self.base}_{self.unit.lower()}" if self.unit else self.base


_UNITS = ("Jy", "mJy", "uJy", "Hz", "kHz", "MHz", "GHz", "deg", "rad", "arcsec", "arcmin", "mas")
_UNITS += ("hourangle", "hms", "dms", "m", "km")
_IN_NAMES = {unit.lower(): unit for unit in _UNITS}  # names do not tell upper from lower case
_ALIASES = {
    "h": "hourangle",
    "hr": "hourangle",
    "hour": "hourangle",
    "hours": "hourangle",
    "degree": "deg",
    "degrees": "deg",
    "radian": "rad",
    "radians": "rad",
    "h:m:s": "hms",
    "hh:mm:ss": "hms",
    "d:m:s": "dms",
    "dd:mm:ss": "dms",
}
_ANGLE = re.compile(
    r"^\s*(?P<sign>[+-]?)\s*(?P<first>\d{1,3})\s*(?P<mark>[hHdD°:]|\s)\s*"
    r"(?P<minutes>\d{1,2})\s*(?:[mM':]|\s)\s*(?P<seconds>\d{1,2}(?:\.\d*)?)\s*[sS\"]?\s*$"
)


def find(content: Content, quantity: Quantity, problems: Problems) -> str | None:
    """Name of the column that holds `quantity`; None if there is none.

    The workflow's own name goes before others; several others are a problem.
    """
    if quantity.column in content.columns:
        return quantity.column
    found = [name for name in content.columns if quantity.base in (_split(name)[0], _part(name))]
    if len(found) > 1:
        problems.column(
            " and ".join(found), f"which of them is {quantity.column}? Name that one so"
        )
    return found[0] if found else None


def _split(name: str) -> tuple[str, str]:
    """Base and unit of a column's name; the unit empty if the name has none."""
    plain = name.strip().lower()
    bracket = re.fullmatch(r"(\w+?)[\s_]*[\[(]\s*([^\])]+?)\s*[\])]", name.strip())
    if bracket:
        return bracket[1].lower(), bracket[2]
    base, _, last = plain.rpartition("_")
    if base and last in _IN_NAMES:
        return base, _IN_NAMES[last]
    return plain, ""


def _part(name: str) -> str:
    """``ra`` of ``position.ra``, which is how coordinates are stored; else nothing."""
    stem, dot, part = name.lower().rpartition(".")
    return part if dot and stem and part in ("ra", "dec") else ""


def convert(content: Content, quantity: Quantity, problems: Problems) -> pd.Series | None:
    """`quantity` of every row in its unit, NaN in empty cells; None if there is no column.

    Cells that are not what they should be go to `problems` and become NaN.
    """
    name = find(content, quantity, problems)
    if name is None:
        return None
    return convert_column(name, content.columns[name], quantity, problems)


def convert_column(
    name: str, column: Column, quantity: Quantity, problems: Problems, default_unit: str = ""
) -> pd.Series:
    """As :func:`convert`, of one column; `default_unit` is that of numbers without any."""
    unit = column.unit.strip().strip('"') or _split(name)[1]
    unit = _ALIASES.get(unit.lower(), unit)
    numbers, odd = _numbers(column.values)
    if odd.any() and quantity.sixtieths:
        return _sixtieths(column.values, name, _form(unit, quantity), quantity, problems)
    problems.rows(odd, name, "is not a number", column.values)
    factor = _factor(name, unit or default_unit, quantity, problems)
    return numbers if factor == 1 else numbers * factor


def _numbers(values: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Values as numbers, and which are neither numbers nor empty."""
    if values.dtype.kind in "iuf":
        return values.astype(float), pd.Series(False, index=values.index)
    text = values.astype(str).str.strip()
    numbers = pd.to_numeric(text, errors="coerce").astype(float)
    empty = text.str.lower().isin(["", "nan", "na", "n/a", "null", "none", "--"])
    return numbers, numbers.isna() & ~empty


def _factor(name: str, unit: str, quantity: Quantity, problems: Problems) -> float:
    """What values in `unit` are multiplied with."""
    from astropy.units import Unit, UnitConversionError

    wanted = quantity.unit
    if not unit:
        if wanted:
            problems.column(
                name,
                f"has no unit; declare one, or name the column {quantity.column} if it is in"
                f" {wanted}",
            )
        return 1.0
    if unit == wanted:
        return 1.0
    plain = {"hms": "hourangle", "dms": "deg"}.get(unit, unit)
    try:
        return float(Unit(plain).to(Unit(wanted)))
    except UnitConversionError:
        problems.column(name, f"is in {unit}, which is not the unit of a {quantity.meaning}")
    except (ValueError, TypeError):
        problems.column(name, f"has a unit that is not known: {unit!r}; write {wanted or 'none'}")
    return 1.0


def _form(unit: str, quantity: Quantity) -> str:
    """What text in sixtieths is of: ``hms``, ``dms``, or empty where it might be either.

    Right ascensions are in hours by custom, but hardly in a column that says degrees.
    """
    if not unit or (unit == "deg" and quantity.sixtieths == "dms"):
        return quantity.sixtieths
    return {"hms": "hms", "hourangle": "hms", "dms": "dms"}.get(unit, "")


def _sixtieths(
    values: pd.Series, name: str, form: str, quantity: Quantity, problems: Problems
) -> pd.Series:
    """Angles [deg] written as 13:31:08.29, 13 31 08.29, 13h31m08.29s or +30d30m32.9s."""
    text = values.astype(str).str.strip()
    parts = text.str.extract(_ANGLE)
    given = text != ""
    problems.rows(given & parts["first"].isna(), name, "is not an angle in sixtieths", values)
    number = parts[["first", "minutes", "seconds"]].astype(float)
    over = (number["minutes"] >= 60) | (number["seconds"] > 60)
    problems.rows(over, name, "has more than 59 minutes or 60 seconds", values)
    mark = parts["mark"].str.lower()
    open_form = given & parts["first"].notna() & ~mark.isin(["h", "d", "°"])
    if not form:
        problems.rows(
            open_form,
            name,
            "may be of hours or of degrees; name the column"
            f" {quantity.base}_hms or {quantity.base}_dms",
            values,
        )
    hours = (mark == "h") | (open_form & (form == "hms"))
    if quantity.sixtieths == "dms":
        problems.rows(hours, name, f"is in hours, and a {quantity.meaning} is not", values)
    size = number["first"] + number["minutes"] / 60 + number["seconds"] / 3600
    size = size.where(~hours, size * 15)
    return size.where(parts["sign"] != "-", -size)

"""Tables for other programs: units, UCDs, coordinate and time systems where the format has them."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from astropy.io.votable.tree import VOTableFile
    from astropy.table import Table

_IN_NO_LABEL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029{}\"'#;|]")
FORMATS = ("text", "csv", "ecsv", "vot", "json")
# ending of a column's name -> unit (of the Virtual Observatory), UCD
ENDINGS = {
    "_jy_beam": ("Jy/beam", "stat.stdev;phot.flux.density;em.radio"),
    "_jy2": ("Jy2", "stat.covariance"),
    "_jy": ("Jy", "phot.flux.density;em.radio"),
    "_hz": ("Hz", "em.freq"),
    "_arcsec": ("arcsec", "pos.angDistance"),
    "_days": ("d", "time.duration"),
    "_deg": ("deg", "pos.posAng"),
    "_mjd": ("d", "time.epoch"),
}
UCDS = {
    "source": "meta.id;meta.main",
    "mosaic": "meta.id;obs.field",
    "ra_deg": "pos.eq.ra;meta.main",
    "dec_deg": "pos.eq.dec;meta.main",
    "mjd": "time.epoch;obs",
    "flag": "meta.code.qual",
    "class": "meta.code.class",
    "list": "meta.code",
    "is_reference": "meta.code",
    "is_candidate": "meta.code",
    "gain": "arith.factor",
    "gain_err": "stat.error",
    "n_epochs": "meta.number;obs",
    "eta": "stat.fit.chi2",
    "v": "stat.variance",
    "reason": "meta.note",
    "depth": "phot.flux.density;arith.ratio",
    "colour": "phot.color;arith.ratio",
}
_TIMES = {"mjd", "t0_mjd", "vs_mjd_1", "vs_mjd_2", "t_min", "t_max"}
_PLACES = {"ra_deg", "dec_deg", "s_ra", "s_dec"}


def region_label(name: str) -> str:
    """`name` as a label in region files of DS9 and CASA, which know no escapes.

    A line of them is a region; braces, quotes and number signs would end the label, or the region.
    """
    return _IN_NO_LABEL.sub("_", name)


def unit_of(column: str) -> str:
    """The unit that the name of a column says; empty for numbers without one."""
    if column in _TIMES:
        return "d"
    plain = re.sub(r"_(err|norm|min|max)(?=_|$)", "", column)
    return next((unit for ending, (unit, _) in ENDINGS.items() if plain.endswith(ending)), "")


def ucd_of(column: str) -> str:
    """The UCD of a column."""
    if column in UCDS:
        return UCDS[column]
    if column in _TIMES:
        return "time.epoch"
    plain = re.sub(r"_(err|norm|min|max)(?=_|$)", "", column)
    ucd = next((ucd for ending, (_, ucd) in ENDINGS.items() if plain.endswith(ending)), "")
    if column.startswith(("p_", "probability_")) or column.endswith("_probability"):
        ucd = "stat.probability"
    return f"stat.error;{ucd}" if ucd and "_err" in column and "stat" not in ucd else ucd


# name of a column -> unit, UCD, description, where its name does not say them
Described = Mapping[str, tuple[str, str, str]]


def astropy_table(table: pd.DataFrame, described: Described | None = None) -> Table:
    """The same with units and descriptions."""
    from astropy.table import Table

    result = Table()
    for name in table.columns:
        result[name] = _column(table[name])
        unit, _, words = (described or {}).get(name, (unit_of(name), "", ""))
        result[name].unit = unit or None
        result[name].description = words or None
    return result


def _column(values: pd.Series) -> Any:
    """The values as numpy has them; whole numbers that may be missing are masked."""
    from astropy.table import MaskedColumn

    if values.dtype == object or str(values.dtype) in {"str", "string"}:
        return values.fillna("").to_numpy(dtype=str)
    if str(values.dtype) != "Int64":
        return values.to_numpy()
    whole = values.fillna(0).to_numpy(dtype="int64")
    missing = values.isna().to_numpy()
    return MaskedColumn(whole, mask=missing) if missing.any() else whole


def votable(
    table: pd.DataFrame,
    name: str,
    description: str,
    described: Described | None = None,
    utypes: Mapping[str, str] | None = None,
) -> VOTableFile:
    """A VOTable with UCDs, ICRS positions and UTC times; valid without rows, too.

    `utypes` says what columns are in a data model.
    """
    from astropy.io.votable import from_table
    from astropy.io.votable.tree import CooSys, TimeSys

    result = from_table(astropy_table(table, described), table_id="T")
    result.version = "1.4"
    resource, content = result.resources[0], result.get_first_table()
    content.name, content.description = name, description
    if _PLACES & set(table.columns):
        resource.coordinate_systems.append(CooSys(ID="icrs", system="ICRS"))
    if _TIMES & set(table.columns):
        resource.time_systems.append(
            TimeSys(
                ID="utc",
                timeorigin=2400000.5,
                timescale="UTC",
                refposition="TOPOCENTER",
                config={"version_1_4_or_later": True},
            )
        )
    for field in content.fields:
        if field.datatype in {"char", "unicodeChar"}:
            field.arraysize = "*"  # not the length of the longest that happens to be there
        if ucd := (described or {}).get(field.name, ("", ucd_of(field.name), ""))[1]:
            field.ucd = ucd
        if utype := (utypes or {}).get(field.name):
            field.utype = utype
        if field.name in _PLACES:
            field.ref = "icrs"
        elif field.name in _TIMES:
            field.ref = "utc"
    return result


def votable_text(
    table: pd.DataFrame,
    name: str,
    description: str,
    described: Described | None = None,
    utypes: Mapping[str, str] | None = None,
) -> str:
    """The VOTable as text; one without rows has its DATA element, which readers look for."""
    stream = io.BytesIO()
    votable(table, name, description, described, utypes).to_xml(stream)
    text = stream.getvalue().decode()
    if len(table):
        return text
    return text.replace("  </TABLE>", "   <DATA><TABLEDATA/></DATA>\n  </TABLE>")


def rendered(table: pd.DataFrame, form: str, name: str, description: str) -> str:
    """A table as text in one of :data:`FORMATS`."""
    if form == "csv":
        return table.to_csv(index=False)
    if form == "json":
        return table.to_json(orient="records", double_precision=12) + "\n"
    if form == "ecsv":
        stream = io.StringIO()
        astropy_table(table).write(stream, format="ascii.ecsv")
        return stream.getvalue()
    if form == "vot":
        return votable_text(table, name, description)
    places = {n: "{:.5f}".format for n in table.columns if n in _TIMES | _PLACES}
    shown = table.to_string(
        index=False, float_format=lambda value: f"{value:.6g}", formatters=places
    )
    return (shown if len(table) else "none") + "\n"

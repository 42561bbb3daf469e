"""Reading a table file into columns with the units that it declares.

What a file declares of its size is checked against the size it has before memory is taken.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from contimg.core.errors import ContimgError
from contimg.core.tables.content import Column, Content
from contimg.core.tables.delimited import parse, read_text
from contimg.core.tables.votable import check_votable

if TYPE_CHECKING:
    from astropy.table import Table

_LARGEST = 4_000_000_000  # bytes of a table; the largest radio survey is a tenth of it
_PACKED = ".gz", ".bz2", ".xz", ".zip", ".zst"


def read_content(path: str | Path) -> Content:
    """The columns of a table; its name's ending says what it is, plain text if none is known.

    Raises :class:`ContimgError` when there is no such file or it is not such a table.
    """
    path = Path(path)
    if not path.is_file():
        raise ContimgError(f"{path}: table not found; set its path in the config")
    suffix = path.suffix.lower()
    if suffix in _PACKED:
        raise ContimgError(f"{path}: is packed; unpack it first")
    if path.stat().st_size > _LARGEST:
        raise ContimgError(f"{path}: above {_LARGEST / 1e9:g} GB; cut out the region of interest")
    reader = _READERS.get(suffix, _text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what standards want; what matters here is checked
        try:
            return reader(path)
        except _BROKEN as error:
            reason = " ".join(str(error).split())[:200]
            kind = suffix.removeprefix(".") or "text"
            raise ContimgError(f"{path}: not a readable {kind} table ({reason})") from None


def is_text(path: Path) -> bool:
    """Whether a file's name is that of plain text."""
    return path.suffix.lower() not in _READERS


# what the libraries raise on files that are broken
_BROKEN = (
    ValueError,
    OSError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    ZeroDivisionError,
    EOFError,
)


def _text(path: Path) -> Content:
    text = read_text(path)
    if text.startswith("# %ECSV"):
        return _ecsv(path)
    return parse(path, text.splitlines(keepends=True))


def _ecsv(path: Path) -> Content:
    from astropy.io.ascii import InconsistentTableError
    from astropy.table import Table

    text = read_text(path)
    try:
        table = Table.read(text.splitlines(), format="ascii.ecsv")
    except InconsistentTableError as error:
        raise ContimgError(f"{path}: {' '.join(str(error).split())[:200]}") from None
    lines = [
        number
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    content = from_astropy(path, table)
    whole = len(lines) == len(table) + 1  # unless a quoted text has several lines
    return Content(path, content.columns, np.array(lines[1:]) if whole else None)


def _votable(path: Path) -> Content:
    from astropy.io.votable import parse as parse_votable

    check_votable(path)
    tree = parse_votable(path, verify="ignore")
    frames = {c.ID: c for r in tree.resources for c in r.coordinate_systems}
    frames |= {c.ID: c for c in tree.coordinate_systems}
    table = tree.get_first_table()
    for field in table.fields:
        if field.ref in frames and (field.ucd or "").startswith(("pos.eq", "POS_EQ")):
            frame = frames[field.ref]
            _check_frame(path, frame.system or "", frame.equinox)
    return from_astropy(path, table.to_table(use_names_over_ids=True))


def _fits(path: Path) -> Content:
    from astropy.io import fits

    try:
        return _fits_table(path)
    except fits.VerifyError as error:
        raise ValueError(str(error)) from None


def _fits_table(path: Path) -> Content:
    from astropy.io import fits
    from astropy.table import Table

    size = path.stat().st_size
    with fits.open(path, memmap=True) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        if len(tables) != 1:
            raise ContimgError(f"{path}: holds {len(tables)} tables; save the one that is meant")
        hdu = tables[0]
        declared = hdu.header["NAXIS1"] * hdu.header["NAXIS2"] + hdu.header.get("PCOUNT", 0)
        if not 0 <= declared <= size - hdu.fileinfo()["datLoc"]:
            raise ContimgError(
                f"{path}: declares {hdu.header['NAXIS2']:g} rows of {hdu.header['NAXIS1']} bytes in"
                f" a file of {size} bytes; broken: get it anew"
            )
        lists = [c.name for c in hdu.columns if re.match(r"\d*[PQ]", str(c.format))]
        if lists:
            raise ContimgError(
                f"{path}: column {lists[0]}: lists of variable length; remove the column"
            )
        frame = hdu.header.get("RADESYS", hdu.header.get("RADECSYS", ""))
        _check_frame(path, str(frame), hdu.header.get("EQUINOX"))
        return from_astropy(path, Table.read(hdu, character_as_bytes=False))


def _check_frame(path: Path, system: str, equinox: object) -> None:
    """ICRS, or FK5 of J2000, which is within 0.1 arcsec of it."""
    name = system.lower().removeprefix("eq_")
    year = str(equinox or "J2000").strip().upper().removeprefix("J")
    if name not in ("", "icrs", "fk5") or year not in ("2000", "2000.0"):
        raise ContimgError(
            f"{path}: positions are {system or 'equatorial'}, equinox {equinox or 'not said'};"
            " convert them to ICRS"
        )


def _parquet(path: Path) -> Content:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        rows, size = file.metadata.num_rows, path.stat().st_size
        if not 0 <= rows <= size:  # a row of positions takes more than a byte
            raise ContimgError(f"{path}: declares {rows:g} rows in a file of {size} bytes; broken")
        schema = file.schema_arrow
        if b"table_meta_yaml" in (schema.metadata or {}):  # written by astropy
            return _astropy_parquet(path)
        frame = file.read().to_pandas()
        if frame.index.name is not None:  # a column to whoever wrote it
            frame = frame.reset_index()
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from None
    return Content(
        path,
        {
            name: Column(_plain(frame[name]), _arrow_unit(schema, name))
            for name in map(str, frame.columns)
        },
    )


def _astropy_parquet(path: Path) -> Content:
    from astropy.table import Table
    from astropy.table.meta import YamlParseError

    try:
        return from_astropy(path, Table.read(path, format="parquet"))
    except YamlParseError:
        raise ValueError("its description of the columns is damaged") from None


def _arrow_unit(schema, name: str) -> str:
    metadata = schema.field(name).metadata or {}
    return (metadata.get(b"unit") or metadata.get(b"units") or b"").decode("utf-8", "replace")


def _plain(values: pd.Series) -> pd.Series:
    """Text with missing cells empty; numbers as they are."""
    values = values.reset_index(drop=True)
    if values.dtype.kind in "biuf" and isinstance(values.dtype, np.dtype):
        return values
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype(float)
    missing = values.isna()
    return values.astype(object).where(~missing, "").map(_decoded)


def _decoded(value: object) -> object:
    return value.decode("utf-8") if isinstance(value, bytes) else value


def from_astropy(path: Path, table: Table) -> Content:
    """The columns of an astropy table; coordinates become ``NAME.ra`` and ``NAME.dec``.

    Columns of more than one dimension are left out.
    """
    from astropy.coordinates import SkyCoord

    columns = {}
    for name in table.colnames:
        column = table[name]
        if isinstance(column, SkyCoord):
            columns |= _coordinates(path, name, column)
        elif getattr(column, "ndim", 0) == 1 and hasattr(column, "dtype"):
            unit = getattr(column, "unit", None)
            columns[name] = Column(_series(column), "" if unit is None else str(unit))
    return Content(path, columns)


def _coordinates(path: Path, name: str, column) -> dict[str, Column]:
    from astropy.coordinates import ConvertError

    try:
        sky = column.icrs
    except ConvertError as error:
        reason = " ".join(str(error).split())[:120]
        raise ContimgError(f"{path}: column {name}: no ICRS position follows ({reason})") from None
    return {
        f"{name}.{axis}": Column(pd.Series(np.ma.filled(angle.deg, np.nan), dtype=float), "deg")
        for axis, angle in (("ra", sky.ra), ("dec", sky.dec))
    }


def _series(column) -> pd.Series:
    """Values of a column of astropy's: numbers with NaN, or text with "", where masked."""
    mask = np.asarray(getattr(column, "mask", False))
    values = np.asarray(getattr(getattr(column, "value", column), "unmasked", column))
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind in "iufb":
        values = values.astype(values.dtype.newbyteorder("="))
        if mask.any():
            values = np.where(mask, np.nan, values.astype(float))
        return pd.Series(values)
    text = pd.Series([("" if v is None else v) for v in values.tolist()], dtype=object)
    return text.map(_decoded).where(~np.broadcast_to(mask, len(text)), "")


_READERS: dict[str, Callable[[Path], Content]] = {
    ".ecsv": _ecsv,
    ".vot": _votable,
    ".votable": _votable,
    ".xml": _votable,
    ".fits": _fits,
    ".fit": _fits,
    ".parquet": _parquet,
}

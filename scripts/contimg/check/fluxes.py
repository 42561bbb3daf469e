"""``contimg check-fluxes``: measured flux densities and positions against known ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.coords import separation
from contimg.core.errors import ContimgError
from contimg.core.parquet import read_parquet
from contimg.core.records import Check, atomic, read_record, write_record
from contimg.core.rowflags import usable
from contimg.core.tables.named import read_named
from contimg.core.tables.units import Quantity

_QUANTITIES = (
    Quantity("ra", "deg", "right ascension", "hms"),
    Quantity("dec", "deg", "declination", "dms"),
    Quantity("flux", "Jy", "flux density"),
    Quantity("flux_tolerance"),
    Quantity("position_tolerance", "arcsec", "angle"),
)


class ExpectedFiles(Files):
    """Inputs and outputs of the comparison."""

    expected: Path | None = Field(None, description="table of what is expected")
    photometry: list[Path] = Field([], description="photometry tables")
    photometry_records: list[Path] = Field([], description="their records, in the same order")
    table: Path | None = Field(None, description="comparison to write (CSV)")
    record: Path | None = Field(None, description="JSON record to write")
    show: Path | None = Field(None, description="print this comparison and do nothing else")


def run(files: ExpectedFiles) -> None:
    """Compare, or show an earlier comparison; :class:`ContimgError` when a line of it failed."""
    if files.show is not None:
        _show(files.show)
        return
    if files.expected is None or files.table is None or files.record is None:
        raise ContimgError("--expected, --table and --record are needed (or --show)")
    expected = read_expected(files.expected)
    measured, left_out = [], {}
    for table, path in zip(files.photometry, files.photometry_records, strict=True):
        record = read_record(path)
        if record["verdict"] == "fail":
            left_out[record["product"]] = record["reason"]
        else:
            measured.append(read_parquet(table, "photometry table", path))
    result = compare(expected, pd.concat(measured) if measured else pd.DataFrame())
    with atomic(files.table) as partial:
        result.to_csv(partial, index=False)
    write_record(
        files.record,
        product=files.record.stem,
        stage="check",
        data={
            "lines": [{k: _finite(v) for k, v in r.items()} for r in result.to_dict("records")],
            "left_out": left_out,
        },
        checks=[_check(r) for r in result.itertuples()],
        inputs=[files.expected, *files.photometry_records],
    )
    print(result.to_string(index=False))


# Words about the tiles and their calibration: whether those hold is what this comparison tells.
_OF_TILES = ("flux_scale", "position", "image", "calibration")


def read_expected(path: Path) -> pd.DataFrame:
    """``source``, ``ra_deg``, ``dec_deg``, ``flux_jy``, and how far each may be off.

    A source that is no point has no fitted position: its tolerance may be empty.

    Raises :class:`ContimgError` naming file, row, column and remedy.
    """
    table, problems = read_named(path, "source", _QUANTITIES, ["position_tolerance_arcsec"])
    for column in ("flux_jy", "flux_tolerance", "position_tolerance_arcsec"):
        problems.rows(table[column] <= 0, column, "is not positive", table[column])
    problems.refuse()
    return table


def compare(expected: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Two lines a source: flux density (inverse-variance mean) and, with a tolerance, position."""
    lines = []
    for row in expected.itertuples():
        mine = measured[measured["source"] == row.source] if len(measured) else measured
        if len(mine):
            mine = mine[np.isfinite(mine["flux_jy"]) & usable(mine["flag"], also=_OF_TILES)]
        low, high = (row.flux_jy * (1 + s * row.flux_tolerance) for s in (-1, 1))
        if not len(mine):
            allowed = f"{low:.3f} .. {high:.3f}"
            lines.append(_line(row.source, "flux density", np.nan, np.nan, "Jy", allowed, False))
            continue
        weight = 1 / mine["flux_err_jy"].to_numpy() ** 2
        flux = float((weight * mine["flux_jy"]).sum() / weight.sum())
        lines.append(
            _line(
                row.source,
                "flux density",
                flux,
                weight.sum() ** -0.5,
                "Jy",
                f"{low:.3f} .. {high:.3f}",
                low <= flux <= high,
            )
        )
        if np.isnan(row.position_tolerance_arcsec):
            continue
        best = mine.loc[mine["snr"].idxmax()]
        angles = np.radians([best["fit_ra_deg"], best["fit_dec_deg"], row.ra_deg, row.dec_deg])
        offset = float(np.degrees(separation(*angles)) * 3600)
        limit = row.position_tolerance_arcsec
        lines.append(
            _line(
                row.source,
                "position offset",
                offset,
                float(best["fit_err_arcsec"]),
                "arcsec",
                f"0 .. {limit:g}",
                offset <= limit,
            )
        )
    return pd.DataFrame(lines)


def _line(source, quantity, measured, error, unit, allowed, passed) -> dict:
    return {
        "source": source,
        "quantity": quantity,
        "measured": measured,
        "error": error,
        "unit": unit,
        "allowed": allowed,
        "result": "PASS" if passed else "FAIL",
    }


def _check(line) -> Check:
    """A line of the comparison as a check; nothing measured is a failure with its own words."""
    measured = _finite(line.measured)
    reason = ""
    if line.result != "PASS":
        found = "not measured" if measured is None else f"{measured:.4g} {line.unit}"
        reason = f"{line.source}: {line.quantity} {found}, expected {line.allowed} {line.unit}"
    verdict = "fail" if reason else "pass"
    name, limit = f"{line.source} {line.quantity}", f"fail outside {line.allowed}"
    return Check(name, measured, line.unit, limit, verdict, reason)


def _finite(value):
    """None for a number that is none: a record holds no NaN."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _show(path: Path) -> None:
    table = pd.read_csv(path)
    print(table.to_string(index=False))
    failed = int((table["result"] != "PASS").sum())
    if failed:
        raise ContimgError(f"{failed} of {len(table)} comparisons failed ({path})")


COMMAND = Command(
    help="Compare measured flux densities and positions with known ones.",
    files=ExpectedFiles,
    options=(),
    run=run,
    outputs=("table", "record"),
    record="record",
)

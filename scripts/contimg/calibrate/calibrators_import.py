"""``contimg calibrators import``: a table of calibrators from the text of the VLA calibrator list.

The list has one block a source: a line with its J2000 name, position code (A to T) and position,
a B1950 line, and one row a band with the quality codes of the configurations A to D, the flux
density and the range of baselines for which they hold. What cannot be read is left out, counted
and reported with its line number; nothing is guessed. The flux densities of the list are old and
its sources may vary: an imported source has the role ``bandpass`` or ``phase``, and it takes a
person to write ``scale = yes`` or the role ``flux``.
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.core.calibrators import read_calibrators
from contimg.core.command import Command, Files, existing
from contimg.core.errors import ContimgError
from contimg.core.records import atomic

# Frequencies of the bands. At 20 cm the list agrees with the standards (3C 48: 16.5 Jy, 3C 286:
# 15.0 Jy) at 1.4 GHz, whatever the name of the band says.
BAND_HZ = {
    "90cm": 0.3275e9,
    "20cm": 1.405e9,
    "6cm": 4.86e9,
    "3.7cm": 8.44e9,
    "2cm": 14.94e9,
    "1.3cm": 22.46e9,
    "0.7cm": 43.34e9,
}
_OTHER_NAMES = {"4cm": "3.7cm"}
POSITION_ERROR_ARCSEC = {"A": 0.002, "B": 0.01, "C": 0.15, "T": np.nan}  # upper limits; T: worse
# P: amplitudes close to 3 %, S: to 10 %, W: worse, for phases only
_ROLES = {"P": "bandpass", "S": "bandpass", "W": "phase"}
_HEAD = re.compile(r"^\s*(\S+)\s+J2000\b(.*)$")
_BODY = re.compile(
    r"^\s+([ABCT])\s+(\d+)h(\d+)m([\d.]+)s\s+([+-]?)(\d+)[d'](\d+)'([\d.]+)\"\s*(.*)$"
)
_BAND = re.compile(r"^\s*([\d.]+cm)\s+([A-Z])\s+(.*)$")
_IGNORED = re.compile(r"^\s*(-+|=+|BAND\s.*|IAU NAME.*|\S+\s+B1950\b.*|)\s*$")
_UV_COLUMN = 46  # a single limit that starts before is UVMIN, after it UVMAX


class ImportFiles(Files):
    """The list, what to take of it, and the table to write."""

    vla_list: Path = Field(description="text of the VLA calibrator list")
    table: Path = Field(description="table of calibrators to write (CSV)")
    min_flux_jy: float = Field(1.0, ge=0, description="smallest flux density at 20 cm [Jy]")
    dec_min_deg: float = Field(-90, ge=-90, le=90, description="southernmost declination [deg]")
    dec_max_deg: float = Field(90, ge=-90, le=90, description="northernmost declination [deg]")
    configuration: Literal["A", "B", "C", "D"] = Field(
        "C", description="VLA configuration whose 20 cm code decides the role (C: up to 3.4 km)"
    )
    assumed_spectral_index: float | None = Field(
        None, description="spectral index where only 20 cm is listed (left out if unset)"
    )


@dataclass
class Entry:
    """One source of the list."""

    name: str
    line: int
    ra_deg: float
    dec_deg: float
    position_code: str
    other_name: str
    codes: dict[str, str] = field(default_factory=dict)
    flux_jy: dict[str, float] = field(default_factory=dict)
    uv_klambda: tuple[float, float] = (math.nan, math.nan)  # of 20 cm


def parse(lines: list[str]) -> tuple[list[Entry], list[str]]:
    """The sources of the list, and what could not be read (``line 12: why``)."""
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    entry: Entry | None = None
    for number, line in enumerate(lines, start=1):
        head, band = _HEAD.match(line), _BAND.match(line)
        try:
            if head:
                entry = None  # rows of a block whose head is bad belong to nobody
                found = _entry(head[1], head[2], number)
                if found.name in entries:
                    first = entries[found.name].line
                    raise ValueError(f"{found.name} is already at line {first}")
                entry = entries[found.name] = found
            elif band:
                if entry is not None:
                    _add_band(entry, band[1], band[3], line)
            elif not _IGNORED.match(line):
                raise ValueError(f"not understood: {line.strip()[:60]!r}")
        except ValueError as error:
            name = head[1] if head else entry.name if band and entry is not None else ""
            of = "" if not name or str(error).startswith(name) else f"{name}: "
            problems.append(f"line {number}: {of}{error}")
    return list(entries.values()), problems


def _entry(name: str, body: str, line: int) -> Entry:
    match = _BODY.match(body)
    if match is None:
        raise ValueError(f"{name}: no position code and position")
    code, hours, minutes, seconds, sign, degrees, arcmin, arcsec, rest = match.groups()
    h, m, s = int(hours), int(minutes), float(seconds)
    d, am, asec = int(degrees), int(arcmin), float(arcsec)
    if h > 23 or m > 59 or s >= 60 or d > 90 or am > 59 or asec >= 60:
        raise ValueError(f"{name}: not a position: {body.split('  ')[0].strip()}")
    ra = 15 * (h + m / 60 + s / 3600)
    dec = (d + am / 60 + asec / 3600) * (-1 if sign == "-" else 1)
    if not _name_fits(name, ra, dec):
        raise ValueError(f"{name}: the name does not fit the position {ra:.3f} {dec:+.3f} deg")
    words = rest.split()
    other = words[-1] if words and not re.fullmatch(r"[A-Z][a-z]{2}\d\d|USNO", words[-1]) else ""
    return Entry(name, line, ra, dec, code, other)


def _name_fits(name: str, ra_deg: float, dec_deg: float) -> bool:
    """Whether hhmm+ddd (declination in tenths of a degree) is the position, to a digit."""
    match = re.fullmatch(r"(\d\d)(\d\d)([+-])(\d\d\d)", name)
    if match is None:
        return False
    ra = 15 * (int(match[1]) + int(match[2]) / 60)
    dec = int(match[4]) / 10 * (-1 if match[3] == "-" else 1)
    away = (ra_deg - ra + 180) % 360 - 180
    return -0.25 <= away <= 0.5 and abs(dec_deg - dec) < 0.2


def _add_band(entry: Entry, band: str, rest: str, line: str) -> None:
    band = _OTHER_NAMES.get(band, band)
    words = rest.replace("visplot", " ").split()
    if (
        band not in BAND_HZ
        or len(words) < 5
        or not all(re.fullmatch(r"[A-Z?]", w) for w in words[:4])
    ):
        raise ValueError(f"{entry.name}: not a row of a band: {line.strip()[:60]!r}")
    if band in entry.codes:
        raise ValueError(f"{entry.name}: a second row of {band}")
    flux = float(words[4])
    limits = [float(word) for word in words[5:]]
    if not (np.isfinite(flux) and flux >= 0) or len(limits) > 2:
        raise ValueError(f"{entry.name}: not a row of a band: {line.strip()[:60]!r}")
    entry.codes[band] = "".join(words[:4])
    if flux > 0:  # zero stands for "not measured"
        entry.flux_jy[band] = flux
    if band == "20cm" and limits:
        low, high = limits if len(limits) == 2 else (limits[0], np.nan)
        after_flux = line.index(words[4], line.index(" ".join(words[:4]))) + len(words[4])
        if len(limits) == 1 and line.index(words[5], after_flux) >= _UV_COLUMN:
            low, high = np.nan, low
        entry.uv_klambda = (low, high)


def spectral_index(flux_jy: dict[str, float]) -> tuple[float, str]:
    """Slope of log S at 20 cm and the bands it is from; NaN without a neighbouring band.

    With neighbours on both sides the slope of the parabola through the three, else that of the
    chord.
    """
    bands = list(BAND_HZ)
    here = bands.index("20cm")
    below = [b for b in bands[:here] if b in flux_jy][-1:]
    above = [b for b in bands[here + 1 : here + 3] if b in flux_jy][:1]
    used = [*below, "20cm", *above]
    if len(used) == 1:
        return np.nan, ""
    x = np.log([BAND_HZ[b] / BAND_HZ["20cm"] for b in used])
    y = np.log([flux_jy[b] for b in used])
    return float(np.polyfit(x, y, len(used) - 1)[-2]), " ".join(used)


def make_table(entries: list[Entry], files: ImportFiles) -> tuple[pd.DataFrame, dict[str, int]]:
    """Rows of the table of calibrators, and how many sources were left out for what reason."""
    rows, left_out = [], {}
    place = "ABCD".index(files.configuration)
    for entry in entries:
        flux = entry.flux_jy.get("20cm")
        index, origin = spectral_index(entry.flux_jy) if flux else (np.nan, "")
        if np.isnan(index) and files.assumed_spectral_index is not None:
            index, origin = files.assumed_spectral_index, "assumed"
        role = _ROLES.get(entry.codes.get("20cm", "????")[place])
        reason = (
            "without a flux density at 20 cm"
            if flux is None
            else f"fainter than {files.min_flux_jy:g} Jy"
            if flux < files.min_flux_jy
            else "outside the declinations"
            if not files.dec_min_deg <= entry.dec_deg <= files.dec_max_deg
            else f"not fit for configuration {files.configuration} (code X, C or ?)"
            if role is None
            else "without a second band (no --assumed-spectral-index)"
            if np.isnan(index)
            else ""
        )
        if reason:
            left_out[reason] = left_out.get(reason, 0) + 1
            continue
        rows.append(
            {
                "name": entry.name,
                "ra_deg": round(entry.ra_deg, 8),
                "dec_deg": round(entry.dec_deg, 8),
                "flux_jy": flux,
                "ref_freq_hz": BAND_HZ["20cm"],
                "spectral_index": round(index, 3),
                "spectral_index_from": origin,
                "role": role,
                "variable": "",
                "scale": "",
                "uv_min_klambda": entry.uv_klambda[0],
                "uv_max_klambda": entry.uv_klambda[1],
                "position_code": entry.position_code,
                "position_error_arcsec": POSITION_ERROR_ARCSEC[entry.position_code],
                **{f"codes_{b}": entry.codes.get(b, "") for b in BAND_HZ},
                **{f"flux_{b}_jy": entry.flux_jy.get(b, np.nan) for b in BAND_HZ},
                "source": "VLA calibrator list",
                "remarks": entry.other_name,
            }
        )
    return pd.DataFrame(rows), left_out


def run(files: ImportFiles) -> None:
    """Write the table; report what was left out."""
    path = existing(files.vla_list, "VLA calibrator list")
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError as error:
        raise ContimgError(f"{path}: not a text file ({error.reason})") from None
    entries, problems = parse(lines)
    for problem in problems:
        print(f"{path}: {problem}", file=sys.stderr)
    if not entries:
        raise ContimgError(f"{path}: holds no source ('NAME J2000 code position'); is it the list?")
    table, left_out = make_table(entries, files)
    for reason, number in left_out.items():
        print(f"{number:5d} left out: {reason}")
    if table.empty:
        raise ContimgError(f"{path}: none of {len(entries)} sources qualifies; relax the limits")
    with atomic(files.table) as partial:
        table.to_csv(partial, index=False)
        read_calibrators(partial)
    print(f"{len(table):5d} of {len(entries)} sources written to {files.table}")
    if problems:
        print(f"{len(problems):5d} lines could not be read; see above")


COMMAND = Command(
    help="Make a table of calibrators from the text of the VLA calibrator list.",
    files=ImportFiles,
    options=(),
    run=run,
)

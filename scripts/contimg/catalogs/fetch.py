"""``contimg catalogs fetch``: a region of a public survey as a source table.

The region is asked for in pieces, from VizieR's TAP service. Each piece is kept, with its
checksum, beside the table until all are there: a fetch that was interrupted goes on where it
stopped. The service cuts long answers off without saying so; it is therefore asked for the number
of rows first.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from contimg.catalogs.convert import Spectrum, position_names, source_table
from contimg.catalogs.region import RegionFiles
from contimg.catalogs.surveys import SURVEYS, Survey
from contimg.core.catalog import read_sources
from contimg.core.command import Command
from contimg.core.errors import ContimgError
from contimg.core.objects import read_object
from contimg.core.records import atomic, content_hash, write_record, write_text
from contimg.core.tables.content import Content
from contimg.core.tables.delimited import parse

SERVICE = "https://tapvizier.cds.unistra.fr/TAPVizieR/tap/sync"
_PIECE_DEG = 15.0  # of right ascension and of declination
_MAX_ROWS = 2_000_000
_TRIES = 3


class FetchFiles(RegionFiles):
    """What to fetch and where to put it."""

    table: Path = Field(description="source table to write (Parquet); its record beside it")
    survey: Literal["nvss", "first", "racs", "tgss", "vlass"] = Field(description="the survey")
    flux_min_jy: float = Field(
        0.0025, ge=0, description="smallest flux density at the survey's frequency [Jy]"
    )
    spectral_index: float = Field(
        description="spectral index of all sources; the surveys have none, and it matters: RACS is"
        " at 0.89 GHz, VLASS at 3 GHz"
    )
    service: str = Field(SERVICE, description="TAP service (synchronous)")
    timeout_s: float = Field(120, gt=0, description="longest wait for an answer [s]")

    @model_validator(mode="after")
    def _some_region(self) -> FetchFiles:
        if self.everywhere:
            raise ValueError("give ra_deg, dec_deg and radius_deg, or dec_min_deg and dec_max_deg")
        if self.table.suffix != ".parquet":
            raise ValueError("table must end in .parquet")
        return self


@dataclass(frozen=True)
class Box:
    """A piece: lower edges belong to it, upper ones do not (but for the north pole)."""

    ra_min: float
    ra_max: float
    dec_min: float
    dec_max: float


def pieces(files: FetchFiles) -> list[Box]:
    """Boxes that cover the region."""
    if files.radius_deg is None:
        assert files.dec_min_deg is not None and files.dec_max_deg is not None
        spans, low, high = [(0.0, 360.0)], files.dec_min_deg, files.dec_max_deg
    else:
        assert files.ra_deg is not None and files.dec_deg is not None
        low, high = files.dec_deg - files.radius_deg, files.dec_deg + files.radius_deg
        spans = _ra_spans(files.ra_deg, files.dec_deg, files.radius_deg)
    boxes = []
    for dec_min, dec_max in _split(max(low, -90.0), min(high, 90.0)):
        for start, end in spans:
            boxes += [Box(a, b, dec_min, dec_max) for a, b in _split(start, end)]
    return boxes


def _ra_spans(ra: float, dec: float, radius: float) -> list[tuple[float, float]]:
    """Right ascensions that a circle reaches, across 0h in two spans, all of them at a pole."""
    if abs(dec) + radius >= 90:
        return [(0.0, 360.0)]
    half = float(np.degrees(np.arcsin(np.sin(np.radians(radius)) / np.cos(np.radians(dec)))))
    start, end = ra - half, ra + half
    if start < 0:
        return [(start + 360, 360.0), (0.0, end)]
    if end > 360:
        return [(start, 360.0), (0.0, end - 360)]
    return [(start, end)]


def _split(start: float, end: float) -> list[tuple[float, float]]:
    number = max(1, int(np.ceil((end - start) / _PIECE_DEG - 1e-9)))
    edges = np.linspace(start, end, number + 1).round(6).tolist()
    return list(itertools.pairwise(edges))


def query(survey: Survey, box: Box, flux_min_jy: float, *, count: bool = False) -> str:
    """The ADQL of a piece, or of the number of its rows."""
    what = "COUNT(*) AS n" if count else ", ".join(f'"{c}"' for c in survey.columns)
    above = "<=" if box.dec_max >= 90 else "<"
    conditions = [
        f'"RAJ2000" >= {box.ra_min!r} AND "RAJ2000" < {box.ra_max!r}',
        f'"DEJ2000" >= {box.dec_min!r} AND "DEJ2000" {above} {box.dec_max!r}',
        f'"{survey.flux}" >= {flux_min_jy * 1e3!r}',
    ]
    for column, values in survey.keep:
        conditions.append(f'"{column}" IN ({", ".join(map(str, values))})')
    return f'SELECT {what} FROM "{survey.table}" WHERE {" AND ".join(conditions)}'


def ask(service: str, adql: str, timeout_s: float) -> str:
    """The CSV answer of a TAP service; :class:`ContimgError` when there is none."""
    form = {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "csv", "MAXREC": _MAX_ROWS}
    body = urllib.parse.urlencode(form | {"QUERY": adql}).encode()
    for attempt in range(1, _TRIES + 1):
        try:
            with urllib.request.urlopen(service, body, timeout=timeout_s) as answer:
                return answer.read().decode("utf-8")
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == _TRIES:
                reason = f"{error}: {_start(error.read(4000).decode('utf-8', 'replace'))}"
                raise ContimgError(f"{service}: {reason}") from None
        except (OSError, http.client.HTTPException) as error:
            if attempt == _TRIES:
                raise ContimgError(
                    f"{service}: no answer ({error}); check the network and run again: what has"
                    " been fetched is kept"
                ) from None
        time.sleep(2.0**attempt)
    raise AssertionError("unreachable")


def fetch_piece(folder: Path, survey: Survey, box: Box, files: FetchFiles) -> tuple[str, bool]:
    """The answer of a piece, from `folder` if it is there and whole; whether it was fetched."""
    adql = query(survey, box, files.flux_min_jy)
    key = hashlib.sha256(f"{files.service} {adql}".encode()).hexdigest()[:16]
    path, check = folder / f"{key}.csv", folder / f"{key}.json"
    if path.exists() and read_object(check).get("sha256") == content_hash(path):
        return path.read_text(), False
    number = _count(
        ask(files.service, query(survey, box, files.flux_min_jy, count=True), files.timeout_s),
        files.service,
    )
    if number > _MAX_ROWS:
        raise ContimgError(f"{files.service}: {number} rows in one piece; raise flux_min_jy")
    text = ask(files.service, adql, files.timeout_s)
    found = parse_answer(text, survey, files.service).rows
    if found != number:
        raise ContimgError(
            f"{files.service}: {found} rows of {number} came (right ascension {box.ra_min:g} to"
            f" {box.ra_max:g}); run again, or raise flux_min_jy"
        )
    write_text(path, text)
    write_text(check, json.dumps({"sha256": content_hash(path), "rows": found, "query": adql}))
    return text, True


def parse_answer(text: str, survey: Survey, origin: str) -> Content:
    """The table that a service answered; :class:`ContimgError` when it is not the one asked for."""
    try:
        content = parse(Path(origin), text.splitlines())
    except ContimgError as error:
        raise ContimgError(f"{error}; the answer was: {_start(text)}") from None
    missing = [c for c in survey.columns if c not in content.columns]
    if missing:
        raise ContimgError(
            f"{origin}: no column {', '.join(missing)} in the answer: {_start(text)}"
        )
    return content


def joined(tables: list[pd.DataFrame], survey: Survey) -> pd.DataFrame:
    """Pieces as one table by right ascension; what lies on an edge is in it once."""
    table = pd.concat(tables).drop(columns="name").drop_duplicates()
    table = table.sort_values(["ra_deg", "dec_deg"], ignore_index=True)
    table.insert(0, "name", position_names(survey.label, table["ra_deg"], table["dec_deg"]))
    return table


def _start(text: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:300]


def _count(text: str, service: str) -> int:
    lines = text.split()
    if len(lines) != 2 or not lines[1].strip('"').isdigit():
        raise ContimgError(f"{service}: not a number of rows: {_start(text)}")
    return int(lines[1].strip('"'))


def run(files: FetchFiles) -> None:
    """Fetch what is not there yet, then write the table and its record."""
    survey = SURVEYS[files.survey]
    folder = files.table.with_name(files.table.name + ".parts")
    boxes = pieces(files)
    spectrum = Spectrum(files.spectral_index)
    tables = []
    for number, box in enumerate(boxes, start=1):
        text, fresh = fetch_piece(folder, survey, box, files)
        rows, _ = source_table(parse_answer(text, survey, files.service), survey, spectrum)
        tables.append(rows)
        state = "fetched" if fresh else "was there"
        print(f"piece {number} of {len(boxes)}: {len(rows)} rows, {state}", flush=True)
    table = files.inside(joined(tables, survey))
    if table.empty:
        raise ContimgError(
            f"{files.survey} has no source of {files.flux_min_jy:g} Jy or more there; does the"
            " survey cover the region?"
        )
    with atomic(files.table) as partial:
        table.to_parquet(partial, index=False)
        read_sources(partial)
    write_record(
        files.table.with_suffix(".json"),
        product=files.table.name,
        stage="catalogs fetch",
        data={
            "survey": files.survey,
            "reference": survey.reference,
            "vizier_table": survey.table,
            "request": files.model_dump(mode="json", exclude={"table", "timeout_s"}),
            "rows": len(table),
            "sha256": content_hash(files.table),
        },
    )
    shutil.rmtree(folder)
    print(f"{len(table)} sources written to {files.table}")


COMMAND = Command(
    help="Fetch a region of NVSS, FIRST, RACS or VLASS as a source table (needs the network).",
    files=FetchFiles,
    options=(),
    run=run,
)

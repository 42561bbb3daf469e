"""``contimg catalogs import``: a file of a survey or of a source finder as a source table."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from contimg.catalogs.convert import Spectrum, recognise, source_table
from contimg.catalogs.region import RegionFiles
from contimg.catalogs.surveys import FILES
from contimg.core.catalog import read_sources
from contimg.core.command import Command, existing
from contimg.core.errors import ContimgError
from contimg.core.options import POSITIONAL
from contimg.core.records import atomic, content_hash, write_record
from contimg.core.tables.content import Content
from contimg.core.tables.delimited import Header, parse, read_text
from contimg.core.tables.formats import is_text, read_content

_FREQUENCY = re.compile(rb"(?i)reference frequency[^:\n]*:\s*([\d.]+(?:e[+-]?\d+)?)\s*Hz")
_HEADER_BYTES = 100_000  # where source finders may mention it
_SELAVY = {"ra_deg_cont", "dec_deg_cont"}


class ImportFiles(RegionFiles):
    """The file, what to take of it, and the table to write."""

    file: Annotated[list[Path], POSITIONAL] = Field(
        [], description="table of NVSS, RACS, FIRST, TGSS, VLASS, Selavy, PyBDSF or Aegean"
    )
    table: Path = Field(description="source table to write (Parquet); its record beside it")
    kind: Literal[
        "auto", "nvss", "racs", "first", "tgss", "vlass", "selavy", "pybdsf", "aegean"
    ] = Field("auto", description="what the file is; auto: by its columns")
    spectral_index: float = Field(
        description="spectral index of the sources without one; it matters: TGSS is at 0.15 GHz,"
        " VLASS at 3 GHz"
    )
    table_index: bool = Field(
        False, description="take the spectral index of the table where it has one"
    )
    freq_hz: float | None = Field(
        None, gt=1e7, lt=1e12, description="frequency of the flux densities, if not known [Hz]"
    )
    flux_min_jy: float = Field(
        0.0, ge=0, description="smallest flux density, at that frequency [Jy]"
    )

    @model_validator(mode="after")
    def _one_file(self) -> ImportFiles:
        if len(self.file) != 1:
            raise ValueError("give one file: contimg catalogs import FILE")
        if self.table.suffix != ".parquet":
            raise ValueError("table must end in .parquet")
        return self


def read_survey(path: Path) -> tuple[Content, float | None]:
    """The table in `path`, and the frequency [Hz] that its header mentions.

    Source finders put the names of the columns, and their units below, into lines of comment.
    """
    if not is_text(path):
        content = read_content(path)
    else:
        lines = read_text(existing(path, "table")).splitlines()
        content = parse(path, lines, _in_comment(lines))
    with path.open("rb") as stream:
        found = _FREQUENCY.search(stream.read(_HEADER_BYTES))
    return content, float(found[1]) if found else None


def _in_comment(lines: list[str]) -> Header | None:
    """Names and units in a source finder's comment; None of a table with plain names."""
    for line, below in itertools.pairwise(lines):
        names = re.split(r"[,\s]+", line.lstrip("# ").strip())
        lower = {name.lower() for name in names}
        if line.startswith("#") and ({"ra", "dec"} <= lower or lower >= _SELAVY):
            units = re.split(r"\s+", below.lstrip("# ").strip()) if below.startswith("#") else []
            plain = [unit.strip("[]-") for unit in units]
            blank = [""] * len(names)
            separator = "," if "," in line else " "
            return Header(names, plain if len(plain) == len(names) else blank, separator)
    return None


def run(files: ImportFiles) -> None:
    """Read, convert, write the table and its record; say what was left out."""
    file = files.file[0]
    content, freq_hz = read_survey(file)
    kind = recognise(content, files.kind)
    survey = FILES[kind]
    spectrum = Spectrum(files.spectral_index, files.table_index, files.freq_hz or freq_hz)
    table, left_out = source_table(content, survey, spectrum)
    inside = files.inside(table)
    kept = inside[inside["flux_jy"] >= files.flux_min_jy].reset_index(drop=True)
    left_out |= {"outside the region": len(table) - len(inside), "fainter": len(inside) - len(kept)}
    print(f"{content.rows} rows of {kind} ({survey.reference})")
    for reason, number in left_out.items():
        if number:
            print(f"{number:8d} left out: {reason}")
    if kept.empty:
        raise ContimgError(f"{file}: no source is left; relax the region or flux_min_jy")
    with atomic(files.table) as partial:
        kept.to_parquet(partial, index=False)
        read_sources(partial)
    write_record(
        files.table.with_suffix(".json"),
        product=files.table.name,
        stage="catalogs import",
        data={
            "kind": kind,
            "reference": survey.reference,
            "request": files.model_dump(mode="json", exclude={"table", "file"}),
            "rows_of_file": content.rows,
            "left_out": left_out,
            "rows": len(kept),
            "sha256": content_hash(files.table),
        },
        inputs=[file],
    )
    print(f"{len(kept):8d} sources written to {files.table}")


COMMAND = Command(
    help="Make a source table of a file of NVSS, RACS, FIRST, TGSS, VLASS or a source finder.",
    files=ImportFiles,
    options=(),
    run=run,
)

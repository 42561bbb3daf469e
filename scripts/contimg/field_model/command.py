"""``contimg field-model``: what deep mosaics show and no catalogue has, as a source table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from contimg.core.catalog import read_sources
from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.fits import read_image
from contimg.core.records import Check, atomic, check, read_record, write_record
from contimg.core.seals import verified
from contimg.field_model.deep import MOSAIC_COLUMNS, joined, sources_of
from contimg.field_model.options import DeepFieldOptions


class FieldModelFiles(Files):
    """Inputs and outputs."""

    images: list[Path] = Field(min_length=1, description="deep mosaics [Jy/beam]")
    rms: list[Path] = Field(description="their noise maps, in the same order")
    mosaic_records: list[Path] = Field(description="their records, in the same order")
    catalog: Path = Field(description="table of the known sources")
    previous: list[Path] = Field([], description="the table made before; none for the first")
    table: Path = Field(description="output: sources that the catalogue lacks (CSV)")
    record: Path = Field(description="output: record")


def run(files: FieldModelFiles, options: DeepFieldOptions) -> None:
    """Search the mosaics that did not fail, and add to the table made before."""
    if not len(files.images) == len(files.rms) == len(files.mosaic_records):
        raise ContimgError("give each deep mosaic one noise map and one record")
    catalog = read_sources(files.catalog)
    found, left_out = _found(files, catalog, options)
    before = [_table(path) for path in files.previous]
    table = joined([*before, *found])
    files.table.parent.mkdir(parents=True, exist_ok=True)
    with atomic(files.table) as partial:
        table.to_csv(partial, index=False, float_format="%.9g")
    write_record(
        files.record,
        product=files.record.stem,
        stage="field_model",
        data=_facts(table, found, before, left_out),
        checks=_checks(left_out),
        options=[options],
        inputs=[*files.images, *files.mosaic_records, files.catalog, *files.previous],
    )
    print(f"{len(table)} sources that the catalogue lacks; {sum(map(len, found))} are seen here")


def _found(
    files: FieldModelFiles, catalog: pd.DataFrame, options: DeepFieldOptions
) -> tuple[list[pd.DataFrame], dict[str, str]]:
    """Sources of each mosaic, and why others have none."""
    found, left_out = [], {}
    for image, rms, path in zip(files.images, files.rms, files.mosaic_records, strict=True):
        try:
            if (record := read_record(path))["verdict"] == "fail":
                raise DataQualityError(record["reason"])
            maps = (read_image(verified(image, path)), read_image(verified(rms, path)))
        except DataQualityError as error:
            left_out[path.stem] = str(error)
            continue
        found.append(sources_of(*maps, catalog, options))
    if not found:
        raise DataQualityError("no deep mosaic: " + "; ".join(left_out.values()))
    return found, left_out


def _table(path: Path) -> pd.DataFrame:
    """A table that this command wrote."""
    table = read_sources(path)
    if missing := set(MOSAIC_COLUMNS) - set(table):
        raise ContimgError(f"{path}: no column {', '.join(sorted(missing))}; make it again")
    return table[list(MOSAIC_COLUMNS)]


def _facts(
    table: pd.DataFrame,
    found: list[pd.DataFrame],
    before: list[pd.DataFrame],
    left_out: dict[str, str],
) -> dict[str, Any]:
    return {
        "n_sources": len(table),
        "n_seen": sum(map(len, found)),
        "n_before": sum(map(len, before)),
        "faintest_jy": float(table["flux_jy"].min()) if len(table) else None,
        "mosaics_left_out": left_out,
    }


def _checks(left_out: dict[str, str]) -> list[Check]:
    return [check("mosaics_left_out", len(left_out), warn_above=0)]


COMMAND = Command(
    help="List the sources of deep mosaics that the catalogue lacks, for the fits of later nights.",
    files=FieldModelFiles,
    options=(DeepFieldOptions,),
    run=run,
    outputs=("table", "record"),
    record="record",
    needed=("previous",),
)

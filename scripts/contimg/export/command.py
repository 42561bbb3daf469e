"""``contimg export``: the results in the formats of other programs and archives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.export import region_label, votable_text
from contimg.core.options import POSITIONAL
from contimg.core.parquet import read_parquet
from contimg.core.paths import path
from contimg.core.records import atomic, write_text
from contimg.export import alerts, obscore, vast
from contimg.export.coverage import coverage, write_coverage
from contimg.export.hips import write_hips
from contimg.export.voevent import write_voevents
from contimg.help import did_you_mean
from contimg.report import lookup
from contimg.report.status import read_plan, statuses
from contimg.report.weblog.facts import Fact, read_facts

WHAT = ("obscore", "moc", "regions", "vast", "alerts", "voevents", "hips")


class ExportFiles(Files):
    """What is written, and where."""

    what: Annotated[list[str], POSITIONAL] = Field(
        [],
        description="obscore: table of images; moc: coverage by day; regions: sources for DS9 and"
        " CARTA; vast: tables of the VAST pipeline; alerts: the last packet of every source;"
        " voevents: the same as VOEvents; hips: the deepest mosaic (all of these if unset)",
    )
    results: str = Field("results", description="results directory")
    out: Path = Field(Path("export"), description="folder to write to")
    base_url: str | None = Field(
        None, description="where the results are to be had over HTTP, for the table of images"
    )
    mosaic: str | None = Field(None, description="mosaic of the HiPS (of least noise if unset)")
    position_error_arcsec: float | None = Field(
        None, gt=0, description="error of the catalogued positions, which VOEvents state [arcsec]"
    )
    radius_arcsec: float = Field(30.0, gt=0, description="radius of the regions [arcsec]")


def run(files: ExportFiles) -> None:
    """Write what is asked for and say where it is."""
    for word in files.what:
        if word not in WHAT:
            raise ContimgError(f"nothing called {word} to export: {', '.join(WHAT)}")
    plan = read_plan(files.results)
    facts = read_facts(statuses(plan, files.results))
    table = obscore.obscore(facts, plan, files.results, files.base_url)
    for what in files.what or WHAT:
        try:
            written = _write(what, files, facts, table)
        except ContimgError as error:
            if files.what:
                raise
            print(f"contimg export: no {what}: {error}", file=sys.stderr)
            continue
        for file in written:
            print(file)


def _write(what: str, files: ExportFiles, facts: list[Fact], table: pd.DataFrame) -> list[Path]:
    if what == "obscore":
        words = "Images and mosaics (ObsCore 1.1)"
        text = votable_text(table, "obscore", words, obscore.COLUMNS, obscore.UTYPES)
        write_text(files.out / "obscore.vot", text)
        return [files.out / "obscore.vot"]
    if what == "moc":
        return write_coverage(coverage(table), files.out)
    if what == "regions":
        return write_regions(files)
    folder = Path(path("candidates", files.results)).with_name("alerts")
    if what == "voevents":
        return write_voevents(folder, files.out / "voevents", files.position_error_arcsec)
    if what == "alerts":
        packets = alerts.packets(folder, lookup.light_curves(files.results))
        write_text(files.out / "alerts.jsonl", packets)
        write_text(files.out / "alert.schema.json", alerts.schema())
        return [files.out / "alerts.jsonl", files.out / "alert.schema.json"]
    if what == "hips":
        return [_write_hips(files, facts, table)]
    return write_vast(files, facts, table)


def _write_hips(files: ExportFiles, facts: list[Fact], table: pd.DataFrame) -> Path:
    """The tiles of one mosaic."""
    noise = {
        f.item: f.values["rms_median_jy_beam"]
        for f in facts
        if f.stage == "mosaic" and f.values.get("rms_median_jy_beam")
    }
    if not noise:
        raise ContimgError(f"{files.results}: no mosaic yet")
    mosaic = files.mosaic or min(noise, key=noise.__getitem__)
    if mosaic not in noise:
        raise ContimgError(f"no mosaic {mosaic}{did_you_mean(mosaic, noise)}")
    folder = files.out / f"hips_{mosaic}"
    about = next(row for row in table.to_dict("records") if row["obs_id"] == mosaic)
    write_hips(Path(path("mosaic", files.results, mosaic=mosaic)), folder, about)
    return folder


def write_vast(files: ExportFiles, facts: list[Fact], table: pd.DataFrame) -> list[Path]:
    """Measurements, images and sources as CSV and Parquet."""
    mosaics = {f.item: f.values for f in facts if f.stage == "mosaic" and f.values}
    noise = {name: values["rms_median_jy_beam"] for name, values in mosaics.items()}
    wanted = ["source", "mosaic", "rms_jy_beam", "bmaj_deg", "bmin_deg", "bpa_deg"]
    found = []
    for name in mosaics:
        file = Path(path("photometry", files.results, mosaic=name))
        if file.exists():
            measured = read_parquet(file, "photometry")
            found.append(measured[[column for column in wanted if column in measured.columns]])
    if not found:
        raise ContimgError(f"{files.results}: no photometry yet")
    rows = lookup.light_curves(files.results)
    tables = {
        "measurements": vast.measurements(rows, pd.concat(found, ignore_index=True)),
        "images": vast.images(table, noise),
        "sources": vast.sources(lookup.sources(files.results)),
    }
    written = []
    for name, content in tables.items():
        for suffix in ("csv", "parquet"):
            file = files.out / "vast" / f"{name}.{suffix}"
            with atomic(file) as partial:
                if suffix == "csv":
                    content.to_csv(partial, index=False)
                else:
                    content.to_parquet(partial, index=False)
            written.append(file)
    return written


def write_regions(files: ExportFiles) -> list[Path]:
    """Circles about the sources, candidates in red, for DS9 and for CARTA and CASA."""
    from astropy import units
    from astropy.coordinates import SkyCoord
    from regions import CircleSkyRegion, Regions

    table = lookup.sources(files.results)
    places = SkyCoord(table["ra_deg"], table["dec_deg"], unit=units.deg)
    radius = files.radius_arcsec * units.arcsec
    circles = Regions(
        [
            CircleSkyRegion(
                place,
                radius,
                meta=dict.fromkeys(("text", "label"), region_label(str(name))),
                visual={"color": "red" if listed else "cyan"},
            )
            for place, name, listed in zip(
                places, table["source"], table["list"] != "", strict=True
            )
        ]
    )
    written = []
    for suffix, form in (("reg", "ds9"), ("crtf", "crtf")):
        file = files.out / f"sources.{suffix}"
        with atomic(file) as partial:
            circles.write(partial, format=form, overwrite=True)
        written.append(file)
    return written


COMMAND = Command(
    help="Write tables of images, coverage, regions, VAST tables and alerts for other programs.",
    files=ExportFiles,
    options=(),
    run=run,
    by_hand=True,
)

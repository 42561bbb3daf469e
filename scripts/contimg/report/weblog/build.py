"""All pages of the web log, from what is in a results directory."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from contimg.core.paths import path
from contimg.core.progress import progress
from contimg.report import runs
from contimg.report.options import ReportOptions
from contimg.report.weblog.candidates import write_candidates
from contimg.report.weblog.cutouts import write_cutouts
from contimg.report.weblog.days import write_day
from contimg.report.weblog.facts import Fact, by_day, read_day, read_status
from contimg.report.weblog.front import write_front
from contimg.report.weblog.links import Links, relate
from contimg.report.weblog.site import Site, code_digest
from contimg.report.weblog.sources import write_sources
from contimg.report.weblog.tables import brightest, read_tables

SKY_TILES = 600  # the latest, on the map of the sky


def build(results: str, plan: Mapping[str, Any], status: Path, options: ReportOptions) -> Site:
    """Write every page that changed; those of items that are gone are removed."""
    made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    site = Site(results, options.title, made)
    rows = read_status(status)
    code = code_digest()
    dated = by_day(rows, plan)
    days = [read_day(site, name, dated[name], code) for name in progress(dated, "records of days")]
    links = relate(days, plan)
    facts = [fact for day in days for fact in day.facts]
    mosaics = sorted(item for kind, item in links.state if kind == "mosaic")
    config = runs.latest(results) or {}
    tables = read_tables(results, mosaics, _catalogue(config), _frequency(facts))
    links = replace(links, sources_of=brightest(tables))
    site.assets()
    names = [day.name for day in days]
    turns = list(zip(["", *names], days, [*names[1:], ""], strict=False))
    for before, day, after in progress(turns, "pages of days"):
        write_day(site, day, links, plan, (before, after), options.max_tiles)
    stamped = write_cutouts(site, mosaics, tables, options.cutout_pixels)
    epochs = {m: (links.days["mosaic", m], links.tiles_of_mosaic.get(m, [])) for m in mosaics}
    images = {m: file for m in mosaics if Path(file := path("mosaic", results, mosaic=m)).exists()}
    write_sources(site, tables, epochs, stamped, images)
    cards = write_candidates(site, tables, links, options.candidate_decisions)
    _sky(site, facts, links, plan)
    write_front(site, plan, rows, days, links, tables, cards)
    for folder in ("days", "tiles", "calsets", "mosaics", "data/days"):
        site.tidy(folder)
    return site


def _catalogue(note: Mapping[str, Any]) -> Path | None:
    """The table of targets of the last run, seen from where it was started."""
    config = note.get("config", {})
    named = config.get("targets") or config.get("catalog")
    return Path(note["directory"]) / named if named else None


def _frequency(facts: Sequence[Fact]) -> float | None:
    """Frequency of the flux densities: the mean of the mosaics' [Hz]."""
    found = [f.values.get("freq_hz") for f in facts if f.stage == "photometry"]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def _sky(site: Site, facts: Sequence[Fact], links: Links, plan: Mapping[str, Any]) -> None:
    """Outlines of tiles and mosaics for the map."""
    images = [f for f in facts if f.stage == "image"]
    latest = sorted(images, key=lambda f: f.item)[-SKY_TILES:]
    tiles = [entry for f in latest if (entry := _tile(f, links, plan)) is not None]
    mosaics = [
        _entry(f, links, "mosaics", f.values["corners_deg"], f.values["rms_median_jy_beam"])
        for f in facts
        if f.stage == "mosaic" and f.values.get("corners_deg")
    ][-SKY_TILES:]
    angles = np.radians([entry["outline"][0][0] for entry in [*tiles, *mosaics]])
    middle = float(np.degrees(np.angle(np.exp(1j * angles).sum()))) % 360 if len(angles) else 0.0
    site.data("data/sky.js", "sky", {"tiles": tiles, "mosaics": mosaics, "centre": middle})
    more = {"total": len(images), "shown": len(latest)} if len(images) > SKY_TILES else {"total": 0}
    site.page("sky.html", "sky.html.j2", title="Sky", **more)


def _tile(fact: Fact, links: Links, plan: Mapping[str, Any]) -> dict[str, Any] | None:
    """The square of a tile's image; of one without an image its centre is not drawn."""
    entry, values = plan["groups"].get(fact.item, {}), fact.values
    if entry.get("ra_deg") is None or not values.get("imsize"):
        return None
    half = values["imsize"] * values["cell_arcsec"] / 7200
    east = half / max(np.cos(np.radians(entry["dec_deg"])), 0.02)
    ra, dec = entry["ra_deg"], entry["dec_deg"]
    corners = [(ra + a * east, dec + b * half) for a, b in ((1, -1), (-1, -1), (-1, 1), (1, 1))]
    return _entry(fact, links, "tiles", corners, values.get("rms_jy_beam"))


def _entry(
    fact: Fact, links: Links, folder: str, outline: Sequence[Sequence[float]], rms: float | None
) -> dict[str, Any]:
    return {
        "name": fact.item,
        "day": links.days[fact.kind, fact.item],
        "folder": folder,
        "state": links.state[fact.kind, fact.item],
        "outline": [[round(float(ra), 4), round(float(dec), 4)] for ra, dec in outline],
        "rms": rms,
    }

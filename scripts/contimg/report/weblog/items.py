"""Pages of single items: what a tile, calset or mosaic is, how good, and where its files are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contimg.core.paths import PATTERNS, WILDCARDS, fields, path
from contimg.report.weblog.facts import Fact, record_of
from contimg.report.weblog.links import Links
from contimg.report.weblog.site import Link, Site, utc_text
from contimg.report.weblog.values import in_words

TITLES = {"group": "Tile", "calset": "Calset", "mosaic": "Mosaic"}
# files of an item, in the order of their links
FILES = {
    "group": (
        *("image", "pbcor", "residual", "psf", "model", "pb", "tile_rms", "image_cube"),
        *("image_page", "ms", "calibrated_ms", "calset_choice", "manifest", "tile_fluxes"),
        "tile_new",
    ),
    "calset": ("calset_page", "cal_ms", "caltable", "drift_page", "drift_table"),
    "mosaic": (
        *("mosaic", "mosaic_residual", "mosaic_weight", "mosaic_rms", "mosaic_coverage"),
        *("mosaic_mjd", "mosaic_time", "mosaic_freq", "mosaic_tiles", "mosaic_page"),
        *("photometry", "published"),
    ),
}
WORDS = {
    **{"image": "image (FITS)", "pbcor": "image / primary beam (FITS)", "ms": "Measurement Set"},
    **{"tile_rms": "local noise (FITS)", "calibrated_ms": "calibrated Measurement Set"},
    **{"image_page": "page of checks", "calset_choice": "choice of the calset"},
    **{"manifest": "manifest of the raw files", "tile_fluxes": "flux densities (Parquet)"},
    **{"tile_new": "sources that the catalogue lacks (CSV)", "mosaic": "mosaic (FITS)"},
    **{"calset_page": "bandpasses, gains, delays, noise", "published": "manifest"},
    **{"photometry": "photometry (Parquet)", "drift_page": "change from calset to calset"},
    **{"mosaic_page": "page of checks", "mosaic_tiles": "tiles (CSV)"},
}
PICTURES = {
    "group": (("image_plot", "image"), ("ms_plot", "flags by antenna, channel, time, correlation")),
    "calset": (("solutions_plot", "solutions of all antennas"), ("cal_ms_plot", "flags")),
    "mosaic": (
        ("mosaic_plot", "mosaic"),
        ("mosaic_validation_plot", "weights, coverage, noise and seams"),
    ),
}


@dataclass
class Stage:
    """One stage of an item as its page shows it."""

    fact: Fact
    files: list[Link]
    checks: list[dict[str, Any]] = field(default_factory=list)


def item_page(site: Site, links: Links, facts: Sequence[Fact], plan: Mapping[str, Any]) -> None:
    """Write the page of the item that all of `facts` are about."""
    kind, item = facts[0].kind, facts[0].item
    name = links.page(kind, item)
    tier = tier_of(facts)
    before, after = links.order[kind, item]
    site.page(
        name,
        "item.html.j2",
        kind=kind,
        item=item,
        title=f"{TITLES[kind]} {item}",
        state=links.state[kind, item],
        day=Link(links.days[kind, item], site.to_page(name, f"days/{links.days[kind, item]}.html")),
        before=_neighbour(site, links, name, kind, before),
        after=_neighbour(site, links, name, kind, after),
        values=_values(facts, plan),
        files=_files(site, name, kind, item, tier),
        pictures=_pictures(site, name, kind, item, tier),
        stages=[_stage(site, name, fact) for fact in facts],
        related=_related(site, links, name, kind, item),
        commands=_commands(site, kind, item, tier),
    )


def tier_of(facts: Sequence[Fact]) -> str:
    """The quality tier of a tile's image, from the name of its record."""
    for fact in facts:
        if fact.stage == "image":
            return fact.record.rpartition(".json")[0].rpartition(".")[2]
    return WILDCARDS["tier"].split("|")[1]


def keys(name: str, kind: str, item: str, tier: str) -> list[dict[str, str]]:
    """Keys of the paths of a product of an item (a calset has several tables)."""
    key = {kind: item, "tier": tier}
    if "table" not in fields(name):
        return [key]
    return [key | {"table": table} for table in WILDCARDS["table"].split("|")]


def _files(site: Site, here: str, kind: str, item: str, tier: str) -> list[Link]:
    named = []
    for name in FILES[kind]:
        for key in keys(name, kind, item, tier):
            label = WORDS.get(name) or name.removeprefix("mosaic_").replace("_", " ")
            label += f" {key['table']}" if "table" in key else ""
            if PATTERNS[name].endswith(".fits") and "FITS" not in label:
                label += " (FITS)"
            named.append((label, path(name, site.results, **key)))
    return site.files(here, named)


def _pictures(site: Site, here: str, kind: str, item: str, tier: str) -> list[Link]:
    named = [
        (words, path(n, site.results, **{kind: item, "tier": tier})) for n, words in PICTURES[kind]
    ]
    return site.files(
        here, [(w, f) for w, f in named if Path(f).exists() and Path(f).stat().st_size]
    )


def _stage(site: Site, here: str, fact: Fact) -> Stage:
    files = site.files(here, [("record", fact.record), *([("log", fact.log)] if fact.log else [])])
    checks = record_of(vars(fact)).get("checks", [])
    order = {"fail": 0, "warn": 1}
    return Stage(fact, files, sorted(checks, key=lambda c: order.get(c["verdict"], 2)))


def _neighbour(site: Site, links: Links, here: str, kind: str, item: str) -> Link | None:
    return Link(item, site.to_page(here, links.page(kind, item))) if item else None


def link_to(site: Site, links: Links, here: str, kind: str, item: str) -> Link:
    """A link to the page of an item, or only its name where there is no page."""
    if not links.known(kind, item):
        return Link(item, "")
    return Link(item, site.to_page(here, links.page(kind, item)), links.state[kind, item])


def _related(
    site: Site, links: Links, here: str, kind: str, item: str
) -> list[tuple[str, list[Link]]]:
    def made(other: str, names: Sequence[str]) -> list[Link]:
        return [link_to(site, links, here, other, name) for name in names]

    if kind == "group":
        own = [c for c in links.tiles_of_calset if c.split("_")[0] == item]
        return [
            ("calibrated by", made("calset", links.calsets_of.get(item, []))),
            ("calsets of this group", made("calset", own)),
            ("in the mosaics", made("mosaic", links.mosaics_of.get(item, []))),
        ]
    if kind == "calset":
        return [
            ("of the group", made("group", [item.split("_")[0]])),
            ("calibrates the tiles", made("group", links.tiles_of_calset.get(item, []))),
        ]
    sources = [
        Link(f"{name} ({1e3 * flux:.4g} mJy)", site.to_page(here, "source.html", key))
        for name, key, flux in links.sources_of.get(item, [])
    ]
    every = Link("all of them", site.to_page(here, "population.html", f"mosaic={item}"))
    return [
        ("tiles", made("group", links.tiles_of_mosaic.get(item, []))),
        ("sources, the brightest first", [*sources, every]),
    ]


def _values(facts: Sequence[Fact], plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known of an item in numbers, with units."""
    rows: list[tuple[str, Any]] = []
    entry = plan["groups"].get(facts[0].item, {}) if facts[0].kind == "group" else {}
    if entry:
        rows = [
            ("observed (UTC)", f"{utc_text(entry['start_mjd'])} to {utc_text(entry['end_mjd'])}"),
            ("centre (ICRS)", position(entry.get("ra_deg"), entry.get("dec_deg"))),
        ]
    for fact in facts:
        values = dict(fact.values)
        if fact.kind == "mosaic" and values.get("ra_deg") is not None:
            rows.append(("centre (ICRS)", position(values.pop("ra_deg"), values.pop("dec_deg"))))
        rows += in_words(values)
    return list(dict(rows).items())


def position(ra_deg: float | None, dec_deg: float | None) -> str:
    """``08:34:54.90 +55:34:21.1 (128.72877, 55.57252)``"""
    if ra_deg is None or dec_deg is None:
        return "–"
    return f"{sexagesimal(ra_deg, dec_deg)} ({ra_deg:.5f}, {dec_deg:.5f})"


def sexagesimal(ra_deg: float, dec_deg: float) -> str:
    """Right ascension in hours and declination in degrees, in sixtieths."""
    hundredths = round(ra_deg % 360 * 24000) % (24 * 360000)
    tenths = round(abs(dec_deg) * 36000)
    ra = f"{hundredths // 360000:02d}:{hundredths // 6000 % 60:02d}:{hundredths / 100 % 60:05.2f}"
    dec = f"{tenths // 36000:02d}:{tenths // 600 % 60:02d}:{tenths / 10 % 60:04.1f}"
    return f"{ra} {'-' if dec_deg < 0 else '+'}{dec}"


def _commands(site: Site, kind: str, item: str, tier: str) -> list[tuple[str, str]]:
    """Commands that open an item's image in other programs; paths from the results' parent."""
    image = {"group": "pbcor", "mosaic": "mosaic"}.get(kind)
    if image is None:
        return [("explain", f"contimg why {path('solutions', site.results, calset=item)}")]
    file = path(image, site.results, **{kind: item, "tier": tier})
    return [
        ("DS9", f"ds9 -zscale {file}"),
        ("CARTA", f"carta {file}"),
        ("Aladin", f"java -jar Aladin.jar {file}"),
        ("explain", f"contimg why {file}"),
    ]

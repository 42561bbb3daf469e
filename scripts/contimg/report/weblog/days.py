"""The page of a day, and those of its tiles, calsets and mosaics."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from contimg.core.paths import path
from contimg.report.stages import STATES
from contimg.report.weblog.facts import Day, Fact
from contimg.report.weblog.items import item_page, link_to, sexagesimal, tier_of
from contimg.report.weblog.links import Links
from contimg.report.weblog.site import Link, Site, digest
from contimg.report.weblog.svg import Point, trend

SIZE = (420, 140)  # of a trend
# fact of a tile's image -> what it is called, and lines to compare with
TRENDS: dict[str, tuple[str, tuple[float, ...]]] = {
    "flux_ratio": ("flux scale: measured over catalogue", (1.0,)),
    "offset_east_arcsec": ("astrometry: east offset [arcsec]", (0.0,)),
    "offset_north_arcsec": ("astrometry: north offset [arcsec]", (0.0,)),
    "noise_ratio": ("noise over thermal noise", (1.0,)),
}


@dataclass(frozen=True)
class Picture:
    """A preview with the page that it leads to."""

    label: str
    href: str
    page: str
    state: str


def write_day(
    site: Site, day: Day, links: Links, plan: Mapping[str, Any], turn: tuple[str, str], most: int
) -> None:
    """All pages of a day, unless nothing that they show has changed; `most` pictures of tiles."""
    items = _items(day.facts)
    names = [f"days/{day.name}.html", *(links.page(kind, item) for kind, item in items)]
    stamp = f"data/days/{day.name}.pages"
    shown = digest(
        day.fingerprint, turn, most, [_around(links, kind, item) for kind, item in items]
    )
    file = site.home / stamp
    if file.exists() and file.read_text() == shown and all(map(site.has, names)):
        site.names |= {stamp, *names}
        site.kept += len(names)
        return
    for facts in items.values():
        item_page(site, links, facts, plan)
    _day_page(site, day, items, links, plan, turn, most)
    site.put(stamp, shown)


def _items(facts: Sequence[Fact]) -> dict[tuple[str, str], list[Fact]]:
    items: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        items[fact.kind, fact.item].append(fact)
    return dict(items)


def _around(links: Links, kind: str, item: str) -> Any:
    """What a page shows of other items: names and states."""
    near = {
        "group": [("calset", c) for c in links.calsets_of.get(item, [])]
        + [("mosaic", m) for m in links.mosaics_of.get(item, [])],
        "calset": [("group", t) for t in links.tiles_of_calset.get(item, [])],
        "mosaic": [("group", t) for t in links.tiles_of_mosaic.get(item, [])],
    }[kind]
    shown = [(*other, links.state.get(other)) for other in near]
    return links.order[kind, item], shown, links.sources_of.get(item)


def _day_page(
    site: Site,
    day: Day,
    items: Mapping[tuple[str, str], list[Fact]],
    links: Links,
    plan: Mapping[str, Any],
    turn: tuple[str, str],
    most: int,
) -> None:
    here = f"days/{day.name}.html"
    tiles = _rows(site, here, items, links, "group")
    for row in tiles:
        entry = plan["groups"].get(row["name"], {})
        known = entry.get("ra_deg") is not None
        row["ra"] = sexagesimal(entry["ra_deg"], entry["dec_deg"])[:8] if known else ""
    before, after = (Link(n, site.to_page(here, f"days/{n}.html")) if n else None for n in turn)
    site.page(
        here,
        "day.html.j2",
        title=f"Day {day.name}",
        day=day.name,
        before=before,
        after=after,
        summary=_summary(items, links),
        trends=[(n, d) for n, d in trends(site, here, day.facts, links) if d],
        tiles=tiles,
        calsets=_rows(site, here, items, links, "calset"),
        mosaics=_rows(site, here, items, links, "mosaic"),
        pictures=_pictures(site, here, items, links, most),
    )


def trends(
    site: Site, here: str, facts: Sequence[Fact], links: Links
) -> list[tuple[str, Markup | None]]:
    """Drawings of what was measured of the tiles with time."""
    images = [f for f in facts if f.stage == "image" and f.values.get("mjd") is not None]
    drawn: list[tuple[str, Markup | None]] = []
    for name, (words, lines) in TRENDS.items():
        points = [
            Point(
                f.values["mjd"],
                f.values[name],
                f.values.get(_error_of(name)) or 0.0,
                f.item,
                site.to_page(here, links.page("group", f.item)),
                f.state,
            )
            for f in images
            if f.values.get(name) is not None
        ]
        drawn.append((words, trend(points, name=words, lines=lines, size=SIZE) if points else None))
    return drawn


def _error_of(name: str) -> str:
    """``offset_east_arcsec`` -> ``offset_east_err_arcsec``"""
    return name.replace("_arcsec", "_err_arcsec") if "_arcsec" in name else f"{name}_err"


def _summary(items: Mapping[tuple[str, str], list[Fact]], links: Links) -> list[tuple[str, list]]:
    words = {"group": "tiles", "calset": "calsets", "mosaic": "mosaics"}
    result = []
    for kind, word in words.items():
        count = Counter(links.state[key] for key in items if key[0] == kind)
        if count:
            result.append((word, [(s, count[s]) for s in reversed(STATES) if count[s]]))
    return result


def _rows(
    site: Site,
    here: str,
    items: Mapping[tuple[str, str], list[Fact]],
    links: Links,
    kind: str,
) -> list[dict[str, Any]]:
    """Rows of a table of items, with everything known of them and links to what they belong to."""
    rows = []
    for (of, item), facts in sorted(items.items()):
        if of != kind:
            continue
        row: dict[str, Any] = dict.fromkeys(
            ("antennas", "antennas_solved", "flux_scale_factor", "rms_median_jy_beam", "n_sources")
        )
        row |= dict.fromkeys(("rms_jy_beam", *TRENDS))
        for fact in facts:
            row |= fact.values
        row["name"], row["link"] = item, link_to(site, links, here, kind, item)
        row["reason"] = next((f.reason for f in facts if f.state == links.state[kind, item]), "")
        members = {"calset": links.tiles_of_calset, "mosaic": links.tiles_of_mosaic}.get(kind, {})
        row["tiles"] = len(members.get(item, []))
        if kind == "group":
            for word, other, names in (
                ("calsets", "calset", links.calsets_of.get(item, [])),
                ("mosaics", "mosaic", links.mosaics_of.get(item, [])),
            ):
                row[word] = [link_to(site, links, here, other, name) for name in names]
        rows.append(row)
    return rows


def _pictures(
    site: Site,
    here: str,
    items: Mapping[tuple[str, str], list[Fact]],
    links: Links,
    most: int,
) -> list[Picture]:
    """Previews of tiles, what failed or is doubtful first."""
    found = []
    for (kind, item), facts in items.items():
        if kind != "group":
            continue
        file = path("image_plot", site.results, group=item, tier=tier_of(facts))
        href = site.to_file(here, file)
        if href:
            state = links.state[kind, item]
            page = site.to_page(here, links.page(kind, item))
            found.append(Picture(item, href, page, state))
    return sorted(found, key=lambda p: (STATES.index(p.state), p.label))[:most]

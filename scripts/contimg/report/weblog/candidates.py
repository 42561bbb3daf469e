"""The gallery of candidates and a page of each, which need no script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from contimg.core.paths import path
from contimg.report.candidates import Decision, latest, read_decisions
from contimg.report.weblog.items import position
from contimg.report.weblog.links import Links
from contimg.report.weblog.site import Link, Site, number, with_error
from contimg.report.weblog.sources import STATISTICS, dip_flux, dip_of, fit_of, statistics_of
from contimg.report.weblog.svg import Curve, Point, curve
from contimg.report.weblog.tables import Tables

MOST = 300  # pages of candidates


@dataclass(frozen=True)
class Card:
    """A candidate as the gallery and the front page show it."""

    row: dict[str, Any]
    key: str
    page: str
    picture: Markup
    decision: Decision | None

    @property
    def event(self) -> str:
        """Depth, centre and width in words."""
        row = self.row
        return (
            f"a dip of {with_error(100 * row['depth'], 100 * row['depth_err'])} %, centred on MJD"
            f" {row['t0_mjd']:.1f}, {number(row['width_days'], 3)} d wide"
        )


def write_candidates(
    site: Site, tables: Tables, links: Links, decisions: Path | None
) -> list[Card]:
    """Pages of the candidates, most significant first, and the gallery."""
    decided = read_decisions(decisions)
    keyed = tables.sources.set_index("source")
    cards = []
    for row in tables.candidates.head(MOST).to_dict("records"):
        name = str(row["source"])
        if name not in keyed.index:
            continue
        statistics = keyed.loc[name]
        page = f"candidates/{statistics['key']}.html"
        drawing = picture(tables.of(name), statistics, (440, 170))
        card = Card(row, statistics["key"], page, drawing, latest(decided, name))
        _page(
            site, card, tables.of(name), statistics, links, [d for d in decided if d.source == name]
        )
        cards.append(card)
    site.tidy("candidates")
    site.page(
        "candidates.html",
        "candidates.html.j2",
        title="Candidates for extreme scattering events",
        cards=cards,
        total=len(tables.candidates),
        files=_files(site),
        search=site.files(
            "candidates.html",
            [
                (
                    "what this search finds, and what it finds by chance",
                    path("search_plot", site.results),
                )
            ],
        ),
        said=tables.said,
    )
    return cards


def picture(rows: pd.DataFrame, statistics: Mapping[str, Any], size: tuple[int, int]) -> Markup:
    """Normalised light curve with the fitted dip."""
    points = [
        Point(row.mjd, row.flux_norm_jy, row.flux_norm_err_jy, str(row.mosaic), "", _state(row.bad))
        for row in rows.itertuples()
    ]
    line: list[tuple[float, float]] = []
    dip = dip_of(statistics)
    if dip is not None and len(rows):
        first, last = float(rows["mjd"].min()), float(rows["mjd"].max())
        mjd = [first + (last - first) * k / 300 for k in range(301)]
        line = list(zip(mjd, dip_flux(mjd, dip).tolist(), strict=True))
    return curve(Curve(points, line), name="normalised light curve [Jy]", size=size)


def _state(bad: bool) -> str:
    return "failed" if bad else "done"


def _page(
    site: Site,
    card: Card,
    rows: pd.DataFrame,
    statistics: Mapping[str, Any],
    links: Links,
    decisions: list[Decision],
) -> None:
    epochs = []
    for row in rows.to_dict("records"):
        mosaic = str(row["mosaic"])
        known = links.known("mosaic", mosaic)
        href = site.to_page(card.page, links.page("mosaic", mosaic)) if known else ""
        tiles = [
            Link(tile, site.to_page(card.page, links.page("group", tile)))
            for tile in links.tiles_of_mosaic.get(mosaic, [])
            if links.known("group", tile)
        ]
        epochs.append({**row, "link": Link(mosaic, href), "tiles": tiles})
    site.page(
        card.page,
        "candidate.html.j2",
        title=f"Candidate {card.row['source']}",
        card=card,
        picture=picture(rows, statistics, (760, 250)),
        source=site.to_page(card.page, "source.html", card.key),
        place=position(card.row["ra_deg"], card.row["dec_deg"]),
        fit=fit_of(statistics) or [],
        values=statistics_of(statistics),
        statistics=STATISTICS,
        epochs=epochs,
        decisions=decisions,
        commands=[
            ("light curve", f"contimg lightcurve '{card.row['source']}'"),
            (
                "decide",
                f"contimg flag-candidate '{card.row['source']}' --status interesting --note '..'",
            ),
        ],
    )


def _files(site: Site) -> list[Link]:
    named = (
        ("table (CSV)", "candidates"),
        ("table (ECSV)", "candidates_ecsv"),
        ("table (VOTable)", "candidates_vot"),
        ("light curves (PNG)", "candidates_plot"),
        ("what the search finds (PNG)", "search_plot"),
        ("completeness of the search (CSV)", "completeness"),
        ("false alarms of the search (CSV)", "false_alarms"),
        ("record", "variability_record"),
    )
    return site.files("candidates.html", [(w, path(n, site.results)) for w, n in named])

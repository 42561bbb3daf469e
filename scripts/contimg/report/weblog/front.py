"""The front page: candidates, what came in and what came out, reasons, trends, days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from contimg.core.paths import path
from contimg.core.plans import read_rejected
from contimg.core.state import state_of
from contimg.report import content
from contimg.report.stages import STATES
from contimg.report.weblog import reasons
from contimg.report.weblog.candidates import Card
from contimg.report.weblog.days import SIZE, trends
from contimg.report.weblog.facts import Day, Fact
from contimg.report.weblog.links import Links
from contimg.report.weblog.site import Link, Site
from contimg.report.weblog.svg import Point, trend
from contimg.report.weblog.tables import Tables

MOST_REASONS = 8
MOST_CANDIDATES = 6
MOST_ITEMS = 200  # listed for a reason
PAGE_OF = {"group": "tiles", "calset": "calibration.html", "mosaic": "mosaics.html"}


FILES = {
    "lightcurves": "light curves (Parquet)",
    "epochs": "epochs (CSV)",
    "sources": "sources (Parquet)",
    "unknown": "sources that the catalogue lacks (CSV)",
    "beam": "primary beam as the sources show it (CSV)",
    "status": "status (CSV)",
}


@dataclass(frozen=True)
class Bar:
    """A stage of the funnel: how many of each state, and where to look."""

    stage: str
    kind: str
    counts: list[tuple[str, int]]
    total: int
    href: str


def write_front(
    site: Site,
    plan: Mapping[str, Any],
    rows: Sequence[Mapping[str, str]],
    days: Sequence[Day],
    links: Links,
    tables: Tables,
    cards: Sequence[Card],
) -> None:
    """The front page and the pages behind its lists: reasons, calibration, mosaics, run."""
    facts = [fact for day in days for fact in day.facts]
    groups = reasons.group(rows)
    rejected = read_rejected(site.results, plan.get("plan"))
    _reasons(site, groups, rejected, links)
    _calibration(site, facts, links)
    _mosaics(site, facts, links)
    compared = comparisons(site.results)
    _run(site, rows, plan, compared, days)
    site.page(
        "index.html",
        "front.html.j2",
        title=site.title,
        summary=content.summary(plan, rows),
        funnel=funnel(rows, groups),
        sources=_sources(tables),
        cards=cards[:MOST_CANDIDATES],
        candidates=len(tables.candidates),
        groups=groups[:MOST_REASONS],
        all_groups=len(groups),
        rejected=reasons.rejected(rejected)[:4],
        trends=[
            *trends(site, "index.html", facts, links),
            *calibrator_trends(site, "index.html", facts, links),
        ],
        days=_days(days, links),
        compared=[(name, _passed(table), len(table["rows"])) for name, table in compared],
    )


def funnel(rows: Sequence[Mapping[str, str]], groups: Sequence[reasons.Group]) -> list[Bar]:
    """Counts of the states at each stage, in order of execution."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        counts.setdefault((row["stage"], row["kind"]), Counter())[row["state"]] += 1
    first = {group.stage: group.mark for group in reversed(groups)}
    bars = []
    for (stage, kind), count in counts.items():
        states = [(s, count[s]) for s in reversed(STATES) if count[s]]
        href = f"reasons.html#{first[stage]}" if stage in first else ""
        if kind == "file":
            href = "reasons.html#rejected"
        bars.append(Bar(stage, kind, states, count.total(), href))
    return bars


def _sources(tables: Tables) -> list[tuple[str, int]]:
    """Numbers of sources at each step of variability."""
    sources = tables.sources
    classes = sources.get("class", ())
    return [
        ("sources measured", len(sources)),
        ("measurements", len(tables.rows)),
        ("searched for events", sum(c != "not_searched" for c in classes)),
        ("candidates", len(tables.candidates)),
    ]


def _days(days: Sequence[Day], links: Links) -> list[dict[str, Any]]:
    """A cell a day, in the colour of its worst tile, or what is left of it."""
    cells = []
    for day in days:
        items = {f.item for f in day.facts if f.kind == "group"}
        count = Counter(links.state["group", item] for item in items)
        bad = sum(count[s] for s in ("failed", "crashed", "incomplete"))
        state = (
            "failed" if bad > 0.1 * len(items) else "warned" if bad or count["warned"] else "done"
        )
        if count["pending"] or count["running"]:
            state = "pending"
        said = ", ".join(f"{count[s]} {s}" for s in reversed(STATES) if count[s])
        cells.append(
            {"day": day.name, "state": state, "said": said or "no tiles", "tiles": len(items)}
        )
    return cells


def calibrator_trends(
    site: Site, here: str, facts: Sequence[Fact], links: Links
) -> list[tuple[str, Markup | None]]:
    """Flux scale of each calset, and how gains and delays changed since the first of them."""
    solved = [f for f in facts if f.stage == "solve" and f.values.get("mjd") is not None]

    def points(values: Mapping[str, tuple[float, float]]) -> list[Point]:
        return [
            Point(
                f.values["mjd"],
                *values[f.item],
                f.item,
                site.to_page(here, links.page("calset", f.item)),
                f.state,
            )
            for f in solved
            if f.item in values
        ]

    scale = {
        f.item: (f.values["flux_scale_factor"], f.values.get("flux_scale_error") or 0.0)
        for f in solved
        if f.values.get("flux_scale_factor") is not None
    }
    drift = drift_of(site.results)
    drawn = [("calibrators: factor on the table's flux density", scale, (1.0,))]
    for name, words in (
        ("amplitude_change", "calibration: change of gain amplitudes"),
        ("phase_change_deg", "calibration: change of gain phases [deg]"),
        ("delay_change_ns", "calibration: change of delays [ns]"),
    ):
        drawn.append(
            (words, {c["calset"]: (c[name], 0.0) for c in drift if c.get(name) is not None}, ())
        )
    return [
        (words, trend(points(values), name=words, lines=lines, size=SIZE) if values else None)
        for words, values, lines in drawn
    ]


def drift_of(results: str) -> list[dict[str, Any]]:
    """What the record of the drift says of every calset; of a damaged one its state tells."""
    return state_of(path("drift_record", results)).content.get("data", {}).get("calsets", [])


def _reasons(
    site: Site,
    groups: Sequence[reasons.Group],
    rejected: Sequence[Mapping[str, str]],
    links: Links,
) -> None:
    listed = []
    for group in groups:
        items = [
            Link(item, site.to_page("reasons.html", links.page(kind, item)), group.state)
            if links.known(kind, item)
            else Link(item, "")
            for kind, item in group.items[:MOST_ITEMS]
        ]
        listed.append((group, items))
    site.page(
        "reasons.html",
        "reasons.html.j2",
        title="Reasons of verdicts",
        groups=listed,
        rejected=reasons.rejected(rejected),
        files=list(rejected)[:MOST_ITEMS],
        total_rejected=len(rejected),
        table=site.files("reasons.html", [("status.csv", path("status", site.results))]),
    )


def _calibration(site: Site, facts: Sequence[Fact], links: Links) -> None:
    here = "calibration.html"
    drift = {c["calset"]: c for c in drift_of(site.results)}
    rows = []
    for fact in facts:
        if fact.stage == "solve":
            page = site.to_page(here, links.page("calset", fact.item))
            row = dict.fromkeys(
                ("antennas", "antennas_solved", "flux_scale_factor", "refant", "mjd")
            )
            row |= fact.values | {"link": Link(fact.item, page, links.state["calset", fact.item])}
            row |= {"drift": drift.get(fact.item, {}), "reason": fact.reason}
            row["tiles"] = len(links.tiles_of_calset.get(fact.item, []))
            rows.append(row)
    files = [
        ("page of the drift", "drift_page"),
        ("table (CSV)", "drift_table"),
        ("record", "drift_record"),
    ]
    site.page(
        here,
        "calibration.html.j2",
        title="Calibration",
        rows=sorted(rows, key=lambda row: row["link"].label),
        trends=[(w, d) for w, d in calibrator_trends(site, here, facts, links) if d],
        files=site.files(here, [(w, path(n, site.results)) for w, n in files]),
        picture=site.files(here, [("change of the calibration", path("drift_plot", site.results))]),
    )


def _mosaics(site: Site, facts: Sequence[Fact], links: Links) -> None:
    here = "mosaics.html"
    rows: dict[str, dict[str, Any]] = {}
    for fact in facts:
        if fact.kind == "mosaic":
            row = rows.setdefault(
                fact.item,
                dict.fromkeys(("mjd", "rms_median_jy_beam", "area_deg2", "n_sources"))
                | {
                    "link": Link(
                        fact.item,
                        site.to_page(here, links.page("mosaic", fact.item)),
                        links.state["mosaic", fact.item],
                    )
                },
            )
            row |= {k: v for k, v in fact.values.items() if k in row}
            row["tiles"] = len(links.tiles_of_mosaic.get(fact.item, []))
            row["picture"] = site.to_file(here, path("mosaic_plot", site.results, mosaic=fact.item))
    points = [
        Point(
            r["mjd"],
            r["rms_median_jy_beam"] * 1e3,
            0.0,
            r["link"].label,
            r["link"].href,
            r["link"].state,
        )
        for r in rows.values()
        if r["mjd"] is not None and r["rms_median_jy_beam"] is not None
    ]
    words = "median noise of the mosaics [mJy/beam]"
    site.page(
        here,
        "mosaics.html.j2",
        title="Mosaics",
        rows=[rows[name] for name in sorted(rows)],
        noise=(words, trend(points, name=words, size=(1100, 200))) if points else None,
    )


def comparisons(results: str) -> list[tuple[str, dict[str, Any]]]:
    """Tables of what was measured against what is known."""
    found = []
    for name, words in (("comparison", "the simulated sky"), ("expected", "known flux densities")):
        table = content.read_table(Path(path(name, results)))
        if table is not None:
            found.append((words, table))
    return found


def _passed(table: Mapping[str, Any]) -> int:
    return sum(any(cell in {"PASS", "pass"} for cell in row) for row in table["rows"])


def _run(
    site: Site,
    rows: Sequence[Mapping[str, str]],
    plan: Mapping[str, Any],
    compared: Sequence[tuple[str, dict[str, Any]]],
    days: Sequence[Day],
) -> None:
    others = [row for row in rows if row["kind"] not in {"group", "calset", "mosaic", "file"}]
    shown = [
        (row, site.files("run.html", [("record", row["record"]), ("log", row["log"])]))
        for row in others
    ]
    files = [(words, path(name, site.results)) for name, words in FILES.items()]
    if plan.get("plan"):
        files.append(("plan", path("plan", site.results, plan=plan["plan"])))
    site.page(
        "run.html",
        "run.html.j2",
        title="Run",
        summary=content.summary(plan, rows),
        stages=shown,
        compared=compared,
        of_tiles=_of_tiles(site.results),
        epochs=content.read_table(Path(path("epochs", site.results))),
        software=software(days),
        timings=content.timings(site.results),
        files=site.files("run.html", files),
    )


def _of_tiles(results: str) -> list[tuple[str, dict[str, Any]]]:
    """Tables of all tiles together: heading and content."""
    headings = {
        "unknown": "Sources above 10 sigma that no catalogue has",
        "beam": "Dish diameter that the flux densities prefer",
    }
    tables = (
        (words, content.read_table(Path(path(name, results)))) for name, words in headings.items()
    )
    return [(words, table) for words, table in tables if table is not None]


def software(days: Sequence[Day]) -> dict[str, list[str]]:
    """Versions by name; more than one where the products were made by different ones."""
    found: dict[str, set[str]] = {}
    for day in days:
        for name, versions in day.software.items():
            found.setdefault(name, set()).update(versions)
    return {name: sorted(versions) for name, versions in found.items()}

"""The web log of a month: 30 days of 279 tiles, 5,000 sources with 30 epochs each.

    python benchmarks/weblog.py [DAYS [TILES [SOURCES]]] [--results DIR]

Prints sizes and times of making all pages, of making them again when nothing changed, and when the
last day is new; and where Chromium and playwright are installed the time in which pages open. The
results are made where they are not there yet (generated records and small images, 30 files a tile
and day less those of Measurement Sets) and stay.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from contimg.core.paths import path  # noqa: E402
from contimg.report.options import ReportOptions  # noqa: E402
from contimg.report.status import read_plan  # noqa: E402
from contimg.report.weblog.build import build  # noqa: E402
from report.make_results import PLAN, Survey  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("days", nargs="?", type=int, default=30)
    parser.add_argument("tiles", nargs="?", type=int, default=279)
    parser.add_argument("sources", nargs="?", type=int, default=5000)
    parser.add_argument("--results", default="results/weblog")
    asked = parser.parse_args()
    if not Path(path("status", asked.results)).exists():
        begun = time.perf_counter()
        survey = Survey(
            asked.results, days=asked.days, tiles=asked.tiles, mosaics=24, sources=asked.sources
        )
        survey.make()
        print(f"results made in {time.perf_counter() - begun:.1f} s")
    timed(asked.results, "all pages")
    timed(asked.results, "again, nothing changed")
    last = max((Path(asked.results) / "images").iterdir())
    for record in last.rglob("*.json"):
        record.write_text(json.dumps(json.loads(record.read_text()) | {"remade": True}))
    timed(asked.results, "again, the last day is new")
    home = Path(path("report", asked.results)).parent
    sizes(home)
    opened(home)


def timed(results: str, words: str) -> None:
    """Make the pages and say how long it took."""
    begun = time.perf_counter()
    table = Path(path("status", results))
    plan = read_plan(results, Path(path("plan", results, plan=PLAN)))
    site = build(results, plan, table, ReportOptions())
    took = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{words:28s}{took:7.1f} s  {site.written} written, {site.kept} kept, peak {peak:.0f} MB")


def sizes(home: Path) -> None:
    """Sizes of the pages."""
    for name in ("index.html", "reasons.html", "sources/1.html", "data/index.js", "data/sky.js"):
        print(f"{name:28s}{(home / name).stat().st_size / 1e6:7.3f} MB")
    for kind in ("days", "tiles", "data/sources", "data/cutouts"):
        found = [f.stat().st_size for f in (home / kind).rglob("*") if f.is_file()]
        print(
            f"{kind:28s}{sum(found) / 1e6:7.1f} MB in {len(found)} files, {max(found) / 1e6:.3f} MB"
        )


def opened(home: Path) -> None:
    """Times in which pages open in Chromium."""
    try:
        from report.browser import browser
    except ImportError as error:
        print(f"pages not opened: {error}")
        return
    with browser() as page:
        key = json.loads((home / "data/index.js").read_text().partition(",")[2][:-3])["key"][0]
        day = sorted(f.name for f in (home / "days").iterdir())[0]
        for name in (
            "index.html",
            f"days/{day}",
            f"source.html#{key}",
            "population.html",
            "sky.html",
        ):
            begun = time.perf_counter()
            page.goto(f"file://{home.resolve()}/{name}")
            page.wait_for_function("!window.contimg || document.readyState === 'complete'")
            height = page.evaluate("document.documentElement.scrollHeight")
            print(f"{name:28s}{time.perf_counter() - begun:7.2f} s  {height} pixels tall")


if __name__ == "__main__":
    main()

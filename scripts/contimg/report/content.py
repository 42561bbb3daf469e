"""What the report says, gathered from the status table, the records and the benchmarks."""

from __future__ import annotations

import csv
import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contimg.core.coords import mjd_time
from contimg.core.paths import parse, path
from contimg.core.records import read_record

# stages with a picture: stage -> patterns of its record and of its plot
PLOTS = {
    "solve": ("solutions", "solutions_plot"),
    "drift": ("drift_record", "drift_plot"),
    "image": ("image_record", "image_plot"),
    "mosaic": ("mosaic_record", "mosaic_plot"),
    "validate": ("mosaic_validation", "mosaic_validation_plot"),
    "lightcurves": ("lightcurves_record", "lightcurves_plot"),
    "variability": ("variability_record", "candidates_plot"),
}
# stages with a page of their own, to which the report has a link
PAGES = {
    "inspect": ("calset_record", "calset_page"),
    "drift": ("drift_record", "drift_page"),
}


@dataclass(frozen=True)
class Item:
    """One product: a row of the status table with what its record says."""

    kind: str
    item: str
    stage: str
    state: str
    verdict: str
    reason: str
    record: str
    log: str = ""
    tries: str = ""
    plot: Path | None = None  # where the stage left it
    page: str = ""  # address of its own page, as seen from the report
    data: dict[str, Any] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    software: dict[str, str] = field(default_factory=dict)

    @property
    def figure(self) -> str:
        """Name of the plot's copy beside the page."""
        return f"{self.stage}_{self.item}.png"


def read_items(status: Path, results: str) -> list[Item]:
    """All rows of the status table; those that are done come with their records."""
    with status.open(newline="") as stream:
        return [_item(row, results) for row in csv.DictReader(stream)]


def _item(row: dict[str, str], results: str) -> Item:
    page = _beside(PAGES, row, results)  # also that of a calset that failed its checks
    home = Path(path("report", results)).parent
    address = "" if page is None else Path(os.path.relpath(page, home)).as_posix()
    if row["state"] not in {"done", "warned", "incomplete"}:
        return Item(**row, page=address)
    record = read_record(row["record"])
    return Item(
        **row,
        plot=_beside(PLOTS, row, results),
        page=address,
        data=record["data"],
        checks=record["checks"],
        software=record["software"],
    )


def _beside(kinds: dict[str, tuple[str, str]], row: dict[str, str], results: str) -> Path | None:
    """The product that belongs to the record of a row, if there is one (none is empty)."""
    if row["stage"] not in kinds:
        return None
    its_record, name = kinds[row["stage"]]
    product = Path(path(name, results, **parse(its_record, row["record"], results)))
    return product if product.exists() and product.stat().st_size else None


def summary(plan: dict[str, Any], items: list[Item]) -> list[tuple[str, str]]:
    """The first lines of the page: what was observed and what came of it."""
    groups = list(plan["groups"].values())
    lines: list[tuple[str, str]] = []
    if groups:
        first = min(g["start_mjd"] for g in groups)
        last = max(g["end_mjd"] for g in groups)
        low = min(g["freq_min_hz"] for g in groups) / 1e6
        high = max(g["freq_max_hz"] for g in groups) / 1e6
        decs = sorted({round(g["dec_deg"], 1) for g in groups})
        lines = [
            ("telescope", ", ".join(sorted({g["telescope"] for g in groups}))),
            ("observed (UTC)", f"{utc(first)} to {utc(last)}"),
            ("frequencies", f"{low:.1f} to {high:.1f} MHz"),
            ("declinations", f"{decs[0]:+.1f}° to {decs[-1]:+.1f}°"),
        ]
    rejected = sum(item.state == "rejected" for item in items)
    verdicts = Counter(item.verdict for item in items if item.verdict)
    lines += [
        ("groups (tiles)", f"{len(groups)}; {rejected} files rejected"),
        ("calibrator observations", str(len(plan["calsets"]))),
        ("mosaics", str(len(plan["mosaics"]))),
        (
            "verdicts",
            ", ".join(f"{verdicts[v]} {v}" for v in ("pass", "warn", "fail") if verdicts[v]) or "-",
        ),
    ]
    return lines


def utc(mjd: float) -> str:
    """``2025-10-05 03:45:12``"""
    return str(mjd_time(mjd).strftime("%Y-%m-%d %H:%M:%S"))


def stage_counts(items: list[Item]) -> list[dict[str, Any]]:
    """Closure: states at each stage."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for item in items:
        counts.setdefault((item.stage, item.kind), Counter())[item.state] += 1
    return [
        {"stage": stage, "kind": kind, "states": count, "total": count.total()}
        for (stage, kind), count in counts.items()
    ]


def software(items: Iterable[Item]) -> dict[str, list[str]]:
    """Versions by name; more than one where the products were made by different ones."""
    versions: dict[str, set[str]] = defaultdict(set)
    for item in items:
        for name, version in item.software.items():
            versions[name].add(version)
    return {name: sorted(found) for name, found in versions.items()}


def timings(results: str) -> list[dict[str, Any]]:
    """Benchmarks by rule: jobs, wall time [s], CPU time [s], peak memory [MB]."""
    root = Path(results) / "benchmarks"
    rules = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    table = []
    for rule in rules:
        rows = [row for file in sorted(rule.rglob("*.tsv")) for row in _benchmark(file)]
        wall = [row["s"] for row in rows if "s" in row]
        if wall:
            table.append(
                {
                    "rule": rule.name,
                    "jobs": len(wall),
                    "total_s": sum(wall),
                    "median_s": statistics.median(wall),
                    "max_s": max(wall),
                    "cpu_s": sum(row.get("cpu_time", 0.0) for row in rows),
                    "max_rss_mb": max(row.get("max_rss", 0.0) for row in rows),
                }
            )
    return table


def _benchmark(file: Path) -> list[dict[str, float]]:
    """The numbers of a benchmark file; Snakemake writes NA for what it could not measure."""
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return [{k: float(v) for k, v in row.items() if _is_number(v)} for row in rows]


def read_table(file: Path, limit: int = 500) -> dict[str, Any] | None:
    """Header and rows of a CSV for display, numbers shortened; None when there is none."""
    if not file.exists():
        return None
    with file.open(newline="") as stream:
        reader = csv.reader(line for line in stream if not line.startswith("#"))
        header = next(reader, None)
        if header is None:  # placeholder of a failed product
            return None
        rows = [[shorten(cell) for cell in row] for row in reader]
    return {"header": header, "rows": rows[:limit], "total": len(rows)}


def shorten(cell: str) -> str:
    """Numbers of a table with at most eight digits."""
    if "." not in cell or not _is_number(cell):
        return cell
    return f"{float(cell):.8g}"


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True

"""What the pages say of a run as a whole, from its plan, its tables and its benchmarks."""

from __future__ import annotations

import csv
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contimg.core.window import utc as utc_of_second


def summary(plan: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """The first lines of the page: what was observed and what came of it.

    `rows` are those of the status table.
    """
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
    rejected = sum(row["state"] == "rejected" for row in rows)
    verdicts = Counter(row["verdict"] for row in rows if row["verdict"])
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
    return utc_of_second(mjd).replace("T", " ")


def timings(results: str) -> list[dict[str, Any]]:
    """Benchmarks by rule: jobs, wall time [s], CPU time [s], peak memory [MB]."""
    root = Path(results) / "benchmarks"
    rules = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    table = []
    for rule in rules:
        rows = [row for file in sorted(rule.rglob("*.tsv")) for row in seconds_of(file)]
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


def seconds_of(file: Path) -> list[dict[str, float]]:
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

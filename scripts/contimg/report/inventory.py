"""``contimg inventory``: the products of a results directory: state, size, times."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.grouping.scan import name_mjd
from contimg.core.groups import read_manifest
from contimg.core.paths import PATTERNS, WILDCARDS, fields, parse, path
from contimg.core.plans import everything_planned, keys, read_rejected
from contimg.core.records import atomic, write_text
from contimg.core.state import state_of
from contimg.core.window import parse_time, utc

# kind -> (part of the plan that names the items, record, products); what is listed, in this order
PRODUCTS: dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "ms": (
        ("group", "ms_record", ("ms",)),
        ("calset", "cal_ms_record", ("cal_ms",)),
        ("group", "calibrated_record", ("calibrated_ms",)),
    ),
    "caltable": (("calset", "solutions", ("caltable",)),),
    "image": (
        (
            "group",
            "image_record",
            ("image", "residual", "psf", "model", "pb", "pbcor"),
        ),
    ),
    "mosaic": (
        (
            "mosaic",
            "mosaic_record",
            tuple(
                f"mosaic{part}"
                for part in ("", "_residual", "_weight", "_rms", "_coverage", "_mjd")
            ),
        ),
    ),
}
KINDS = ("group", *PRODUCTS)
COLUMNS = [
    "kind",
    "name",
    "state",
    "verdict",
    "size_gb",
    "start_utc",
    "start_mjd",
    "made_utc",
    "reason",
    "path",
]

Kind = Literal["group", "ms", "caltable", "image", "mosaic"]
StateName = Literal["done", "incomplete", "pending", "failed", "rejected"]


class InventoryFiles(Files):
    """What is looked at, which part of it, and where the list goes."""

    results: str = Field("results", description="results directory")
    tier: str = Field("standard", description="tier of the images that are pending")
    kind: list[Kind] | None = Field(None, description="only these kinds")
    state: list[StateName] | None = Field(None, description="only these states")
    since: str | None = Field(None, description="only data from this UTC date or time (or MJD) on")
    until: str | None = Field(None, description="only data that begin before this time")
    table: Path | None = Field(None, description="list to write (CSV)")
    json_table: Path | None = Field(None, description="list to write (JSON)")


def run(files: InventoryFiles) -> None:
    """Print the list and its sums; write it."""
    rows = select(
        list_products(files.results, files.tier),
        kinds=files.kind,
        states=files.state,
        since=None if files.since is None else parse_time(files.since),
        until=None if files.until is None else parse_time(files.until),
    )
    table = pd.DataFrame(rows, columns=COLUMNS)
    if len(table):
        shown = table.drop(columns=["start_mjd", "path"])
        shown["size_gb"] = [f"{size:.4f}" for size in shown["size_gb"]]
        shown["reason"] = [_short(reason) for reason in shown["reason"]]
        print(shown.to_string(index=False))
    print(sums(table))
    if files.table is not None:
        with atomic(files.table) as partial:
            table.to_csv(partial, index=False)
    if files.json_table is not None:
        write_text(files.json_table, json.dumps(rows, indent=1) + "\n")


def list_products(results: str, tier: str) -> list[dict[str, Any]]:
    """One row a product, planned or found on disk; kinds in the order of `KINDS`, then by time.

    `size_gb` is what is on disk now, of a group the size of its raw files. `start_mjd` is the
    begin of the data (of a mosaic, of its first tile), None where the plan does not know it.
    """
    plan = everything_planned(results) if keys(results) else {}
    if not plan and not Path(results).is_dir():
        raise ContimgError(f"{results}: no such results directory")
    rows = _groups(plan, results)
    for kind, entries in PRODUCTS.items():
        mine = []
        for item, record, products in entries:
            planned = {name: tier for name in plan.get(f"{item}s", {})}
            for key in _keys(record, item, planned, results, tier):
                mine.append(_row(kind, item, key, record, products, plan, results))
        rows += sorted(mine, key=lambda r: (r["start_mjd"] or 0.0, r["path"]))
    return rows


def select(
    rows: list[dict[str, Any]],
    *,
    kinds: list[str] | None,
    states: list[str] | None,
    since: float | None,
    until: float | None,
) -> list[dict[str, Any]]:
    """The rows asked for; one whose time is not known is left out by a limit in time."""

    def wanted(row: dict[str, Any]) -> bool:
        start = row["start_mjd"]
        return (
            (kinds is None or row["kind"] in kinds)
            and (states is None or row["state"] in states)
            and (since is None or (start is not None and start >= since))
            and (until is None or (start is not None and start < until))
        )

    return [row for row in rows if wanted(row)]


def sums(table: pd.DataFrame) -> str:
    """Count of every state and size of each kind."""
    lines = []
    for kind, rows in table.groupby("kind", sort=False):
        counts = ", ".join(f"{n} {state}" for state, n in rows["state"].value_counts().items())
        lines.append(f"{kind:9s} {len(rows):6d}  {rows['size_gb'].sum():10.3f} GB  {counts}")
    return "\n".join(lines) or "nothing there"


def _groups(plan: dict[str, Any], results: str) -> list[dict[str, Any]]:
    """Raw data: groups of the plan, and the files that never became part of one."""
    rows = []
    for name, group in plan.get("groups", {}).items():
        manifest = Path(path("manifest", results, group=name))
        state, reason, size = "pending", "raw files not there yet", 0.0
        if manifest.exists():
            state, reason, size = _raw_files(manifest)
        rows.append(_line("group", name, state, "", size, group["start_mjd"], "", reason, manifest))
    for entry in read_rejected(results, plan.get("plan")) if plan else []:
        file = Path(entry["path"])
        start = _finite(name_mjd(file.name))
        size = _size_gb(file)
        rows.append(
            _line("group", file.name, "rejected", "", size, start, "", entry["reason"], file)
        )
    return rows


def _raw_files(manifest: Path) -> tuple[str, str, float]:
    """State, reason and size [GB] of a group's raw files."""
    try:
        _, entries = read_manifest(manifest)
        paths = [Path(entry["path"]) for entry in entries]
    except (ContimgError, KeyError) as error:
        return "failed", str(error), 0.0
    lost = [p.name for p in paths if not p.exists()]
    size = sum(_size_gb(p) for p in paths)
    if lost:
        return "failed", f"{len(lost)} of {len(paths)} raw files are gone: {lost[0]} ..", size
    return "done", "", size


def _keys(
    record: str, item: str, planned: dict[str, str], results: str, tier: str
) -> list[dict[str, str]]:
    """Keys of the records that are planned or on disk."""
    found: dict[str, dict[str, str]] = {}
    for name in planned:
        key = {item: name} | ({"tier": tier} if "tier" in fields(record) else {})
        found[path(record, results, **key)] = key
    expression = re.sub(r"{\w+}", "*", PATTERNS[record])
    for file in Path(results).glob(expression):
        text = f"{results}/{file.relative_to(results)}"
        try:
            key = parse(record, text, results)
        except ValueError:
            continue  # beside the records lie files that are none
        found.setdefault(text, {k: v for k, v in key.items() if k != "day"})
    return [found[name] for name in sorted(found)]


def _row(
    kind: str,
    item: str,
    key: dict[str, str],
    record: str,
    products: tuple[str, ...],
    plan: dict[str, Any],
    results: str,
) -> dict[str, Any]:
    file = path(record, results, **key)
    state = state_of(file)
    names = [p for product in products for p in _paths(product, key, results)]
    there = [p for p in names if p.exists()]
    reason = state.reason
    planned = key[item] in plan.get(f"{item}s", {})
    if not planned:
        reason = "; ".join(text for text in (reason, "not in the plan") if text)
    if state.state == "done" and len(there) < len(names):
        gone = f"{len(names) - len(there)} of {len(names)} products removed"
        reason = "; ".join(text for text in (reason, gone) if text)
        if kind != "ms":  # Measurement Sets may go after their last use (keep_ms)
            state = replace(state, state="incomplete")
    name = names[0].name if kind == "ms" else key[item]
    if kind == "ms" and record == "calibrated_record":
        name = f"calibrated {name}"
    if "tier" in key:
        name += f".{key['tier']}"
    size = sum(_size_gb(p) for p in there)
    start = _start(item, key[item], plan)
    made = state.content.get("run", {}).get("created_utc", "")
    return _line(kind, name, state.state, state.verdict, size, start, made, reason, Path(file))


def _paths(product: str, key: dict[str, str], results: str) -> list[Path]:
    if "table" in fields(product):
        tables = WILDCARDS["table"].split("|")
        return [
            found
            for table in tables
            if (found := Path(path(product, results, **key, table=table))).exists()
        ]
    return [Path(path(product, results, **key))]


def _start(item: str, name: str, plan: dict[str, Any]) -> float | None:
    """Begin of the data of an item [MJD UTC]."""
    groups = plan.get("groups", {})
    if item == "mosaic":
        tiles = plan.get("mosaics", {}).get(name, {}).get("tiles", [])
        return min((groups[t]["start_mjd"] for t in tiles if t in groups), default=None)
    group = name.split("_")[0]
    if group in groups:
        return float(groups[group]["start_mjd"])
    stamp = f"{group[:4]}-{group[4:6]}-{group[6:8]}T{group[9:11]}:{group[11:13]}:{group[13:15]}"
    return parse_time(stamp)


def _finite(mjd: float) -> float | None:
    """None for a time that is not known."""
    return mjd if math.isfinite(mjd) else None


def _line(kind, name, state, verdict, size, start, made, reason, file) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "state": state,
        "verdict": verdict,
        "size_gb": round(size, 6),
        "start_utc": "" if start is None else utc(start),
        "start_mjd": start,
        "made_utc": made[:19],
        "reason": reason,
        "path": str(file),
    }


def _size_gb(product: Path) -> float:
    """Size on disk of a file or a directory; 0 where there is none."""
    if product.is_dir():
        return sum(f.stat().st_size for f in product.rglob("*") if f.is_file()) / 1e9
    return product.stat().st_size / 1e9 if product.exists() else 0.0


def _short(text: str, length: int = 70) -> str:
    return text if len(text) <= length else text[: length - 2] + ".."


COMMAND = Command(
    help="List groups, Measurement Sets, caltables, images and mosaics: state, size, times.",
    files=InventoryFiles,
    options=(),
    run=run,
    by_hand=True,
)

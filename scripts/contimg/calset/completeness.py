"""``contimg calset completeness``: which calsets of a run are there, and which tiles they serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from contimg.calset.measure import measure
from contimg.calset.read import read_calset
from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.instrument import InstrumentOptions
from contimg.core.paths import path
from contimg.core.plans import latest, read_plan_file
from contimg.core.records import atomic, read_record, write_record

STATES = ("complete", "pending", "failed", "incomplete")


class CompletenessFiles(Files):
    """The run, and what to write."""

    results: str = Field("results", description="results directory")
    plan: Path | None = Field(None, description="the plan (that of the results if unset)")
    table: Path | None = Field(None, description="table to write (CSV)")
    record: Path | None = Field(None, description="JSON record to write")


def run(files: CompletenessFiles, instrument: InstrumentOptions) -> None:
    """Print one line a calset of the plan; :class:`ContimgError` when one is incomplete."""
    plan_path = files.plan or Path(path("plan", files.results, plan=latest(files.results)))
    plan = read_plan_file(plan_path)
    rows = [of_calset(name, plan, files.results, instrument.subbands) for name in plan["calsets"]]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    print(layout(rows))
    if files.table is not None:
        flat = table.assign(
            **{
                name: table[name].map(" ".join)
                for name in ("tables", "missing", "tiles_offered", "tiles_served")
            }
        )
        with atomic(files.table) as partial:
            flat.to_csv(partial, index=False)
    if files.record is not None:
        write_record(
            files.record,
            product=files.record.stem,
            stage="calset completeness",
            data={row["calset"]: row for row in rows},
            options=[instrument],
            inputs=[plan_path],
            verdict="pass" if all(row["state"] == "complete" for row in rows) else "warn",
            reason="; ".join(f"{row['calset']}: {row['reason']}" for row in rows if row["reason"]),
        )
    broken = [row for row in rows if row["state"] == "incomplete"]
    if broken:
        raise ContimgError(
            f"{len(broken)} of {len(rows)} calsets are incomplete; the first,"
            f" {broken[0]['calset']}: {broken[0]['reason']}"
        )


_COLUMNS = (
    "calset",
    "calibrator",
    "state",
    "verdict",
    "tables",
    "missing",
    "antennas_solved",
    "antennas",
    "subbands_solved",
    "subbands",
    "tiles_offered",
    "tiles_served",
    "reason",
)


def of_calset(name: str, plan: dict[str, Any], results: str, subbands: int) -> dict[str, Any]:
    """What there is of one calset.

    Its record says which tables it should have. ``tiles_offered`` are those that may use it by
    the plan, ``tiles_served`` those whose records say that they did.
    """
    offered = [tile for tile, of_it in plan["tiles"].items() if name in of_it["calsets"]]
    row: dict[str, Any] = dict.fromkeys(_COLUMNS)
    row |= {
        "calset": name,
        "calibrator": plan["calsets"][name]["calibrator"],
        "tables": [],
        "missing": [],
        "tiles_offered": offered,
        "tiles_served": [tile for tile in offered if _serves(name, tile, results)],
        "verdict": "",
        "reason": "",
    }
    solutions = Path(path("solutions", results, calset=name))
    if not solutions.exists():
        return row | {"state": "pending", "reason": "not solved yet"}
    record = read_record(solutions)
    row["verdict"] = record["verdict"]
    due = record["data"].get("tables")
    if not due:
        return row | {"state": "failed", "reason": record["reason"]}
    for kind in due:
        table = Path(path("caltable", results, calset=name, table=kind))
        row["tables" if (table / "table.dat").exists() else "missing"].append(kind)
    if row["missing"]:
        reason = f"missing: {', '.join(row['missing'])}"
        return row | {"state": "incomplete", "reason": reason}
    seen = measure(read_calset(solutions), subbands)
    return row | {
        "state": "failed" if record["verdict"] == "fail" else "complete",
        "antennas_solved": int(seen.solved.sum()),
        "antennas": len(seen.antennas),
        "subbands_solved": int(seen.subbands_solved().sum()),
        "subbands": seen.subband_edges.size - 1,
        "reason": record["reason"],
    }


def _serves(name: str, tile: str, results: str) -> bool:
    record = Path(path("calibrated_record", results, group=tile))
    return record.exists() and name in read_record(record)["data"].get("calsets", ())


def layout(rows: list[dict[str, Any]]) -> str:
    """One line a calset, and the counts of their states."""
    lines = [
        f"{'calset':34s} {'state':11s} {'tables':10s} {'antennas':>9s} {'subbands':>9s}"
        f" {'tiles offered, served':>22s}"
    ]
    for row in rows:
        antennas = _of(row["antennas_solved"], row["antennas"])
        subbands = _of(row["subbands_solved"], row["subbands"])
        tiles = f"{len(row['tiles_offered'])}, {len(row['tiles_served'])}"
        lines.append(
            f"{row['calset']:34s} {row['state']:11s} {' '.join(row['tables']):10s}"
            f" {antennas:>9s} {subbands:>9s} {tiles:>22s}  {row['reason']}".rstrip()
        )
    count = {state: sum(row["state"] == state for row in rows) for state in STATES}
    lines.append(", ".join(f"{n} {state}" for state, n in count.items() if n) or "no calsets")
    return "\n".join(lines)


def _of(part: int | None, whole: int | None) -> str:
    return "-" if part is None else f"{part}/{whole}"


COMMAND = Command(
    help="Say which calsets of a run exist, whether they are whole, and which tiles they serve.",
    files=CompletenessFiles,
    options=(InstrumentOptions,),
    run=run,
    outputs=("table", "record"),
    by_hand=True,
)

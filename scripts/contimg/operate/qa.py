"""``contimg qa``: the verdict on products of any kind, from their records, or on a foreign file.

The exit status is 0 when all pass, 1 with a warning, 2 when something failed, 3 when the question
could not be answered.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from contimg.core.command import Command
from contimg.core.errors import ContimgError, DamagedError
from contimg.operate.named import NamedFiles, items_of, match

EXIT = {"pass": 0, "warn": 1, "fail": 2}
# kinds that may be asked for: of products, by the stages whose records speak for them
KINDS = {
    "ms": ("convert", "apply"),
    "calset": ("solve", "inspect", "drift"),
    "image": ("image", "unknown", "beam"),
    "mosaic": ("mosaic", "validate"),
    "photometry": ("fit", "photometry"),
    "lightcurves": ("lightcurves",),
    "variability": ("variability",),
    "comparison": ("truth", "fluxes"),
    "publication": ("publish",),
}
Kind = Literal[
    "ms",
    "calset",
    "image",
    "mosaic",
    "photometry",
    "lightcurves",
    "variability",
    "comparison",
    "publication",
]


class QaFiles(NamedFiles):
    """What is judged, and how it is said."""

    all: bool = Field(False, description="everything in the results directory")
    day: str | None = Field(None, description="all tiles, calsets and mosaics of a day, 2025-10-05")
    kind: list[Kind] | None = Field(None, description="only these kinds of products")
    fast: bool = Field(
        False,
        description="records alone; of foreign files a hundredth of the data (under a minute)",
    )
    details: bool = Field(False, description="print every check, those that pass as well")
    json_: bool = Field(False, description="print everything as JSON")


@dataclass(frozen=True)
class Verdict:
    """What is thought of one product."""

    kind: str
    item: str
    stage: str
    verdict: str
    reason: str
    record: str
    checks: list[dict[str, Any]] = field(default_factory=list)
    quality: dict[str, Any] = field(default_factory=dict)


def run(files: QaFiles) -> int:
    """Print verdicts, the worst first; the exit status."""
    try:
        found = judge(files)
    except (ContimgError, FileNotFoundError) as error:
        print(f"contimg qa: error: {error}", file=sys.stderr)
        return 3
    worst = max((v.verdict for v in found), key=list(EXIT).index, default="pass")
    if files.json_:
        print(json.dumps({"verdict": worst, "products": [asdict(v) for v in found]}, indent=1))
    else:
        print("\n".join(said(found, files.details)))
    return EXIT[worst]


def judge(files: QaFiles) -> list[Verdict]:
    """Verdicts on all that is asked for; :class:`ContimgError` when there is nothing."""
    names = files.wanted()
    if not (names or files.all or files.day or files.kind):
        raise ContimgError(
            "name products or files, or give --all, --day or --kind; contimg plan lists them"
        )
    foreign = [name for name in names if _is_file(name)]
    found = [] if foreign and len(foreign) == len(names) else products(files, names, foreign)
    if foreign:
        from contimg.operate.foreign import judge_file

        found += [Verdict(**judge_file(Path(name), fast=files.fast)) for name in foreign]
    if not found:
        raise ContimgError(f"{files.results}: nothing of it is there to be judged")
    return found


def _is_file(name: str) -> bool:
    return ("/" in name or "." in name) and Path(name).exists()


def products(files: QaFiles, names: list[str], foreign: list[str]) -> list[Verdict]:
    """Verdicts on products of the workflow."""
    from contimg.core.progress import progress
    from contimg.report.status import read_plan, statuses
    from contimg.report.weblog.facts import day_of_item

    plan = read_plan(files.results)
    rows = [row for row in statuses(plan, files.results) if row.state != "rejected"]
    wanted = {s for kind in files.kind or KINDS for s in KINDS[kind]}
    rows = [row for row in rows if row.stage in wanted and Path(row.record).exists()]
    mine = [name for name in names if name not in foreign]
    if mine:
        known = [*items_of(plan), *(row.item for row in rows)]
        chosen = set(match(mine, known))
        rows = [row for row in rows if row.item in chosen]
    if files.day is not None:
        dated = {"group", "calset", "mosaic"}
        rows = [
            row
            for row in rows
            if row.kind in dated and day_of_item(row.kind, row.item, plan) == files.day
        ]
    return [_verdict(row, files) for row in progress(rows, "verdicts")]


def _verdict(row: Any, files: QaFiles) -> Verdict:
    """The verdict in a record; without --fast also whether its products are as it promised."""
    from contimg.core.records import read_record
    from contimg.core.seals import verified

    kind = next(kind for kind, stages in KINDS.items() if row.stage in stages)
    try:
        record = read_record(row.record)
        if not files.fast:
            for name in record.get("seal", {}).get("products", {}):
                product = Path(row.record).parent / name
                if product.exists():  # Measurement Sets may go after their last use
                    verified(product, Path(row.record))
    except ContimgError as error:
        return Verdict(kind, row.item, row.stage, "fail", str(error), row.record)
    verdict, reason = record["verdict"], record["reason"]
    if row.state == "incomplete":
        verdict, reason = "fail", row.reason
    try:
        details = quality_of(row, files.results)
    except DamagedError:  # another record, which fails by itself
        details = {}
    return Verdict(
        kind, row.item, row.stage, verdict, reason, row.record, record["checks"], details
    )


def quality_of(row: Any, results: str) -> dict[str, Any]:
    """The fields that users of dsa110-contimg know, of calsets and images."""
    from contimg.report import quality

    if row.stage == "solve":
        return {
            "calibration": quality.calibration(results, row.item),
            "caltable_completeness": quality.completeness(results, row.item),
        }
    if row.stage == "image":
        tier = Path(row.record).stem.rpartition(".")[2]
        return {
            "image": quality.image(results, row.item, tier),
            "catalog_validation": quality.catalog_validation(results, row.item, tier),
        }
    return {}


def said(found: list[Verdict], details: bool) -> list[str]:
    """Lines for a person: what is not well, the worst first, and the counts."""
    order = {"fail": 0, "warn": 1, "pass": 2}
    lines = []
    for v in sorted(found, key=lambda v: order[v.verdict]):
        if v.verdict != "pass" or details or len(found) <= 20:
            reason = f": {v.reason}" if v.reason else ""
            lines.append(f"{v.verdict:5s}{v.stage:12s}{v.item}{reason}")
        lines += [_check(c) for c in v.checks if details]
    counts = {word: sum(v.verdict == word for v in found) for word in EXIT}
    return [*lines, ", ".join(f"{n} {word}" for word, n in counts.items() if n)]


def _check(check: dict[str, Any]) -> str:
    value = "-" if check["value"] is None else f"{check['value']:.4g}"
    limit = f"  ({check['limit']})" if check["limit"] else ""
    return f"       {check['verdict']:5s}{check['metric']}: {value} {check['unit']}{limit}"


COMMAND = Command(
    help="Say what is good, doubtful or bad of products or files; exit 0 pass, 1 warn, 2 fail.",
    files=QaFiles,
    options=(),
    run=run,
)

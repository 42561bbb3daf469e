"""A person's decision becomes a row of a version-controlled table, which the next run obeys.

Mosaics have theirs in ``publish.overrides``, tiles in ``mosaic.overrides``. One row a product: a
later decision takes the place of the earlier one.
"""

from __future__ import annotations

import csv
import datetime
import getpass
import io
from pathlib import Path
from typing import Any

from pydantic import Field

from contimg.core.errors import ContimgError
from contimg.core.records import write_text
from contimg.operate.named import NamedFiles, match, some
from contimg.report import runs
from contimg.report.status import read_plan

MOSAICS = ("product", "decision", "reason", "by", "decided_utc")
TILES = ("mosaic", "tile", "decision", "reason", "by", "decided_utc")


class DecisionFiles(NamedFiles):
    """What is decided about."""

    reason: str | None = Field(None, description="why; stands in the table and in the record")
    by: str | None = Field(None, description="who decides (the user of this machine if unset)")
    publish_overrides: Path | None = Field(
        None, description="table of the decisions on mosaics (publish.overrides of the run)"
    )
    mosaic_overrides: Path | None = Field(
        None, description="table of the decisions on tiles (mosaic.overrides of the run)"
    )


def decide(files: DecisionFiles, words: dict[str, str]) -> None:
    """Write the rows; `words` has the decision on a ``mosaic`` and, if any, on a ``tile``."""
    plan = read_plan(files.results)
    kinds = {"tile": plan["tiles"], "mosaic": plan["mosaics"]}
    known = [name for kind in words for name in kinds[kind]]
    signed = {
        "reason": files.reason or "no reason given",
        "by": files.by or getpass.getuser(),
        "decided_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")[:19],
    }
    for name in match(some(files.wanted(), "products"), known):
        if name in plan["mosaics"]:
            table = table_of("publish.overrides", files.publish_overrides, files.results)
            put(table, MOSAICS, {"product": name, "decision": words["mosaic"]} | signed)
        else:
            table = table_of("mosaic.overrides", files.mosaic_overrides, files.results)
            put(table, TILES, {"mosaic": "*", "tile": name, "decision": words["tile"]} | signed)
        print(f"{table}: {name}: {words['mosaic' if name in plan['mosaics'] else 'tile']}")
    print("the next run obeys; commit the table")


def table_of(key: str, named: Path | None, results: str) -> Path:
    """The table that a config key names, seen from where the last run was started."""
    if named is None:
        raise ContimgError(
            f"{key} is not set, so there is no table for the decision; name one in the config"
            f" file of the run ({key.replace('.', ': {')}: FILE}}) or with --configfile"
        )
    last: dict[str, Any] = runs.latest(results) or {}
    section, leaf = key.split(".")
    of_run = last.get("config", {}).get(section, {}).get(leaf)
    if str(named) != str(of_run):
        return named
    if why := runs.elsewhere(last, results):  # the decisions there are on other products
        raise ContimgError(f"{why}, or give --{key.replace('.', '-')} with a table of their own")
    return Path(last["directory"]) / named


def put(table: Path, columns: tuple[str, ...], row: dict[str, str]) -> None:
    """Add a row in place of an earlier one about the same product; comments stay."""
    keys = [name for name in columns if name in ("product", "mosaic", "tile")]
    lines = table.read_text().splitlines() if table.exists() else [",".join(columns)]
    header = next((i for i, line in enumerate(lines) if _is_content(line)), None)
    if header is None:
        raise ContimgError(f"{table}: lacks its header ({','.join(columns)})")
    names = next(csv.reader([lines[header]]))
    names += [name for name in columns if name not in names]
    kept = []
    for line in lines[header + 1 :]:
        old = dict(zip(names, next(csv.reader([line]), []), strict=False))
        if not _is_content(line) or any(old.get(k, "").strip() != row[k] for k in keys):
            kept.append(line)
    new = [*lines[:header], _joined(names), *kept, _joined([row.get(name, "") for name in names])]
    write_text(table, "\n".join(new) + "\n")


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _joined(cells: list[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow([" ".join(cell.split()) for cell in cells])
    return stream.getvalue()

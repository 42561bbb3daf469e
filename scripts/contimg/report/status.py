"""``contimg status``: what became of every group, calset and mosaic of the plan, and why.

At every stage an item is exactly one of

- ``done``, ``warned``: its record and its products are there; the verdict may be a warning;
- ``failed``: its data were not good enough: the record says why, or cannot be read;
- ``crashed``: its job ended without a record (broken tool, killed): the log says why;
- ``running``: its job is at work now;
- ``incomplete``: its record is there, a product beside it is missing;
- ``pending``: no record, no job yet;
- ``rejected``: a file that never became part of a group.

The exit status tells a script how things stand: see :data:`EXITS`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.jobs import BEGIN_S, job_state
from contimg.core.paths import WILDCARDS, day_of, path
from contimg.core.plans import everything_planned, read_rejected
from contimg.core.records import write_text
from contimg.core.state import State, state_of
from contimg.report import runs
from contimg.report.stages import (
    MEASUREMENT_SETS,
    OTHER_RULES,
    STAGES,
    STATES,
    Stage,
    kept_sets,
)

# what is said by the exit status, the first that holds; 1 and 2 are errors of the command itself
EXITS = {
    "running": (3, "a run or a job goes on"),
    "crashed": (4, "jobs crashed: contimg errors"),
    "unfinished": (5, "something is pending or incomplete: start the run again"),
    "nothing": (6, "nothing was made: no group, or no file that could be used"),
    "failed": (6, "all came to an end, some data were not good enough"),
    "done": (0, "everything is done"),
}


class StatusFiles(Files):
    """What is looked at, and where the table goes."""

    results: str = Field("results", description="results directory")
    plan: Path | None = Field(None, description="the plan (that of the last run if unset)")
    tier: str | None = Field(None, description="quality tier of the images (of the last run)")
    status: Path | None = Field(
        None, description="table to write (CSV); the exit status is then 0 when it is written"
    )
    json_: bool = Field(False, description="print everything as JSON")
    watch: bool = Field(False, description="print it again until no run is at work, with the rate")
    every_s: float = Field(5.0, gt=0, description="with --watch: time between two tables [s]")


@dataclass(frozen=True)
class Status:
    """State of one item at one stage; `tries` of a job that crashed or runs."""

    kind: str
    item: str
    stage: str
    state: str
    verdict: str
    reason: str
    record: str
    log: str = ""
    tries: int = 0


def run(files: StatusFiles) -> int:
    """Print what is not done and the counts, or write the table; the exit status."""
    if files.watch:
        from contimg.report.watch import watch

        watch(files.results, files.plan, files.tier, files.every_s)
    plan = read_plan(files.results, files.plan)
    rows = statuses(plan, files.results, files.tier)
    alive = runs.going_on(files.results)
    outcome = summarise(rows, alive)
    if files.json_:
        print(json.dumps(as_json(rows, outcome, alive), indent=1))
    else:
        print("\n".join([listing(rows), last_run(files.results), sentence(outcome, alive)]))
    if files.status is None:
        return EXITS[outcome][0]
    write(rows, files.status)
    return 0


def write(rows: list[Status], table: Path) -> None:
    """The rows as a table (CSV)."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [f.name for f in fields(Status)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_text(table, stream.getvalue())


def statuses(
    plan: dict[str, Any], results: str, tier: str | None = None, begin_s: float = BEGIN_S
) -> list[Status]:
    """One row for every item of the plan at every stage, every rejected file, and crashed jobs.

    `tier` is that of the last run if not given; `begin_s`: :func:`contimg.core.jobs.job_state`.
    """
    config = (runs.latest(results) or {}).get("config", {})
    tier = tier or config.get("image", {}).get("tier", "standard")
    kept = kept_sets(config)
    items = {kind: list(plan[f"{kind}s"]) for kind in ("group", "calset", "mosaic")}
    items["deep"] = sorted(_fitted_with(plan))
    models = plan.get("deep_models", {})
    items["deep_mosaic"] = [name for model in items["deep"] for name in models[model]["mosaics"]]
    elsewhere = plan.get("elsewhere", {})
    items["calsets"] = ["calsets"] if items["calset"] else []
    items["tiles"] = ["tiles"] if items["group"] else []
    items |= {"truth": ["simulated sky"], "known": ["known fluxes"]}
    items["run"] = ["run"] if items["mosaic"] else []  # without mosaics there are no light curves
    rows = [
        Status("file", row["path"], "discover", "rejected", "", row["reason"], "")
        for row in read_rejected(results, plan.get("plan"))
    ]
    for stage in STAGES:
        for item in items[stage.kind] if stage.asked_for(config) else ():
            row = _status(stage, item, results, tier, kept, begin_s)
            if row.state != "pending" or item not in elsewhere.get(f"{stage.kind}s", ()):
                rows.append(row)
    return rows + _others(results, set(items["group"]), begin_s)


def _fitted_with(plan: dict[str, Any]) -> set[str]:
    """The models of the field that tiles and calsets of a plan need, and those they go on from."""
    models, needed = plan.get("deep_models", {}), set()
    for tile in plan["tiles"].values():
        name = tile.get("deep_model")
        while name in models and name not in needed:
            needed.add(name)
            name = models[name]["previous"]
    return needed


def _status(
    stage: Stage, item: str, results: str, tier: str, kept: frozenset[str], begin_s: float
) -> Status:
    key = {stage.kind.removeprefix("deep_"): item, "tier": tier}
    record = path(stage.record, results, **key)
    found = state_of(record)
    state, reason, tries = found.state, found.reason, 0
    job = stage.job.format(**key, day=day_of(item))
    log = path("log", results, rule=stage.rule, job=job)
    if state == "pending" and _come_to(stage, key, results):
        benchmark = path("benchmark", results, rule=stage.rule, job=job)
        began = job_state(Path(log), Path(benchmark), begin_s)
        if began is not None:
            state, reason, tries = began.state, began.reason, began.tries
    elif state == "done":
        gone = _gone(stage, key, results, found, kept)
        if gone:
            state, reason = "incomplete", f"{', '.join(gone)} missing"
        elif found.verdict == "warn":
            state = "warned"
    return Status(stage.kind, item, stage.name, state, found.verdict, reason, record, log, tries)


def _come_to(stage: Stage, key: dict[str, str], results: str) -> bool:
    """Whether a job that makes several stages has ended those before this one."""
    return not stage.after or Path(path(stage.after, results, **key)).exists()


def _gone(
    stage: Stage, key: dict[str, str], results: str, found: State, kept: frozenset[str]
) -> list[str]:
    """Names of the products that should stand beside a record and do not."""
    names: list[Path] = []
    for product in stage.products:
        if product == "caltable":
            tables = found.content["data"].get("tables", {})
            names += [Path(path(product, results, **key, table=table)) for table in tables]
        elif product in kept or product not in MEASUREMENT_SETS:
            names.append(Path(path(product, results, **key)))
    return [name.name for name in names if not name.exists()]


def _others(results: str, groups: set[str], begin_s: float) -> list[Status]:
    """Jobs without a record that run or crashed; those of a group count as the group's."""
    rows = []
    for rule in OTHER_RULES:
        top = Path(path("log", results, rule=rule, job="x")).parent
        for log in sorted(top.rglob("*.log")):
            job = log.relative_to(top).with_suffix("").as_posix()
            began = job_state(log, Path(path("benchmark", results, rule=rule, job=job)), begin_s)
            if began is None:
                continue
            group = re.search(WILDCARDS["group"], job)
            kind, item = ("group", group[0]) if group and group[0] in groups else ("job", job)
            rows.append(
                Status(kind, item, rule, began.state, "", began.reason, "", str(log), began.tries)
            )
    return rows


def overall(rows: list[Status], kind: str = "group") -> dict[str, str]:
    """Every item of a kind with its one state: the first of `STATES` that one of its stages has."""
    found: dict[str, str] = {}
    for row in rows:
        if row.kind == kind:
            known = found.setdefault(row.item, row.state)
            found[row.item] = min(known, row.state, key=STATES.index)
    return found


def summarise(rows: list[Status], alive: int = 0) -> str:
    """How things stand: a key of :data:`EXITS`; `alive` is the number of runs at work."""
    states = {row.state for row in rows}
    if alive or "running" in states:
        return "running"
    if "crashed" in states:
        return "crashed"
    if states & {"pending", "incomplete"}:
        return "unfinished"
    if not states & {"done", "warned", "failed"}:
        return "nothing"
    return "failed" if "failed" in states else "done"


def read_plan(results: str, plan: Path | None = None) -> dict[str, Any]:
    """The plan given, or that of the latest run, with what other runs left in the results."""
    return everything_planned(results, None if plan is None else plan.parent.name)


def listing(rows: list[Status]) -> str:
    """What is not as it should be, and the counts."""
    lines = []
    for row in rows:
        if row.state in {"failed", "crashed", "incomplete", "rejected"}:
            tried = f" (tried {row.tries} times)" if row.tries > 1 else ""
            lines.append(f"{row.stage:12s} {row.item}  {row.state}{tried}: {row.reason}")
    groups = Counter(overall(rows).values())
    counts = ", ".join(f"{groups[state]} {state}" for state in STATES if groups[state])
    return "\n".join([*lines, closure(rows), f"groups: {groups.total()}: {counts or 'none'}"])


def last_run(results: str) -> str:
    """When the last run began and what became of it."""
    last = runs.latest(results)
    if last is None:
        return "no readable note of a run" if runs.damaged(results) else "no run yet"
    state = "at work" if last["alive"] else last.get("outcome", "cut off")
    return f"last run: began {last['started_utc'][:19]} UTC, {state}"


def sentence(outcome: str, alive: int) -> str:
    """How things stand, and what there is to do about it."""
    return f"{outcome}: {EXITS[outcome][1]}{f' ({alive} runs at work)' if alive else ''}"


def closure(rows: list[Status]) -> str:
    """Counts of the states at each stage; the states of a stage add up to its items."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        counts.setdefault((row.stage, row.kind), Counter())[row.state] += 1
    shown = STATES[::-1]
    width = max((len(stage) for stage, _ in counts), default=5) + 1
    head = "".join(f"{state:>11s}" for state in shown)
    lines = [f"{'stage':{width}s} {'of':7s}{head}    total"]
    for (stage, kind), count in counts.items():
        numbers = "".join(f"{count[state]:11d}" for state in shown)
        lines.append(f"{stage:{width}s} {kind:7s}{numbers}{count.total():9d}")
    return "\n".join(lines)


def as_json(rows: list[Status], outcome: str, alive: int) -> dict[str, Any]:
    """The same as plain values: ``outcome``, ``groups`` (each with its state), ``rows``."""
    return {
        "outcome": outcome,
        "runs_at_work": alive,
        "groups": overall(rows),
        "rows": [asdict(row) for row in rows],
    }


COMMAND = Command(
    help="Say what became of every group, calset and mosaic; exit 0 done, 3 running, 4 crashed,"
    " 5 unfinished, 6 failed data.",
    files=StatusFiles,
    options=(),
    run=run,
)

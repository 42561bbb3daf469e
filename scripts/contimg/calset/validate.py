"""``contimg calset validate``: verdicts on calsets, as a table; status 1 when one fails."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pydantic import Field

from contimg.calset import judge
from contimg.calset.measure import measure
from contimg.calset.options import CalsetValidationOptions
from contimg.calset.read import all_solutions, find_solutions, read_calset
from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.instrument import InstrumentOptions
from contimg.core.records import Check, worst, write_record


class ValidateFiles(Files):
    """What is judged."""

    calsets: list[str] = Field(
        [],
        description="calsets: names, folders or records (solutions.json); all of the results if"
        " none is given",
    )
    results: str = Field("results", description="results directory")
    verbose: bool = Field(False, description="print the checks that pass as well")
    record: Path | None = Field(None, description="JSON record to write")


def run(
    files: ValidateFiles, instrument: InstrumentOptions, options: CalsetValidationOptions
) -> None:
    """Judge, print, write the record; :class:`ContimgError` when a calset fails."""
    paths = [find_solutions(which, files.results) for which in files.calsets]
    if not files.calsets:
        paths = all_solutions(files.results)
    judged: dict[str, list[Check]] = {}
    data: dict[str, Any] = {}
    for path in paths:
        name = path.parent.name
        try:
            calset = read_calset(path)
        except DataQualityError as error:
            judged[name] = [Check("tables", None, "", "", "fail", str(error))]
            continue
        seen = measure(calset, instrument.subbands)
        remarks = judge.remark(calset, seen, options)
        judged[name] = judge.judge(calset, seen, remarks, options)
        data[name] = judge.summary(calset, seen, remarks)
    print(layout(judged, data, files.verbose))
    if files.record is not None:
        write_record(
            files.record,
            product=files.record.stem,
            stage="calset validate",
            data=data,
            checks=[
                dataclasses.replace(c, metric=f"{name}: {c.metric}")
                for name, checks in judged.items()
                for c in checks
            ],
            options=(instrument, options),
            inputs=paths,
        )
    failed = [name for name, checks in judged.items() if worst(checks) == "fail"]
    if failed:
        reasons = [c.reason for c in judged[failed[0]] if c.verdict == "fail"]
        raise ContimgError(
            f"{len(failed)} of {len(judged)} calsets fail; the first, {failed[0]}: {reasons[0]}"
        )


def layout(judged: dict[str, list[Check]], data: dict[str, Any], verbose: bool) -> str:
    """One line a calset, below it its checks (those that pass only if `verbose`) and remarks."""
    lines = []
    for name, checks in judged.items():
        word = worst(checks)
        said = ""
        if name in data:
            found = data[name]
            said = (
                f"  {found['antennas_solved']} of {found['antennas_observed']} antennas,"
                f" {found['subbands_solved']} of {len(found['subbands'])} subbands,"
                f" reference {found['refant']}"
            )
        lines.append(f"{word.upper():4s}  {name}{said}")
        for item in checks:
            if verbose or item.verdict != "pass":
                value = "" if item.value is None else f"{item.value:.4g} {item.unit}".strip()
                text = f"        {item.verdict:4s}  {item.metric:62s} {value:12s} {item.reason}"
                lines.append(text.rstrip())
        for antenna, of_it in data.get(name, {}).get("antennas", {}).items():
            texts = of_it["remarks"] or ([] if of_it["solved"] else [of_it["reason"]])
            lines += [f"        {antenna}: {text}" for text in texts]
    return "\n".join(lines)


COMMAND = Command(
    help="Judge calsets by their solutions: antennas, flags, noise, delays, drift in time.",
    files=ValidateFiles,
    options=(InstrumentOptions, CalsetValidationOptions),
    run=run,
    outputs=("record",),
    by_hand=True,
)

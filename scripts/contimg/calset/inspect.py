"""``contimg calset inspect``: the page about one calset, with its pictures and its verdict."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contimg.calset import draw, judge
from contimg.calset.draw_delays import draw_delays
from contimg.calset.measure import measure
from contimg.calset.options import CalsetValidationOptions
from contimg.calset.page import page
from contimg.calset.panels import subject_of
from contimg.calset.read import read_calset
from contimg.core.command import Command, Files
from contimg.core.instrument import InstrumentOptions
from contimg.core.records import write_record, write_text


class InspectFiles(Files):
    """Input (the record of a solution; its tables lie beside it) and outputs."""

    solutions: Path = Field(description="record of the solution")
    bandpass: Path = Field(description="picture to write: bandpasses")
    gains: Path = Field(description="picture to write: gains, with time where there are times")
    delays: Path = Field(description="picture to write: delays over the array")
    quality: Path = Field(description="picture to write: flags and signal-to-noise ratios")
    page: Path = Field(description="page to write")
    record: Path = Field(description="JSON record to write")


def run(
    files: InspectFiles, instrument: InstrumentOptions, options: CalsetValidationOptions
) -> None:
    """Look at one calset. A bad one is shown as well: the page says what is wrong with it."""
    calset = read_calset(files.solutions)
    seen = measure(calset, instrument.subbands)
    remarks = judge.remark(calset, seen, options)
    checks = judge.judge(calset, seen, remarks, options)
    found = judge.summary(calset, seen, remarks)
    subject = subject_of(calset, seen, remarks)
    pictures = [files.bandpass, files.gains, files.delays, files.quality]
    draw.draw_bandpass(subject, files.bandpass)
    draw.draw_gains(subject, files.gains)
    draw_delays(subject, files.delays)
    draw.draw_quality(subject, files.quality)
    write_text(files.page, page(calset, found, checks, pictures))
    write_record(
        files.record,
        product=calset.name,
        stage="calset inspect",
        data=found,
        checks=checks,
        options=(instrument, options),
        inputs=[files.solutions],
    )


def judge_again(
    record: Path, options: tuple[InstrumentOptions, CalsetValidationOptions], limits: object
) -> None:
    """Look at the calset of `record` once more: remarks and page depend on the limits as well."""
    stem = record.name.removesuffix(".inspection.json")
    views = {view: record.with_name(f"{stem}.{view}.png") for view in VIEWS}
    solutions, page = record.with_name("solutions.json"), record.with_name(f"{stem}.html")
    run(InspectFiles(solutions=solutions, page=page, record=record, **views), *options)


VIEWS = ("bandpass", "gains", "delays", "quality")
COMMAND = Command(
    help="Write the page about a calset: verdicts, antennas, bandpasses, gains, delays.",
    files=InspectFiles,
    options=(InstrumentOptions, CalsetValidationOptions),
    run=run,
    outputs=("bandpass", "gains", "delays", "quality", "page", "record"),
    record="record",
    judge=judge_again,
)

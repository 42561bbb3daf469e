"""``contimg apply``: a tile's Measurement Set, calibrated and averaged for imaging.

One pass of CASA's mstransform from the tile to the calibrated data; the input is only read. Which
calset is applied, and why, is a file of its own. Data without solutions are flagged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from contimg.calibrate import usable
from contimg.calibrate.averaging import smearing_bin
from contimg.calibrate.beam_modulation import remove_modulation
from contimg.calibrate.choose import Choice, Limits, choose
from contimg.calibrate.interpolate import interpolate
from contimg.calibrate.options import ApplyOptions
from contimg.calibrate.refine import refine
from contimg.core.beam import PrimaryBeam
from contimg.core.casa import casa_session
from contimg.core.command import Command, Files
from contimg.core.errors import DataQualityError
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import read_axes
from contimg.core.plain import plain
from contimg.core.records import Check, atomic, check, inherited, read_record, write_record
from contimg.core.shared import DEC_TOLERANCE_DEG, STALENESS_HOURS

# How CASA applies a table. linearflag: no bandpass is made up for channels that have none; CASA
# refuses a line without spwmap.
HOW = {"tinterp": "nearest", "finterp": "linearflag", "spwmap": [0]}


class ApplyFiles(Files):
    """Inputs and outputs of an application, and what a calset must keep to."""

    ms: Path = Field(description="Measurement Set of the tile")
    ms_record: Path = Field(description="its record")
    solutions: list[Path] = Field([], description="records of the calsets that may serve")
    inspections: list[Path] = Field([], description="records of the inspections of these")
    catalog: Path | None = Field(None, description="table of the sources to make steady")
    tier: Literal["development", "standard", "high_precision"] = Field(
        "standard", description="tier of the images; development calsets serve no other"
    )
    staleness_hours: float = Field(
        STALENESS_HOURS, gt=0, description="largest time between calset and tile [h]"
    )
    dec_tolerance_deg: float = Field(
        DEC_TOLERANCE_DEG,
        gt=0,
        description="largest difference in pointing declination of calset and tile [deg]",
    )
    calibrated: Path = Field(description="Measurement Set to write")
    choice: Path = Field(description="JSON file of the calset's choice to write")
    record: Path = Field(description="JSON record to write")


def run(files: ApplyFiles, instrument: InstrumentOptions, options: ApplyOptions) -> None:
    """Calibrate one tile."""
    limits = Limits(files.tier, files.staleness_hours, files.dec_tolerance_deg)
    converted = read_record(files.ms_record)
    if converted["verdict"] == "fail":
        reason = f"{converted['product']} failed: {converted['reason']}"
        Choice.none(options.interpolate, reason).write(files.choice, limits)
        raise DataQualityError(reason)
    axes = read_axes(files.ms)
    beam = PrimaryBeam(instrument)
    choice = choose(
        files.solutions,
        files.ms_record,
        axes.antenna_names,
        limits,
        options.interpolate,
        files.inspections,
    )
    choice.write(files.choice, limits)
    if not choice.used:
        raise DataQualityError(choice.reason)
    before = usable.tally(files.ms, axes, instrument, values=False)
    channel_bin = options.channel_bin or smearing_bin(axes, before.weight, beam, options)
    sets = [candidate.tables() for candidate in choice.used]
    refant = read_record(choice.used[0].path)["data"]["refant"]
    cwd = Path.cwd()
    catalog = None if files.catalog is None else cwd / files.catalog
    with atomic(cwd / files.calibrated) as partial, casa_session() as scratch:
        tables, between = sets[0], None
        if choice.mode == "linear":
            weight = choice.weights[1]
            tables, between = interpolate(sets[0], sets[1], weight, choice.tile_mjd, scratch)
            refant = between["reference"]
        library = scratch / "callib.txt"
        library.write_text(callib(_linked(tables, scratch), options.calwt))
        _transform(cwd / files.ms, partial, library, channel_bin)
        impossible = usable.flag_impossible(partial, read_axes(partial))
        if impossible:
            print(f"{impossible} samples beyond {usable.IMPOSSIBLE_JY:g} Jy are flagged")
        refined = refine(partial, catalog, beam, options, refant, scratch)
        steadied = remove_modulation(partial, catalog, beam, options)
    averaged = read_axes(files.calibrated)
    after = usable.tally(files.calibrated, averaged, instrument, values=True)
    summary = usable.describe(before, after, averaged)
    folders = [candidate.path.parent for candidate in choice.used]
    judged = [path for path in files.inspections if path.parent in folders]
    write_record(
        files.record,
        product=files.calibrated.name,
        stage="apply",
        data={
            **{
                k: converted["data"][k]
                for k in ("group", "ra_deg", "dec_deg", "start_mjd", "end_mjd")
            },
            "calsets": choice.calsets,
            "calset_mode": choice.mode,
            "calset_hours": [candidate.hours for candidate in choice.used],
            "calset_interpolation": between,
            "tables_applied": list(tables),
            "applied_with": HOW,
            "tier": files.tier,
            "channel_bin": channel_bin,
            "impossible_samples": impossible,
            "refinement": refined,
            "sources_steadied": steadied,
            **summary,
        },
        checks=[
            *usable.checks(summary, after, options),
            *_choice_checks(choice),
            _refinement_check(refined),
            *inherited([converted, *map(read_record, (*(c.path for c in choice.used), *judged))]),
        ],
        options=(instrument, options),
        inputs=[
            path
            for path in (files.ms_record, *(c.path for c in choice.used), *judged, files.catalog)
            if path is not None
        ],
    )


def callib(tables: dict[str, Path], calwt: bool) -> str:
    """CASA calibration library."""
    lines = []
    for name, path in tables.items():
        how = " ".join(f"{key}={value!r}" for key, value in HOW.items())
        lines.append(f"caltable='{plain(path)}' calwt={calwt and name != 'K'} {how}")
    return "\n".join(lines) + "\n"


def _transform(ms: Path, output: Path, library: Path, channel_bin: int) -> None:
    from casatasks import mstransform

    mstransform(
        vis=plain(ms),
        outputvis=plain(output),
        docallib=True,
        callib=str(library),
        datacolumn="corrected",
        chanaverage=channel_bin > 1,
        chanbin=channel_bin,
        usewtspectrum=True,
        keepflags=True,
    )
    if not output.is_dir():
        raise DataQualityError("CASA wrote no calibrated data (everything flagged)")


def _linked(tables: dict[str, Path], scratch: Path) -> dict[str, Path]:
    """Links to the tables: CASA reads a blank in the path of a table as a comma."""
    links = {}
    for name, table in tables.items():
        links[name] = scratch / f"table.{name}"
        links[name].symlink_to(table.resolve())
    return links


def _choice_checks(choice: Choice) -> list[Check]:
    """Warnings about the calset."""
    passed = [c.calset for c in choice.candidates if c.refused]
    unknown = [c.calset for c in choice.used if c.dec_offset_deg is None]
    return [
        check("calsets passed over", len(passed), warn_above=0),
        check("calsets applied whose declination is not on record", len(unknown), warn_above=0),
    ]


def _refinement_check(refined: dict[str, Any]) -> Check:
    """A warning when a refinement diverged."""
    diverged = [step for step in refined["iterations"] if step["verdict"] == "diverged"]
    return Check(
        metric="refinement diverged",
        value=float(len(diverged)),
        unit="",
        limit="warn if > 0",
        verdict="warn" if diverged else "pass",
        reason=f"refinement {refined['reason']}" if diverged else "",
    )


COMMAND = Command(
    help="Calibrate a tile with the nearest passing calset, or between two, and average it.",
    files=ApplyFiles,
    options=(InstrumentOptions, ApplyOptions),
    run=run,
    outputs=("calibrated", "record"),
    record="record",
    always=("choice",),
)

"""What becomes of a tile once its calset is chosen, whoever corrects the data; its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.calibrate import usable
from contimg.calibrate.beam_modulation import remove_modulation
from contimg.calibrate.calset_files import CalsetFiles
from contimg.calibrate.choose import Choice, Limits
from contimg.calibrate.interpolate import interpolate
from contimg.calibrate.options import ApplyOptions
from contimg.calibrate.refine import refine
from contimg.core.beam import PrimaryBeam
from contimg.core.errors import DataQualityError
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import read_axes
from contimg.core.records import Check, check, inherited, read_record, write_record

# How a table is applied. linearflag: no bandpass is made up for channels that have none; CASA
# refuses a line without spwmap.
HOW = {"tinterp": "nearest", "finterp": "linearflag", "spwmap": [0]}


@dataclass(frozen=True)
class Tables:
    """The tables that are applied, in order, by name."""

    paths: dict[str, Path]
    refant: str
    between: dict[str, Any] | None  # what interpolation says, where they lie between two calsets


@dataclass(frozen=True)
class Finished:
    """What was done to the corrected and averaged data."""

    impossible: int  # samples flagged
    refined: dict[str, Any]
    steadied: list[dict[str, Any]]


def limits_of(files: CalsetFiles) -> Limits:
    """What a calset must keep to."""
    return Limits(files.tier, files.staleness_hours, files.dec_tolerance_deg)


def refuse_failed(converted: Mapping[str, Any], files: CalsetFiles, options: ApplyOptions) -> None:
    """:class:`DataQualityError`, and a choice that says so, when there is no tile."""
    if converted["verdict"] == "fail":
        reason = f"{converted['product']} failed: {converted['reason']}"
        Choice.none(options.interpolate, reason).write(files.choice, limits_of(files))
        raise DataQualityError(reason)


def tables_of(choice: Choice, scratch: Path) -> Tables:
    """The tables of a calset, or those between two, which are written below `scratch`."""
    sets = [candidate.tables() for candidate in choice.used]
    refant = read_record(choice.used[0].path)["data"]["refant"]
    if choice.mode != "linear":
        return Tables(sets[0], refant, None)
    paths, between = interpolate(sets[0], sets[1], choice.weights[1], choice.tile_mjd, scratch)
    return Tables(paths, between["reference"], between)


def finish(
    ms: Path,
    catalog: Path | None,
    beam: PrimaryBeam,
    options: ApplyOptions,
    refant: str,
    scratch: Path,
) -> Finished:
    """Flag what no sky can give, refine the gains, make sources steady, in place.

    In a :func:`contimg.core.casa.casa_session`, `scratch` its directory, all paths absolute.
    """
    impossible = usable.flag_impossible(ms, read_axes(ms))
    if impossible:
        print(f"{impossible} samples beyond {usable.IMPOSSIBLE_JY:g} Jy are flagged")
    refined = refine(ms, catalog, beam, options, refant, scratch)
    return Finished(impossible, refined, remove_modulation(ms, catalog, beam, options))


def record_application(
    files: CalsetFiles,
    ms_record: Path,
    choice: Choice,
    tables: Tables,
    channel_bin: int,
    finished: Finished,
    before: usable.Tally,
    instrument: InstrumentOptions,
    options: ApplyOptions,
) -> None:
    """Write the record of a calibrated tile; `before` counts what its conversion left."""
    converted = read_record(ms_record)
    averaged = read_axes(files.calibrated)
    after = usable.tally(files.calibrated, averaged, instrument, values=True)
    summary = usable.describe(before, after, averaged)
    folders = [candidate.path.parent for candidate in choice.used]
    judged = [path for path in files.inspections if path.parent in folders]
    kept = ("group", "ra_deg", "dec_deg", "start_mjd", "end_mjd")
    write_record(
        files.record,
        product=files.calibrated.name,
        stage="apply",
        data={
            **{k: converted["data"][k] for k in kept},
            "calsets": choice.calsets,
            "calset_mode": choice.mode,
            "calset_hours": [candidate.hours for candidate in choice.used],
            "calset_interpolation": tables.between,
            "tables_applied": list(tables.paths),
            "applied_with": HOW,
            "tier": files.tier,
            "channel_bin": channel_bin,
            "impossible_samples": finished.impossible,
            "refinement": finished.refined,
            "sources_steadied": finished.steadied,
            **summary,
        },
        checks=[
            *usable.checks(summary, after, options),
            *_choice_checks(choice),
            _refinement_check(finished.refined),
            *inherited([converted, *map(read_record, (*(c.path for c in choice.used), *judged))]),
        ],
        options=(instrument, options),
        inputs=[
            path
            for path in (ms_record, *(c.path for c in choice.used), *judged, files.catalog)
            if path is not None
        ],
    )


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

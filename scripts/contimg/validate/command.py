"""``contimg validate``: what is wrong with raw files, groups or Measurement Sets, if anything."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
from pydantic import Field

from contimg.convert.options import ConvertOptions
from contimg.core.calibrators import read_calibrators
from contimg.core.command import Command, Files
from contimg.core.coords import mjd_time
from contimg.core.errors import ContimgError
from contimg.core.grouping.scan import find_files, name_mjd
from contimg.core.groups import read_manifest
from contimg.core.instrument import InstrumentOptions
from contimg.core.isolate import ReaderError, isolated
from contimg.core.options import Options
from contimg.core.paths import path
from contimg.core.progress import progress
from contimg.core.records import VERDICTS, write_record
from contimg.core.tables.antennas import AntennaTable, read_positions
from contimg.core.window import parse_time
from contimg.discover.options import DiscoverOptions
from contimg.flag.options import FlagOptions
from contimg.plan.options import PlanOptions
from contimg.validate.file import check_file
from contimg.validate.group import check_calibrator, check_group, into_groups
from contimg.validate.ms import check_ms
from contimg.validate.verdicts import Settings, Subject

_DISCOVER = DiscoverOptions.model_fields


class ValidateFiles(Files):
    """What is checked, against what, and where the record goes."""

    files: list[Path] = Field([], description="UVH5 files")
    directory: Path | None = Field(None, description="directory: every *.hdf5 below it")
    since: str | None = Field(
        None, description="of the directory, only files named from this UTC time (or MJD) on"
    )
    until: str | None = Field(None, description="of the directory, only files named before it")
    manifest: list[Path] = Field([], description="manifests of groups")
    group: list[str] = Field([], description="groups by name, found with --results")
    results: str = Field("results", description="results directory of those groups")
    ms: list[Path] = Field([], description="Measurement Sets")

    positions: Path | None = Field(
        None, description="table of reference positions of the antennas: name, x_m, y_m, z_m (ITRF)"
    )
    calibrator: str | None = Field(
        None, description="also check that each group contains this calibrator's transit"
    )
    calibrators: Path = Field(
        PlanOptions.model_fields["calibrators"].default, description="table of the calibrators"
    )
    dec_tolerance_deg: float = Field(
        2.0, gt=0, description="largest difference of pointing and calibrator declination [deg]"
    )
    min_pb: float = Field(
        PlanOptions.model_fields["min_pb"].default,
        description=str(PlanOptions.model_fields["min_pb"].description),
    )

    n_times: int | None = Field(
        None, ge=1, description="integrations of a file, 24 at DSA-110 (not checked if unset)"
    )
    min_subbands: int | None = Field(
        None, ge=1, description="fail below this number of subbands (all needed if unset)"
    )
    tolerance_s: float = Field(
        _DISCOVER["tolerance_s"].default,
        gt=0,
        description=str(_DISCOVER["tolerance_s"].description),
    )
    max_clock_offset_s: float = Field(
        _DISCOVER["max_clock_offset_s"].default,
        gt=0,
        description=str(_DISCOVER["max_clock_offset_s"].description),
    )
    quick: bool = Field(
        False, description="read only the first, middle and last integration of each file"
    )
    verbose: bool = Field(False, description="print the checks that pass as well")
    timeout_s: float = Field(
        900.0, gt=0, description="a reader that takes longer for one file is ended [s]"
    )
    record: Path | None = Field(None, description="JSON record to write")


def run(
    files: ValidateFiles,
    instrument: InstrumentOptions,
    convert: ConvertOptions,
    flag: FlagOptions,
) -> None:
    """Check, print, write the record; :class:`ContimgError` when a check failed."""
    reference = None if files.positions is None else read_positions(files.positions)
    calibrators = None if files.calibrator is None else read_calibrators(files.calibrators)
    if calibrators is not None and files.calibrator not in set(calibrators["name"]):
        raise ContimgError(f"{files.calibrators}: no calibrator named {files.calibrator}")
    sets = chosen_sets(files)
    if not sets and not files.ms:
        raise ContimgError(
            "nothing to check: give --files, --directory, --manifest, --group or --ms"
        )
    _load_readers(bool(sets), bool(files.ms))
    subjects: list[Subject] = []
    for each in progress(sets, "sets of files"):
        band = instrument.band_mhz or each.band_mhz
        telescope = instrument.model_copy(update={"band_mhz": band})
        settings = _settings(files, telescope, convert, flag, reference)
        checked = [_isolated(check_file, "file", p, settings, files.timeout_s) for p in each.paths]
        subjects += checked
        alone = not each.name and len(each.paths) == 1
        if alone and calibrators is None:
            continue
        for members in [checked] if each.name else into_groups(checked, files.tolerance_s):
            group = check_group(members, telescope, files.min_subbands, each.name, alone)
            if calibrators is not None:
                check_calibrator(
                    group,
                    calibrators,
                    str(files.calibrator),
                    telescope,
                    files.dec_tolerance_deg,
                    files.min_pb,
                )
            subjects.append(group)
    settings = _settings(files, instrument, convert, flag, reference)
    subjects += [
        _isolated(check_ms, "ms", str(p).rstrip("/"), settings, files.timeout_s) for p in files.ms
    ]
    print(layout(subjects, files.verbose))
    if files.record is not None:
        _record(files.record, subjects, (instrument, convert, flag))
    failed = [s for s in subjects if s.verdict == "fail"]
    if failed:
        reasons = [c.reason for s in failed for c in s.checks if c.verdict == "fail"]
        raise ContimgError(
            f"{len(failed)} of {len(subjects)} fail with {len(reasons)} checks; "
            f"the first: {reasons[0]}"
        )


@dataclasses.dataclass(frozen=True)
class FileSet:
    """Files that belong together; `name` is that of a manifest's group, empty for loose files."""

    name: str
    paths: list[str]
    band_mhz: tuple[float, float] | None = None


def chosen_sets(files: ValidateFiles) -> list[FileSet]:
    """What the flags ask for."""
    loose = [str(p) for p in files.files]
    if files.directory is not None:
        loose += _in_directory(files.directory, files.since, files.until)
    elif files.since is not None or files.until is not None:
        raise ContimgError("--since and --until choose among the files of --directory")
    sets = [FileSet("", loose)] if loose else []
    manifests = [
        *files.manifest,
        *(Path(path("manifest", files.results, group=g)) for g in files.group),
    ]
    for manifest in manifests:
        group, entries = read_manifest(manifest)
        band = (group.freq_min_hz / 1e6, group.freq_max_hz / 1e6)
        sets.append(FileSet(group.group, [str(e["path"]) for e in entries], band))
    return sets


def _in_directory(directory: Path, since: str | None, until: str | None) -> list[str]:
    """The files below a directory; with a window, those whose names lie in it."""
    found = [name for name, *_ in find_files(directory)]
    if not found:
        raise ContimgError(f"{directory}: no *.hdf5 below it")
    if since is None and until is None:
        return found
    start = -np.inf if since is None else parse_time(since)
    end = np.inf if until is None else parse_time(until)
    kept = [name for name in found if start <= name_mjd(name) < end]
    if not kept:
        raise ContimgError(f"{directory}: none of {len(found)} files is named in that window")
    return kept


def _settings(
    files: ValidateFiles,
    instrument: InstrumentOptions,
    convert: ConvertOptions,
    flag: FlagOptions,
    positions: AntennaTable | None,
) -> Settings:
    band = instrument.band_mhz
    return Settings(
        quick=files.quick,
        n_times=files.n_times,
        telescope=instrument.telescope,
        subbands=instrument.subbands,
        band_hz=None if band is None else (band[0] * 1e6, band[1] * 1e6),
        max_clock_offset_s=files.max_clock_offset_s,
        uvw_tolerance_m=convert.uvw_tolerance_m,
        min_usable=flag.usable_fail,
        warn_usable=flag.usable_warn,
        positions=positions,
    )


def _load_readers(uvh5: bool, ms: bool) -> None:
    """Load what the readers need once: their processes inherit it."""
    modules = ["pyuvdata.uvdata", "pyuvdata.utils.phasing"]
    modules += ["h5py"] if uvh5 else []
    modules += ["casacore.tables"] if ms else []
    for name in modules:
        import_module(name)
    _ = mjd_time(60000.0).ut1  # the table of the Earth's rotation


def _isolated(
    function: Callable[..., Subject], kind: str, name: str, settings: Settings, timeout_s: float
) -> Subject:
    """Check one thing in a process of its own, so that no file can take the others with it."""
    try:
        return isolated(function, name, settings, timeout_s=timeout_s)
    except ReaderError as error:
        subject = Subject(Path(name).name, kind, name)
        subject.hold("readable", False, str(error))
        return subject


def layout(subjects: list[Subject], verbose: bool) -> str:
    """The table: one line a subject, below it its checks (those that pass only if `verbose`)."""
    lines = []
    for subject in subjects:
        counts = Counter(c.verdict for c in subject.checks)
        tally = ", ".join(f"{counts[v]} {v}" for v in VERDICTS if counts[v])
        lines.append(f"{subject.verdict.upper():4s}  {subject.kind:5s} {subject.name}  ({tally})")
        for item in subject.checks:
            if verbose or item.verdict != "pass":
                value = "" if item.value is None else f"{item.value:.6g} {item.unit}".strip()
                reason = item.reason.removeprefix(f"{subject.name}: ")
                line = f"        {item.verdict:4s}  {item.metric:44s} {value:24s} {reason}"
                lines.append(line.rstrip())
    total = Counter(s.verdict for s in subjects)
    lines.append(", ".join(f"{total[v]} {v}" for v in VERDICTS if total[v]))
    return "\n".join(lines)


def _record(target: Path, subjects: list[Subject], options: tuple[Options, ...]) -> None:
    """Write the record: all checks, and what was found in each file, group and MS."""
    write_record(
        target,
        product=target.stem,
        stage="validate",
        data={
            s.name: {"kind": s.kind, "path": s.path, "verdict": s.verdict, **s.data}
            for s in subjects
        },
        checks=[
            dataclasses.replace(c, metric=f"{s.name}: {c.metric}")
            for s in subjects
            for c in s.checks
        ],
        options=options,
        inputs=[s.path for s in subjects if s.path and Path(s.path).exists()],
    )


COMMAND = Command(
    help="Check UVH5 files, groups and Measurement Sets: whole, consistent, plausible, usable.",
    files=ValidateFiles,
    options=(InstrumentOptions, ConvertOptions, FlagOptions),
    run=run,
    outputs=("record",),
    by_hand=True,
)

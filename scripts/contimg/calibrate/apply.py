"""``contimg apply``: a tile's Measurement Set, calibrated and averaged for imaging.

One pass of CASA's mstransform from the tile to the calibrated data; the input is only read. Which
calset is applied, and why, is a file of its own. Data without solutions are flagged.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pydantic import Field

from contimg.calibrate import usable
from contimg.calibrate.applied import (
    HOW,
    finish,
    limits_of,
    record_application,
    refuse_failed,
    tables_of,
)
from contimg.calibrate.averaging import given_bin, smearing_bin
from contimg.calibrate.calset_files import CalsetFiles
from contimg.calibrate.choose import choose
from contimg.calibrate.options import ApplyOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.casa import casa_session
from contimg.core.command import Command
from contimg.core.errors import DataQualityError
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import read_axes
from contimg.core.plain import plain
from contimg.core.records import atomic, read_record


class ApplyFiles(CalsetFiles):
    """Inputs and outputs of an application, and what a calset must keep to."""

    ms: Path = Field(description="Measurement Set of the tile")
    ms_record: Path = Field(description="its record")


def run(files: ApplyFiles, instrument: InstrumentOptions, options: ApplyOptions) -> None:
    """Calibrate one tile."""
    refuse_failed(read_record(files.ms_record), files, options)
    axes = read_axes(files.ms)
    beam = PrimaryBeam(instrument)
    choice = choose(
        files.solutions,
        files.ms_record,
        axes.antenna_names,
        limits_of(files),
        options.interpolate,
        files.inspections,
    )
    choice.write(files.choice, limits_of(files))
    if not choice.used:
        raise DataQualityError(choice.reason)
    before = usable.tally(files.ms, axes, instrument, values=False)
    given = given_bin(options, axes.freq_hz.size)
    channel_bin = given or smearing_bin(axes, before.weight, beam, options)
    cwd = Path.cwd()
    catalog = None if files.catalog is None else cwd / files.catalog
    made = tempfile.TemporaryDirectory(prefix="contimg-tables-")
    with made as between, atomic(cwd / files.calibrated) as partial:
        tables = tables_of(choice, Path(between))
        with casa_session() as scratch:
            library = scratch / "callib.txt"
            library.write_text(callib(_linked(tables.paths, scratch), options.calwt))
            _transform(cwd / files.ms, partial, library, channel_bin)
            finished = finish(partial, catalog, beam, options, tables.refant, scratch)
    record_application(
        files, files.ms_record, choice, tables, channel_bin, finished, before, instrument, options
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
    # CASA's own says when it worked, and under which passing name; the record says what was done
    shutil.rmtree(output / "HISTORY")
    shutil.copytree(ms / "HISTORY", output / "HISTORY")


def _linked(tables: dict[str, Path], scratch: Path) -> dict[str, Path]:
    """Links to the tables: CASA reads a blank in the path of a table as a comma."""
    links = {}
    for name, table in tables.items():
        links[name] = scratch / f"table.{name}"
        links[name].symlink_to(table.resolve())
    return links


COMMAND = Command(
    help="Calibrate a tile with the nearest passing calset, or between two, and average it.",
    files=ApplyFiles,
    options=(InstrumentOptions, ApplyOptions),
    run=run,
    outputs=("calibrated", "record"),
    record="record",
    always=("choice",),
)

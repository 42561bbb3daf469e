"""``contimg calibrate tile``: a group's UVH5 files become one calibrated, averaged tile.

One pass through the files: each subband is ordered, turned to the tile's centre and flagged as
`contimg convert` does it, then corrected and added up. What these two verbs check and record is
checked and recorded here, by the same functions; the large Measurement Set is never written.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from contimg.calibrate import usable
from contimg.calibrate.applied import (
    Tables,
    finish,
    limits_of,
    record_application,
    refuse_failed,
    tables_of,
)
from contimg.calibrate.averaging import given_bin, smearing_bin
from contimg.calibrate.calset_files import CalsetFiles
from contimg.calibrate.choose import Choice, choose_for, strip_deg
from contimg.calibrate.corrections import corrections
from contimg.calibrate.options import ApplyOptions
from contimg.calibrate.sums import Sums
from contimg.convert.describe import Three, record_conversion
from contimg.convert.options import ConvertOptions
from contimg.convert.prepare import Prepared, Source, prepare
from contimg.convert.stream import Streamed, stream
from contimg.core.beam import PrimaryBeam
from contimg.core.casa import casa_session
from contimg.core.command import Command
from contimg.core.disk import need_space
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.failure import record_failure
from contimg.core.instrument import InstrumentOptions
from contimg.core.judge import by_checks
from contimg.core.ms import Axes
from contimg.core.records import atomic, read_record
from contimg.core.seals import seal
from contimg.flag.options import FlagOptions, split_steps
from contimg.tile.write import write_averages

_SAMPLE_BYTES = 13.0  # of an averaged Measurement Set: data, a flag and a weight


class TileFiles(CalsetFiles):
    """Inputs and outputs of a tile."""

    manifest: Path | None = Field(None, description="the group's manifest")
    files: list[Path] | None = Field(
        None, description="instead: the group's UVH5 files, or a directory of them"
    )
    group: str | None = Field(None, description="the one to take where the files form several")
    ms_record: Path = Field(description="JSON record of the conversion to write")
    plot: Path | None = Field(None, description="picture of the flags to write")


def run(
    files: TileFiles,
    instrument: InstrumentOptions,
    convert: ConvertOptions,
    flag: FlagOptions,
    options: ApplyOptions,
) -> None:
    """Calibrate one tile."""
    if whole := split_steps(flag)[1]:
        raise ContimgError(
            f"flag.steps: {', '.join(whole)} need the Measurement Set of the whole band; make it"
            " (contimg convert, then contimg apply; keep_ms: all in a run)"
        )
    beam, three = PrimaryBeam(instrument), (instrument, convert, flag)
    with tempfile.TemporaryDirectory(prefix="contimg-tables-") as scratch:
        with _failures_recorded(files, three, options):
            group = prepare(Source(files.manifest, files.files, files.group), instrument, convert)
        choice = _chosen(group, files, options)
        tables = tables_of(choice, Path(scratch)) if choice.used else None
        with _failures_recorded(files, three, options):
            passed = _pass(group, tables, beam, three, options)
            _record(group, passed, files, three)
    refuse_failed(read_record(files.ms_record), files, options)
    choice.write(files.choice, limits_of(files))
    if tables is None or passed.sums is None:
        raise DataQualityError(choice.reason)
    if passed.sums.empty:
        raise DataQualityError("no calibrated data (everything flagged)")
    need_space(files.calibrated, group.samples / passed.channel_bin * _SAMPLE_BYTES)
    cwd = Path.cwd()
    catalog = None if files.catalog is None else cwd / files.catalog
    with atomic(cwd / files.calibrated) as partial:
        write_averages(partial, group, passed.sums, passed.channel_bin, passed.streamed.weight)
        with casa_session() as scratch:
            finished = finish(partial, catalog, beam, options, tables.refant, scratch)
    record_application(
        *(files, files.ms_record, choice, tables, passed.channel_bin, finished, passed.before),
        *(instrument, options),
    )


@dataclass(frozen=True)
class _Passed:
    """What the pass through the files gives."""

    streamed: Streamed
    before: usable.Tally  # what is left before the calibration
    channel_bin: int
    sums: Sums | None  # none where no calset may serve


class _Nowhere:
    """Where data go that no calset may serve."""

    def put_channels(self, first: int, data: NDArray, flags: NDArray) -> None:
        """Drop them."""


@contextlib.contextmanager
def _failures_recorded(files: TileFiles, three: Three, options: ApplyOptions) -> Iterator[None]:
    """Data that can not be converted make the failed record of a conversion, and no tile."""
    try:
        yield
    except DataQualityError as error:
        plots = [] if files.plot is None else [files.plot]
        record_failure(files.ms_record, "convert", error, three, plots, plots)
        refuse_failed(read_record(files.ms_record), files, options)


def _chosen(group: Prepared, files: TileFiles, options: ApplyOptions) -> Choice:
    """The calset of a group."""
    return choose_for(
        files.solutions,
        (group.group.start_mjd + group.group.end_mjd) / 2,
        strip_deg(group.group),
        group.description.antenna_names,
        limits_of(files),
        options.interpolate,
        files.inspections,
    )


def _pass(
    group: Prepared,
    tables: Tables | None,
    beam: PrimaryBeam,
    three: Three,
    options: ApplyOptions,
) -> _Passed:
    """Through the files once; or twice, when flags ask for finer averages than was thought.

    How many channels may be averaged depends on which baselines have data, which is known at the
    end. Kept are averages twice as fine as those of a tile without flags.
    """
    axes, channels = _axes(group), group.description.freq_hz.size
    if tables is None:
        streamed = stream(_Nowhere(), group, *three)
        return _Passed(streamed, _before(streamed, axes, three[0]), 1, None)
    gains = corrections(tables.paths, axes.mjd, axes.freq_hz, calwt=options.calwt)
    unflagged = smearing_bin(axes, np.ones(axes.shape), beam, options)
    given = given_bin(options, channels)
    width = given or max(unflagged // 2, 1)
    while True:
        sums = Sums(gains, axes.ant1, axes.ant2, channels, channels // three[0].subbands, width)
        streamed = stream(sums, group, *three)
        before = _before(streamed, axes, three[0])
        wanted = given or smearing_bin(axes, before.weight, beam, options)
        if wanted % width == 0:
            return _Passed(streamed, before, wanted, sums)
        width = gcd(wanted, width)


def _before(streamed: Streamed, axes: Axes, instrument: InstrumentOptions) -> usable.Tally:
    """What the conversion left, counted as it went by."""
    flagged = streamed.tally.by_baseline  # (baseline, channel, corr)
    weight = (streamed.counts.good_channels * streamed.weight.astype(np.float32)).sum(axis=-1)
    return usable.tally_of(axes.mjd.size - flagged.astype(np.int64), weight, axes, instrument)


def _axes(group: Prepared) -> Axes:
    """The axes of the Measurement Set that `contimg convert` would write."""
    layout, description = group.layout, group.description
    telescope_m = np.array([x.to_value("m") for x in layout.location.geocentric])
    return Axes(
        mjd=layout.times_jd - 2400000.5,
        integration_s=layout.integration_s,
        ant1=layout.ant1,
        ant2=layout.ant2,
        antenna_names=description.antenna_names,
        antenna_positions_m=layout.antenna_positions_m + telescope_m,
        uvw_m=-group.phasing.uvw_m,
        freq_hz=description.freq_hz,
        width_hz=description.width_hz,
        phase_center_rad=(description.ra_rad, description.dec_rad),
        pointing_rad=group.pointing,
    )


def _record(group: Prepared, passed: _Passed, files: TileFiles, three: Three) -> None:
    """The record of the conversion and the picture of the flags."""
    streamed, product = passed.streamed, f"{group.group.group}.ms"
    record_conversion(
        files.ms_record, product, files.plot, group, streamed, {}, streamed.tally, three
    )
    seal(files.ms_record, [] if files.plot is None else [files.plot])


COMMAND = Command(
    help="Convert, flag, calibrate and average a group of UVH5 files in one pass.",
    files=TileFiles,
    options=(InstrumentOptions, ConvertOptions, FlagOptions, ApplyOptions),
    run=run,
    outputs=("calibrated", "record"),
    record="record",
    always=("choice",),
    stage="apply",
    judge=by_checks,
)

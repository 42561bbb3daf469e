"""``contimg convert``: a group's UVH5 files become one flagged Measurement Set."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contimg.convert import write
from contimg.convert.describe import record_conversion
from contimg.convert.options import ConvertOptions
from contimg.convert.prepare import Source, prepare
from contimg.core.command import Command, Files
from contimg.core.disk import need_space
from contimg.core.instrument import InstrumentOptions
from contimg.core.judge import by_checks
from contimg.core.records import atomic
from contimg.flag.options import FlagOptions

_SAMPLE_BYTES = 9.0  # of a Measurement Set: data and a flag


class ConvertFiles(Files):
    """Inputs and outputs of a conversion."""

    manifest: Path | None = Field(None, description="the group's manifest")
    files: list[Path] | None = Field(
        None, description="instead: the group's UVH5 files, or a directory of them"
    )
    group: str | None = Field(None, description="the one to take where the files form several")
    calibrator: str | None = Field(None, description="phase to this calibrator, not the tile")
    calibrators: Path | None = Field(None, description="table of the calibrators")
    ms: Path = Field(description="Measurement Set to write")
    record: Path = Field(description="JSON record to write")
    plot: Path | None = Field(None, description="picture of the flags to write")


def run(
    files: ConvertFiles,
    instrument: InstrumentOptions,
    convert: ConvertOptions,
    flag: FlagOptions,
) -> None:
    """Convert one group."""
    given = files.manifest, files.files, files.group, files.calibrator, files.calibrators
    group = prepare(Source(*given), instrument, convert)
    need_space(files.ms, group.samples * _SAMPLE_BYTES)
    with atomic(files.ms) as partial:
        uvw_m = -group.phasing.uvw_m
        with write.MeasurementSet(partial, group.layout, group.description, uvw_m) as output:
            # numba and its kernels load while the MS is being created
            from contimg.convert.stream import stream
            from contimg.flag.measurement_set import flag_measurement_set
            from contimg.flag.summary import tally_of

            streamed = stream(output, group, instrument, convert, flag)
            output.put_weights(streamed.weight, streamed.empty_rows)
        later = flag_measurement_set(partial, flag)
        tally = tally_of(partial) if later else streamed.tally
    options = instrument, convert, flag
    record_conversion(
        files.record, files.ms.name, files.plot, group, streamed, later, tally, options
    )


COMMAND = Command(
    help="Convert a group of UVH5 files to a flagged Measurement Set with one phase centre.",
    files=ConvertFiles,
    options=(InstrumentOptions, ConvertOptions, FlagOptions),
    run=run,
    outputs=("ms", "plot", "record"),
    record="record",
    judge=by_checks,
)

"""``contimg flag-summary``: how much of a Measurement Set is flagged, and where."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contimg.core.command import Command, Files, existing
from contimg.core.records import write_record
from contimg.flag.options import FlagOptions


class SummaryFiles(Files):
    """The MS to look at, and what to write."""

    ms: Path = Field(description="Measurement Set of one field and one spectral window")
    plot: Path | None = Field(None, description="picture to write")
    record: Path | None = Field(None, description="JSON record to write")


def run(files: SummaryFiles, options: FlagOptions) -> None:
    """Print what is flagged; write the picture and the record if they are asked for."""
    from contimg.flag.summary import checks, for_record, summarise, tally_of

    existing(files.ms, "Measurement Set")
    summary = summarise(tally_of(files.ms, options.block_channels))
    print(text(summary), end="")
    if files.plot is not None:
        from contimg.flag.plot import draw

        draw(summary, files.plot, files.ms.stem)
    if files.record is not None:
        write_record(
            files.record,
            product=files.ms.name,
            stage="flag-summary",
            data=for_record(summary),
            checks=checks(summary, options),
            options=(options,),
            inputs=[files.ms],
        )


def text(summary: dict) -> str:
    """The summary for a terminal."""
    lines = [f"flagged: {summary['flagged_fraction']:.2%}"]
    correlations = ", ".join(f"{k} {v:.2%}" for k, v in summary["flagged_by_correlation"].items())
    lines.append(f"by correlation: {correlations}")
    if summary["dead_antennas"]:
        lines.append(f"wholly flagged: {', '.join(summary['dead_antennas'])}")
    others = {k: v for k, v in summary["flagged_by_antenna"].items() if v < 1}
    worst = sorted(others.items(), key=lambda item: -item[1])[:8]
    lines.append("most flagged of the rest: " + ", ".join(f"{k} {v:.2%}" for k, v in worst))
    for row in summary["flagged_by_baseline_length"]:
        lines.append(f"  {row['min_m']:7.1f} to {row['max_m']:7.1f} m: {row['flagged']:.2%}")
    return "\n".join(lines) + "\n"


COMMAND = Command(
    help="Say how much of a Measurement Set is flagged, and where.",
    files=SummaryFiles,
    options=(FlagOptions,),
    run=run,
    outputs=("plot", "record"),
    record="record",
)

"""``contimg discover``: find the data and write the inventory and the plan."""

from __future__ import annotations

from pydantic import Field

from contimg.calibrate.options import ScaleOptions
from contimg.core.command import Command, Files
from contimg.core.instrument import InstrumentOptions
from contimg.discover.options import DiscoverOptions
from contimg.mosaic.options import MosaicOptions
from contimg.plan.options import PlanOptions
from contimg.plan.overview import summary
from contimg.run.options import OPTIONS
from contimg.run.refresh import refresh
from contimg.simulate.options import SimulateOptions


class DiscoverFiles(Files):
    """Where the inventory goes."""

    results: str = Field("results", description="results directory")


def run(
    files: DiscoverFiles,
    instrument: InstrumentOptions,
    discover: DiscoverOptions,
    plan: PlanOptions,
    mosaic: MosaicOptions,
    simulate: SimulateOptions,
    scale: ScaleOptions,
) -> None:
    """Write the inventory and the plan and print what they hold."""
    content = refresh(files.results, instrument, discover, plan, mosaic, simulate, scale)
    print(summary(content, files.results))


COMMAND = Command(
    help="Find the UVH5 files, form groups, plan the run.",
    files=DiscoverFiles,
    options=OPTIONS,
    run=run,
)

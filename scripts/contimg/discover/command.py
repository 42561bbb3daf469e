"""``contimg discover``: find the data and write the inventory and the plan."""

from __future__ import annotations

from pydantic import Field

from contimg.core.beam import InstrumentOptions
from contimg.core.command import Command, Files
from contimg.core.paths import path
from contimg.discover.options import DiscoverOptions, PlanOptions
from contimg.discover.refresh import refresh
from contimg.mosaic.options import MosaicOptions
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
) -> None:
    """Write the inventory and the plan and print what they hold."""
    content = refresh(files.results, instrument, discover, plan, mosaic, simulate)
    print(summary(content, files.results))


def summary(plan: dict, results: str) -> str:
    """What a plan holds, a few lines."""
    orphans = [name for name, tile in plan["tiles"].items() if not tile["calsets"]]
    lines = [
        f"groups      {len(plan['groups'])}",
        f"calsets     {len(plan['calsets'])}",
        f"mosaics     {len(plan['mosaics'])}",
        f"rejected    {plan['rejected']} files  ({path('rejected', results)})",
        f"uncalibrated tiles (no calset in reach)  {len(orphans)}",
    ]
    return "\n".join(lines)


COMMAND = Command(
    help="Find the UVH5 files, form groups, plan the run.",
    files=DiscoverFiles,
    options=(InstrumentOptions, DiscoverOptions, PlanOptions, MosaicOptions, SimulateOptions),
    run=run,
)

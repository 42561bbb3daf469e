"""``contimg plan``: print the plan for a person to check."""

from __future__ import annotations

import os

from pydantic import Field

from contimg.calibrate.options import ScaleOptions
from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.instrument import InstrumentOptions
from contimg.core.options import Options, flag_name
from contimg.core.plans import read_plan
from contimg.discover.options import DiscoverOptions
from contimg.mosaic.options import MosaicOptions
from contimg.plan.options import PlanOptions
from contimg.plan.overview import overview
from contimg.run.options import OPTIONS
from contimg.run.refresh import refresh
from contimg.simulate.options import SimulateOptions


class PlanFiles(Files):
    """Where the inventory is, and how much is printed."""

    results: str = Field("results", description="results directory")
    cores: int | None = Field(
        None,
        ge=1,
        description="processors to estimate the run time for (those of this machine if unset)",
    )
    lines: int = Field(40, ge=0, description="longest list that is printed whole")


def run(
    files: PlanFiles,
    instrument: InstrumentOptions,
    discover: DiscoverOptions,
    plan: PlanOptions,
    mosaic: MosaicOptions,
    simulate: SimulateOptions,
    scale: ScaleOptions,
) -> None:
    """Print the plan that is there; with ``--raw-dir`` or ``--enabled``, make it first."""
    if "raw_dir" in discover.model_fields_set or simulate.enabled:
        content = refresh(files.results, instrument, discover, plan, mosaic, simulate, scale)
    else:
        _refuse_unused(instrument, discover, plan, mosaic, simulate, scale)
        content = read_plan(files.results)
    cores = files.cores or len(os.sched_getaffinity(0))
    print(overview(content, files.results, cores, files.lines))


def _refuse_unused(*options: Options) -> None:
    """Options that would change the plan mean nothing to one that is only read."""
    given = sorted(flag_name(name) for model in options for name in model.model_fields_set)
    if given:
        raise ContimgError(
            f"{', '.join(given)}: the plan that is there is only printed; to make it anew give"
            " --raw-dir as well, or change the config and run snakemake -n"
        )


COMMAND = Command(
    help="Print the plan of a run and what it will cost (with --raw-dir: make it first).",
    files=PlanFiles,
    options=OPTIONS,
    run=run,
)

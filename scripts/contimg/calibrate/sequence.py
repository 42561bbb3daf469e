"""The calls of CASA's solvers, in order: K, pre-bandpass phases, B, G, and 2G if wanted."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from contimg.calibrate.options import CalibrateOptions
from contimg.calibrate.smooth import smooth_table
from contimg.core.errors import DataQualityError


def run_task(name: str, **arguments: Any) -> None:
    """Call a function of casatasks; every call of the solution goes through here."""
    import casatasks

    wall, cpu = time.perf_counter(), time.process_time()
    getattr(casatasks, name)(**arguments)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    table = Path(arguments["caltable"]).name
    print(f"CASA {name} {table}: {wall:.2f} s, {cpu:.2f} CPU s", file=sys.stderr, flush=True)


def solve(
    ms: Path, scratch: Path, refants: list[str], settings: CalibrateOptions, timerange: str = ""
) -> dict[str, Path]:
    """Solve; the tables by name, below `scratch`, in the order of their application.

    `settings` are effective options (nothing unset), `refants` names of antennas, best first,
    `timerange` a CASA selection. :class:`DataQualityError` when CASA finds no solution of a kind.
    """
    common = {
        "vis": str(ms),
        "refant": ",".join(refants),
        "uvrange": settings.uvrange,
        "timerange": timerange,
        "minblperant": settings.minblperant,
        "parang": settings.parang,
    }
    found: dict[str, Path] = {}

    def call(task: str, name: str, **arguments: Any) -> None:
        table = scratch / name
        before = [str(path) for path in found.values()]
        run_task(task, caltable=str(table), gaintable=before, **common, **arguments)
        if not table.is_dir():
            raise DataQualityError(
                f"no {_KINDS[name]} could be solved (all data flagged or below minsnr)"
            )
        found[name] = table

    if settings.delays:
        call(
            "gaincal",
            "K",
            gaintype="K",
            solint=settings.delay_solint,
            combine=settings.delay_combine,
            minsnr=settings.delay_minsnr,
        )
    if settings.prebandpass:
        call(
            "gaincal",
            "P",
            gaintype="G",
            calmode="p",
            solint=settings.prebandpass_solint,
            combine=settings.prebandpass_combine,
            minsnr=settings.prebandpass_minsnr,
        )
    call(
        "bandpass",
        "B",
        bandtype="B",
        solint=settings.bandpass_solint,
        combine=settings.bandpass_combine,
        minsnr=settings.bandpass_minsnr,
        fillgaps=settings.bandpass_fillgaps,
        solnorm=False,  # B carries the flux scale
    )
    found.pop("P", None)  # G has all the phases
    if settings.bandpass_smooth_mhz > 0:
        smooth_table(found["B"], settings.bandpass_smooth_mhz * 1e6)
    call(
        "gaincal",
        "G",
        gaintype="G",
        calmode=settings.gain_calmode,
        solint=settings.gain_solint,
        combine=settings.gain_combine,
        minsnr=settings.gain_minsnr,
        solnorm=False,
    )
    if settings.short_solint:
        call(
            "gaincal",
            "2G",
            gaintype="G",
            calmode=settings.short_calmode,
            solint=settings.short_solint,
            combine=settings.short_combine,
            minsnr=settings.short_minsnr,
            solnorm=False,
        )
    return found


_KINDS = {
    "K": "delays",
    "P": "pre-bandpass phases",
    "B": "bandpass",
    "G": "gains",
    "2G": "short-interval gains",
}

"""The calls of CASA's solvers, in order: K, pre-bandpass phases, B, G, and 2G if wanted."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from contimg.calibrate import solver
from contimg.calibrate.options import CalibrateOptions
from contimg.calibrate.smooth import smooth_table
from contimg.core.caltable import LEAST_CHANNELS
from contimg.core.errors import DataQualityError
from contimg.core.ms import open_table


def run_task(name: str, **arguments: Any) -> None:
    """Call a task of CASA; every call of the solution goes through here."""
    task = {"gaincal": solver.gaincal, "bandpass": solver.bandpass, "gencal": _gencal}[name]
    wall, cpu = time.perf_counter(), time.process_time()
    task(**arguments)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    table = Path(arguments["caltable"]).name
    print(f"CASA {name} {table}: {wall:.2f} s, {cpu:.2f} CPU s", file=sys.stderr, flush=True)


def _gencal(**arguments: Any) -> None:
    from casatasks import gencal

    gencal(**arguments)


def without_delays(settings: CalibrateOptions, channels: int) -> str:
    """Why delays are not solved for though they are wanted; empty when they are, or are not."""
    if not settings.delays or channels >= LEAST_CHANNELS:
        return ""
    return f"no delay can be told from channels as few as {channels}: K holds zeros"


def solve(
    ms: Path,
    scratch: Path,
    refants: list[str],
    settings: CalibrateOptions,
    timerange: str = "",
    channels: int = LEAST_CHANNELS,
) -> dict[str, Path]:
    """Solve; the tables by name, below `scratch`, in the order of their application.

    `settings` are effective options (nothing unset), `refants` names of antennas, best first,
    `timerange` a CASA selection, `channels` their number: with few of them the delays of K are
    zero (:func:`without_delays`). :class:`DataQualityError` when CASA finds no solution of a kind.
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

    if without_delays(settings, channels):
        found["K"] = _no_delays(ms, scratch / "K")
    elif settings.delays:
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


def _no_delays(ms: Path, table: Path) -> Path:
    """A table K of zeros, without signal-to-noise ratios as CASA's own has none."""
    run_task("gencal", vis=str(ms), caltable=str(table), caltype="sbd", parameter=[0.0])
    with open_table(table, writable=True) as content:
        content.putcol("SNR", np.zeros_like(content.getcol("SNR")))
    return table


_KINDS = {
    "K": "delays",
    "P": "pre-bandpass phases",
    "B": "bandpass",
    "G": "gains",
    "2G": "short-interval gains",
}

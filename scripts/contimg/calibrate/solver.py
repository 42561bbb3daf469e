"""CASA's solver of calibration tables, as its tasks gaincal and bandpass call it.

The tasks themselves come with all the other tasks of CASA, whose import takes longer than solving
a calibrator does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# what the tasks give the solver where they are told nothing
_GAINS = {"apmode": "ap", "refantmode": "flex", "normtype": "mean", "preavg": -1.0}
_OF_KIND = {"G": _GAINS | {"solnorm": False}, "K": {"apmode": "ap", "preavg": -1.0}}
_OF_KIND |= {"B": {"solnorm": False, "fillgaps": 0}}


def gaincal(*, gaintype: str = "G", calmode: str = "ap", **arguments: Any) -> None:
    """Solve for gains (G) or delays (K); the arguments are those of the task of CASA."""
    _solve(gaintype, apmode=calmode, **arguments)


def bandpass(*, bandtype: str = "B", combine: str = "scan", **arguments: Any) -> None:
    """Solve for the bandpass; the arguments are those of the task of CASA."""
    _solve(bandtype, combine=combine, **arguments)


def _solve(
    kind: str,
    *,
    vis: str,
    caltable: str,
    gaintable: Sequence[str] = (),
    timerange: str = "",
    uvrange: str = "",
    parang: bool = False,
    solint: str = "inf",
    combine: str = "",
    refant: str = "",
    minblperant: int = 4,
    minsnr: float = 3.0,
    **particular: Any,
) -> None:
    """Solve for a table of a kind from the cross-correlations, `gaintable` applied before."""
    from casatools import calibrater

    solver = calibrater()
    try:
        solver.open(filename=vis, compress=False, addcorr=False, addmodel=False)
        solver.reset()
        solver.selectvis(time=timerange, uvrange=uvrange, msselect="ANTENNA1!=ANTENNA2")
        for table in gaintable:
            solver.setapply(table=table, interp="linear", calwt=True)
        if parang:
            solver.setapply(type="P")
        common = {"combine": combine, "refant": refant, "minblperant": minblperant}
        special = _OF_KIND[kind] | particular
        solver.setsolve(type=kind, t=solint, table=caltable, minsnr=minsnr, **common, **special)
        solver.solve()
    finally:
        solver.close()

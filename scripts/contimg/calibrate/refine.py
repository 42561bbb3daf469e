"""Optional refinement of a tile: its own data against the catalogue seen through the beam.

Gains drift between the calibrator's transit and the tile. Phases are solved with intervals that
start long and shorten, then, if wanted, amplitudes and phases once for the whole tile. The model
stays the catalogue's; nothing is imaged. A step is kept when the reduced chi^2 falls enough; the
first that does not ends the phases; one that makes things worse undoes all of it. What catalogues
get wrong must not become gains:

* sources that the model lacks or has wrong add a misfit that is alike at all times: of the n
  numbers of it (two a baseline and correlation) a fit of p gains takes about p/n away without any
  gain being wrong. A step is kept only if the misfit beyond the noise falls by twice that more;

* a solution below the limit of signal to noise changes nothing;
* phases common to all antennas of one correlation are nobody's drift and are left alone;
* amplitudes are scaled so that the mean over times and baselines of g_p g_q, weighted as an image
  of natural weight is, is 1 in each correlation: the flux scale stays that of the calset.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.calibrate import fit
from contimg.calibrate.model import write_model
from contimg.calibrate.options import ApplyOptions
from contimg.calibrate.sequence import run_task
from contimg.core.beam import PrimaryBeam
from contimg.core.caltable import read_table
from contimg.core.catalog import flux_density, read_sources, with_flux
from contimg.core.ms import Axes, read_axes
from contimg.core.predict import beam_track

_MIN_SIGNAL = 5.0  # of the model in the data of one feed, the whole tile
_MAX_FLAGGED = 0.5
_MIN_BEAM = 0.5  # for amplitudes: beam response to the dominant flux density
_DIVERGED = 1.05  # chi^2 times this, or signal over this, is worse than before
_MAX_FAILED = 0.5  # part of the solutions
_CHANCE = 2.0  # times what as many free numbers take from any misfit


@dataclass(frozen=True)
class Step:
    """One iteration, for the record."""

    calmode: str
    solint: str
    solved: float  # part of the solutions of feeds with data
    change: float  # rms of the corrections: of phases [rad], of relative amplitudes
    snr: float  # of the model in the data, after
    chi2: float  # reduced, after
    snr_before: float
    chi2_before: float
    chi2_limit: float  # to be kept
    verdict: str  # kept, no improvement, diverged, no solution


def refine(
    ms: Path,
    catalog: Path | None,
    beam: PrimaryBeam,
    options: ApplyOptions,
    refant: str,
    scratch: Path,
) -> dict[str, Any]:
    """Refine a calibrated MS in place; what was done and why, for the record.

    In a :func:`contimg.core.casa.casa_session`, `scratch` its directory, all paths absolute.
    """
    wanted = options.refine
    if wanted == "none":
        return {"wanted": wanted, "done": "none", "reason": "not wanted", "iterations": []}

    def result(done: str, reason: str, steps: list[Step], **more: Any) -> dict[str, Any]:
        iterations = [asdict(step) for step in steps]
        return {"wanted": wanted, "done": done, "reason": reason, "iterations": iterations} | more

    axes = read_axes(ms)
    sources, response = _sources(catalog, axes, beam, options.refine_min_jy)
    if sources.empty:
        return result("none", "no source of the catalogue is bright enough in this tile", [])
    working = scratch / "refine.ms"
    shutil.copytree(ms, working)
    write_model(working, axes, sources, beam)
    state = fit.measure(working, axes)
    if not state.variance > 0:
        return result("none", "too few data to measure the noise", [])
    start = {
        "sources": len(sources),
        "beam_of_the_flux": response,
        "flagged_fraction": state.flagged,
        "signal": state.signal(axes.mjd.size),
    }
    if state.flagged > _MAX_FLAGGED:
        return result("none", f"{state.flagged:.0%} of the data flagged", [], **start)
    if not start["signal"] >= _MIN_SIGNAL:
        reason = f"the model is {start['signal']:.1f} sigma in the data of a feed"
        return result("none", f"{reason}, {_MIN_SIGNAL:g} are needed", [], **start)
    plan = [("p", solint) for solint in options.refine_solints]
    if wanted == "amplitude_phase":
        plan.append(("ap", "inf"))
    steps: list[Step] = []
    total = np.ones((axes.mjd.size, len(axes.antenna_names), 2), complex)
    reason = ""
    for number, (calmode, solint) in enumerate(plan):
        if calmode == "ap" and response < _MIN_BEAM:
            reason = f"no amplitudes: beam response {response:.2f} to the flux density"
            break
        if calmode == "p" and steps and steps[-1].verdict != "kept":
            continue  # the shorter intervals are not tried; amplitudes may be
        minsnr = options.refine_amplitude_minsnr if calmode == "ap" else options.refine_minsnr
        table = scratch / f"refine{number}.G"
        run_task(
            "gaincal",
            vis=str(working),
            caltable=str(table),
            gaintype="G",
            calmode=calmode,
            solint=solint,
            combine="scan" if solint == "inf" else "",
            refant=refant,
            minsnr=minsnr,
            minblperant=4,
            solnorm=False,
        )
        step, gains, new = _try(working, axes, table, state, calmode, solint, options)
        steps.append(step)
        if step.verdict == "diverged":
            reason = f"diverged in {calmode}, {solint}: the unrefined data are kept"
            return result("none", reason, steps, **start)
        if step.verdict == "kept":
            total, state = total * gains, new
    kept = [step for step in steps if step.verdict == "kept"]
    if not kept:
        return result("none", f"{steps[0].verdict}: the unrefined data are kept", steps, **start)
    fit.correct(ms, axes, total, weigh=options.calwt)
    done = "amplitude_phase" if kept[-1].calmode == "ap" else "phase"
    if not reason and steps[-1].verdict != "kept":
        reason = f"{steps[-1].verdict} in {steps[-1].calmode}, {steps[-1].solint}"
    reason = reason or "all iterations done"
    return result(done, reason, steps, **start, corrections=_corrections(total, axes, state.alive))


def _corrections(
    total: NDArray[np.complex128], axes: Axes, alive: NDArray[np.bool_]
) -> dict[str, dict[str, list[float]]]:
    """Mean over the times of the corrections of each antenna that has data, by hand."""
    mean = total.mean(axis=0)
    return {
        axes.antenna_names[a]: {
            "phase_deg": np.degrees(np.angle(mean[a])).round(2).tolist(),
            "amplitude": np.abs(mean[a]).round(4).tolist(),
        }
        for a in np.flatnonzero(alive.any(axis=1))
    }


def _try(
    working: Path,
    axes: Axes,
    table: Path,
    before: fit.State,
    calmode: str,
    solint: str,
    options: ApplyOptions,
) -> tuple[Step, NDArray[np.complex128], fit.State]:
    """Judge the solutions of `table`; the data of `working` are corrected if they are kept."""
    identity = np.ones((axes.mjd.size, len(axes.antenna_names), 2), complex)
    judged = {"calmode": calmode, "solint": solint, "snr_before": before.snr}
    judged["chi2_before"] = before.chi2
    nothing = {"change": 0.0, "snr": before.snr, "chi2": before.chi2, "chi2_limit": 0.0}
    if not table.is_dir():
        return Step(solved=0.0, verdict="no solution", **nothing, **judged), identity, before
    gains, solved, intervals = _gains(table, axes, before.alive)
    if solved < 1 - _MAX_FAILED:
        return Step(solved=solved, verdict="no solution", **nothing, **judged), identity, before
    gains = fit.anchored(gains, before)
    free = int(before.alive.sum()) * (2 if calmode == "ap" else 1)  # in one interval
    fit.correct(working, axes, gains, weigh=False)
    after = fit.measure(working, axes, variance=before.variance, parameters=free * intervals)
    limit = min(
        before.chi2 * (1 - options.refine_min_gain),
        1 + (before.chi2 - 1) * (1 - options.refine_min_gain - _CHANCE * free / before.numbers),
    )
    if after.chi2 > before.chi2 * _DIVERGED or after.snr < before.snr / _DIVERGED:
        verdict = "diverged"
    else:
        verdict = "kept" if after.chi2 <= limit else "no improvement"
    if verdict != "kept":
        fit.correct(working, axes, 1 / gains, weigh=False)
    alive = gains[:, before.alive]
    change = np.angle(alive) if calmode == "p" else np.abs(alive) - 1
    step = Step(
        solved=solved,
        change=float(np.sqrt(np.mean(change**2))),
        snr=after.snr,
        chi2=after.chi2,
        chi2_limit=limit,
        verdict=verdict,
        **judged,
    )
    return step, gains, after


def _gains(
    table: Path, axes: Axes, alive: NDArray[np.bool_]
) -> tuple[NDArray[np.complex128], float, int]:
    """Gains (time, antenna, corr) of the interval nearest to each time, NaN where there is no
    solution; the part of the solutions of the feeds `alive` that there is; the intervals."""
    content = read_table(table)
    when = np.unique(content["mjd"])
    value = np.full((when.size, *alive.shape), np.nan, complex)
    value[np.searchsorted(when, content["mjd"]), content["antenna"]] = content["value"][:, 0]
    solved = float(np.isfinite(value)[:, alive].mean())
    nearest = np.abs(axes.mjd[:, None] - when).argmin(axis=1)
    return value[nearest], solved, when.size


def _sources(
    catalog: Path | None, axes: Axes, beam: PrimaryBeam, min_jy: float
) -> tuple[pd.DataFrame, float]:
    """Sources of at least `min_jy` through the beam; the beam's mean response to their flux."""
    if catalog is None:
        return pd.DataFrame(), 0.0
    freq = axes.freq_hz.mean(keepdims=True)
    sources, _ = with_flux(read_sources(catalog), axes.freq_hz)
    response = beam_track(sources, beam, freq, axes.pointing_rad)[..., 0].mean(axis=0)
    apparent = response * flux_density(sources, freq)[:, 0]
    bright = apparent >= min_jy
    if not bright.any():
        return sources[bright], 0.0
    weight = apparent[bright]
    return sources[bright], float((weight * response[bright]).sum() / weight.sum())

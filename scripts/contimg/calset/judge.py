"""Verdicts on a calset, and remarks on its antennas."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.calset.measure import Measures
from contimg.calset.options import CalsetValidationOptions
from contimg.calset.read import Calset
from contimg.core.caltable import LEAST_CHANNELS
from contimg.core.records import UNMADE, Check, check, only_unmade
from contimg.core.robust import median, robust_rms

_WORSE = 3.0  # so many times the limit of the median feed is a remark on a feed


def judge(
    calset: Calset,
    seen: Measures,
    remarks: dict[str, list[str]],
    options: CalsetValidationOptions,
) -> list[Check]:
    """All verdicts on one calset; `remarks` as :func:`remark` finds them."""
    alive = seen.solved
    subbands = seen.subbands_solved()
    found = [
        Check(
            metric="verdict of the solution",
            value=None,
            unit="",
            limit=UNMADE if only_unmade(calset.record) else "",
            verdict=calset.record["verdict"],
            reason=calset.record["reason"],
        ),
        check(
            "antennas with solutions",
            float(alive.mean()) if alive.size else np.nan,
            warn_below=options.min_antennas,
            fail_below=options.fail_antennas,
        ),
        check(
            "subbands with solutions",
            float(subbands.mean()),
            warn_below=options.min_subbands,
            fail_below=options.fail_subbands,
        ),
        check(
            "unflagged solutions that are zero or not finite",
            sum(table.unusable for table in calset.tables.values()),
            fail_above=0,
        ),
        check("reference antennas beside the first", _refants(calset) - 1, warn_above=0),
    ]
    for name in calset.tables:
        found.append(
            check(
                f"{name} solutions flagged",
                float(seen.flagged[name][alive].mean()) if alive.any() else 1.0,
                warn_above=options.max_flagged,
                fail_above=options.fail_flagged,
            )
        )
        if name != "K":  # CASA gives none
            found.append(
                check(
                    f"{name} signal-to-noise ratio (median)",
                    _middle(seen.snr[name]),
                    warn_below=options.min_snr,
                    fail_below=options.fail_snr,
                )
            )
    found += _delays(calset, seen, options) + _gains(calset, seen, options)
    share = len(remarks) / max(int(alive.sum()), 1)
    found.append(
        check("part of the antennas with a remark", share, warn_above=options.max_remarked)
    )
    return found


def _delays(calset: Calset, seen: Measures, options: CalsetValidationOptions) -> list[Check]:
    found = []
    if "K" in calset.tables:
        found += [
            check(
                "delay against the reference antenna (median, absolute)",
                _middle(np.abs(seen.delay_ns)),
                "ns",
                fail_above=options.max_delay_ns,
            ),
            check(
                "scatter of the delays (robust rms)",
                robust_rms(seen.delay_ns),
                "ns",
                warn_above=options.max_delay_scatter_ns,
            ),
        ]
    channels = calset.tables["B"].freq_hz.size
    if channels < LEAST_CHANNELS:
        return [*found, _not_told(f"residual delay in the phases of B from {channels} channels")]
    return [*found, residual_check(seen.residual_ns, options)]


def _not_told(what: str) -> Check:
    return Check(metric=what, value=None, unit="", limit="not told by so few", verdict="pass")


def residual_check(
    residual_ns: NDArray[np.float64], options: CalsetValidationOptions, what: str = "B"
) -> Check:
    """Are the delays corrected, marginal, or must K be solved?"""
    return check(
        f"residual delay in the phases of {what} (median, absolute)",
        _middle(residual_ns),
        "ns",
        warn_above=options.delay_corrected_ns,
        fail_above=options.delay_needed_ns,
    )


def _gains(calset: Calset, seen: Measures, options: CalsetValidationOptions) -> list[Check]:
    amplitude = np.ones((1, 1, 1))
    for name in ("G", "2G"):
        if name in calset.tables:
            amplitude = amplitude * median(np.abs(calset.tables[name].value), axis=0)
    found = [
        check(
            "median gain amplitude after the bandpass, beside 1",
            abs(_middle(amplitude) - 1),
            warn_above=options.max_gain_offset,
            fail_above=5 * options.max_gain_offset,
        )
    ]
    if np.isfinite(seen.channel_noise).any():  # needs three channels
        found += [
            check(
                "noise of the bandpass amplitude from channel to channel",
                _middle(seen.channel_noise),
                warn_above=options.max_channel_noise,
                fail_above=3 * options.max_channel_noise,
            ),
            check(
                "noise of the bandpass phase from channel to channel",
                _middle(seen.channel_phase_deg),
                "deg",
                warn_above=options.max_channel_phase_deg,
                fail_above=3 * options.max_channel_phase_deg,
            ),
        ]
    if np.isfinite(seen.amplitude_drift).any():  # needs two times
        found += [
            check(
                "rms of the gain amplitude in time",
                _middle(seen.amplitude_drift),
                warn_above=options.max_amplitude_drift,
            ),
            check(
                "rms of the gain phase in time",
                _middle(seen.phase_drift_deg),
                "deg",
                warn_above=options.max_phase_drift_deg,
            ),
        ]
    return found


def _middle(values: NDArray[np.float64]) -> float:
    return float(median(values))


def _refants(calset: Calset) -> int:
    """How many antennas were the reference of any solution."""
    used: set[int] = set()
    for table in calset.tables.values():
        solved = ~table.flag.all(axis=(2, 3))
        used |= set(table.refant[solved & (table.refant >= 0)].tolist())
    return max(len(used), 1)


def remark(
    calset: Calset, seen: Measures, options: CalsetValidationOptions
) -> dict[str, list[str]]:
    """What is odd about antennas that do have solutions, by name; ordinary ones are left out."""
    result = {}
    for row, number in enumerate(seen.antennas):
        if not seen.solved[row]:
            continue
        said = []
        for corr, correlation in enumerate(calset.correlations):
            said += [f"{correlation}: {text}" for text in _of_feed(seen, row, corr, options)]
        if said:
            result[calset.antennas[number]] = said
    return result


def _of_feed(seen: Measures, row: int, corr: int, options: CalsetValidationOptions) -> list[str]:
    """Remarks on one feed; comparisons with NaN are False, and so no remark."""
    here = (row, corr)
    said = [
        f"{share[here]:.0%} of {name} flagged"
        for name, share in seen.flagged.items()
        if share[here] > options.max_flagged
    ]
    said += [
        f"signal-to-noise ratio of {name} is {snr[here]:.3g}"
        for name, snr in seen.snr.items()
        if snr[here] < options.min_snr
    ]
    level = seen.level[here]
    if level > options.max_level or level < 1 / options.max_level:
        said.append(f"gain {level:.2g} of the median feed's")
    for value, limit, text in (
        (seen.residual_ns, options.delay_corrected_ns, "residual delay {:.2g} ns"),
        (seen.channel_noise, _WORSE * options.max_channel_noise, "bandpass noise {:.0%}"),
        (
            seen.channel_phase_deg,
            _WORSE * options.max_channel_phase_deg,
            "bandpass phase noise {:.0f} deg",
        ),
        (seen.amplitude_drift, options.max_amplitude_drift, "amplitude rms in time {:.0%}"),
        (seen.phase_drift_deg, options.max_phase_drift_deg, "phase rms in time {:.0f} deg"),
    ):
        if value[here] > limit:
            said.append(text.format(value[here]))
    return said


def summary(calset: Calset, seen: Measures, remarks: dict[str, list[str]]) -> dict[str, Any]:
    """Everything measured, as the record has it: of the set, its antennas and its subbands."""
    data = calset.data
    antennas: dict[str, Any] = {}
    for row, number in enumerate(seen.antennas):
        name = calset.antennas[number]
        solved = bool(seen.solved[row])
        antennas[name] = {
            "solved": solved,
            "reason": "" if solved else calset.why_flagged(number) or "no solutions",
            "remarks": remarks.get(name, []),
            "flagged": {n: _plain(share[row]) for n, share in seen.flagged.items()},
            "snr": {n: _plain(snr[row]) for n, snr in seen.snr.items()},
            "delay_ns": _plain(seen.delay_ns[row]),
            "residual_delay_ns": _plain(seen.residual.delay_ns[row]),
            "residual_delay_error_ns": _plain(seen.residual.error_ns[row]),
            "level": _plain(seen.level[row]),
            "channel_noise": _plain(seen.channel_noise[row]),
            "channel_phase_deg": _plain(seen.channel_phase_deg[row]),
            "amplitude_drift": _plain(seen.amplitude_drift[row]),
            "phase_drift_deg": _plain(seen.phase_drift_deg[row]),
        }
    return {
        "calibrator": data["calibrator"],
        "mjd": data["mjd"],
        "tier": data["tier"],
        "refant": data["refant"],
        "correlations": calset.correlations,
        "tables": {name: list(t.value.shape) for name, t in calset.tables.items()},
        "antennas_observed": len(seen.antennas),
        "antennas_solved": int(seen.solved.sum()),
        "subbands_solved": int(seen.subbands_solved().sum()),
        "subbands": _subbands(calset, seen),
        "antennas": antennas,
    }


def _subbands(calset: Calset, seen: Measures) -> list[dict[str, Any]]:
    freq = calset.tables["B"].freq_hz / 1e6
    alive, solved = seen.solved, seen.subbands_solved()
    rows = []
    for number, (start, stop) in enumerate(pairwise(seen.subband_edges)):
        flagged = seen.subband_flagged[alive, number]
        rows.append(
            {
                "subband": number,
                "freq_mhz": [float(freq[start]), float(freq[stop - 1])],
                "solved": bool(solved[number]),
                "flagged": float(flagged.mean()) if flagged.size else 1.0,
                "snr": _plain(median(seen.subband_snr[alive, number])),
            }
        )
    return rows


def _plain(values: NDArray[np.float64]) -> Any:
    """Numbers of five digits, None for NaN."""
    if np.ndim(values) == 0:
        return float(f"{float(values):.5g}") if np.isfinite(values) else None
    return [_plain(value) for value in values]

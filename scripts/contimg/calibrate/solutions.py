"""Looking at calibration tables: numbers for the record, flags, verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.calibrate.health import Finding
from contimg.calibrate.options import CalibrateOptions
from contimg.core.caltable import read_table
from contimg.core.ms import Axes, open_table
from contimg.core.records import Check, check

_MIN_BAND = 0.5  # a feed with less of the solved channels is flagged


def reference(gains: Path, axes: Axes) -> str:
    """Name of the antenna that CASA took as the reference (the most frequent if several)."""
    with open_table(gains) as table:
        numbers = table.getcol("ANTENNA2")
    numbers = numbers[numbers >= 0]
    return axes.antenna_names[int(np.bincount(numbers).argmax())] if numbers.size else ""


def unsolved(
    tables: dict[str, Path], antennas: NDArray[np.int64], known: list[Finding]
) -> list[Finding]:
    """Feeds, other than the known ones, that the solver left without most of their solutions."""
    done = {(finding.antenna, finding.corr) for finding in known}
    good = {name: 1 - feed_flags(path) for name, path in tables.items()}
    channels = np.nanmax(good["B"][antennas]) or 1.0  # channels that anyone has
    findings = []
    for antenna in antennas.tolist():
        for corr in range(good["B"].shape[1]):
            share = good["B"][antenna, corr] / channels
            missing = [n for n, g in good.items() if n != "B" and g[antenna, corr] == 0]
            if (antenna, corr) in done:
                continue
            if missing:
                findings.append(Finding(antenna, corr, f"no solution in {', '.join(missing)}"))
            elif share < _MIN_BAND:
                reason = f"bandpass solved in {share:.0%} of the channels"
                findings.append(Finding(antenna, corr, reason))
    return findings


def feed_flags(path: Path) -> NDArray[np.float64]:
    """Flagged part of a table's solutions, (antenna, corr); 1 for an antenna without rows."""
    with open_table(path) as table:
        antenna, flags = table.getcol("ANTENNA1"), table.getcol("FLAG")
    with open_table(f"{path}/ANTENNA") as names:
        n_antennas = names.nrows()
    share = flags.mean(axis=1)
    total = np.ones((n_antennas, share.shape[1]))
    for number in np.unique(antenna):
        total[number] = share[antenna == number].mean(axis=0)
    return total


def flag_feeds(path: Path, findings: list[Finding]) -> None:
    """Flag feeds in a table (one that was just solved, in its scratch directory)."""
    with open_table(path, writable=True) as table:
        antenna, flags = table.getcol("ANTENNA1"), table.getcol("FLAG")
        for finding in findings:
            flags[antenna == finding.antenna, :, finding.corr] = True
        table.putcol("FLAG", flags)


def summarise(tables: dict[str, Path], axes: Axes) -> dict[str, Any]:
    """Numbers that describe the tables of one calset."""
    used = np.union1d(axes.ant1, axes.ant2)
    content = {name: read_table(path) for name, path in tables.items()}
    rows = {name: np.isin(t["antenna"], used) for name, t in content.items()}
    delays = content["K"]["value"][rows["K"]] if "K" in content else np.array([])
    band = np.abs(content["B"]["value"][rows["B"]])
    gain = np.abs(content["G"]["value"][rows["G"]])
    complete = ~content["G"]["flag"][rows["G"]].all(axis=(1, 2))
    alive = np.unique(content["G"]["antenna"][rows["G"]][complete])
    return {
        "antennas": int(used.size),
        "antennas_solved": int(alive.size),
        "antennas_lost": [axes.antenna_names[a] for a in used if a not in alive],
        "delay_rms_ns": _scatter(delays),
        "bandpass_amplitude_median": _median(band),
        "gain_amplitude_median": _median(gain),
        "gain_amplitude_scatter": _scatter(gain),
        "snr_median": {
            n: _median(t["snr"][rows[n]][~t["flag"][rows[n]]]) for n, t in content.items()
        },
        "flagged_fraction": {
            n: float(t["flag"][np.isin(t["antenna"], alive)].mean()) if alive.size else 1.0
            for n, t in content.items()
        },
    }


def _median(values: NDArray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def _scatter(values: NDArray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.std(finite)) if finite.size else None


def checks(summary: dict[str, Any], options: CalibrateOptions) -> list[Check]:
    """Verdicts on a calset."""
    lost = 1 - summary["antennas_solved"] / summary["antennas"]
    limits = {"warn_above": options.max_flagged, "fail_above": options.fail_flagged}
    result = [check("antennas without solutions", lost, **limits)]
    for name, fraction in summary["flagged_fraction"].items():
        result.append(check(f"{name} solutions flagged", fraction, **limits))
    amplitude = summary["gain_amplitude_median"]
    result.append(
        check(
            "median gain amplitude after the bandpass",
            np.nan if amplitude is None else amplitude,
            warn_below=0.9,
            warn_above=1.1,
        )
    )
    return result


def refant_check(passed: list[str], refants: list[str]) -> Check:
    """A warning when a reference antenna that was asked for could not be taken."""
    reason = ""
    if passed:
        reason = f"reference antenna {', '.join(passed)} is not healthy; {refants[0]} instead"
    return Check(
        metric="reference antennas passed over",
        value=float(len(passed)),
        unit="",
        limit="warn if > 0",
        verdict="warn" if passed else "pass",
        reason=reason,
    )

"""Looking at calibration tables: numbers for the record, verdicts, a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.calibrate.options import CalibrateOptions
from contimg.core.ms import Axes, open_table
from contimg.core.records import Check, atomic, check


def read_table(path: Path) -> dict[str, NDArray]:
    """Columns of a CASA calibration table; solutions (row, channel, corr), flagged ones NaN."""
    with open_table(path) as table:
        column = "FPARAM" if "FPARAM" in table.colnames() else "CPARAM"
        values = table.getcol(column)
        flags = table.getcol("FLAG")
        content = {
            "antenna": table.getcol("ANTENNA1"),
            "mjd": table.getcol("TIME") / 86400,
            "flag": flags,
            "snr": table.getcol("SNR"),
        }
    values = values.astype(complex if column == "CPARAM" else float)
    values[flags] = np.nan
    return content | {"value": values}


def summarise(tables: dict[str, Path], axes: Axes) -> dict[str, Any]:
    """Numbers that describe K, B and G of one calset."""
    used = np.union1d(axes.ant1, axes.ant2)
    content = {name: read_table(path) for name, path in tables.items()}
    rows = {name: np.isin(t["antenna"], used) for name, t in content.items()}
    delays = content["K"]["value"][rows["K"]]
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


def plot(tables: dict[str, Path], axes: Axes, path: Path, title: str) -> None:
    """Delays by antenna, bandpass amplitude and phase, gains: one page."""
    from matplotlib.figure import Figure

    content = {name: read_table(table) for name, table in tables.items()}
    freq = axes.freq_hz / 1e9
    figure = Figure(figsize=(11, 8), layout="constrained")
    delay, gain, amplitude, phase = figure.subplots(2, 2).ravel()
    for corr, (label, colour) in enumerate((("first hand", "C0"), ("second hand", "C1"))):
        k, g, b = content["K"], content["G"], content["B"]
        delay.plot(k["antenna"] + 1, k["value"][:, 0, corr], ".", color=colour, label=label)
        gain.plot(g["antenna"] + 1, np.abs(g["value"][:, 0, corr]), ".", color=colour)
        curves = b["value"][:, :, corr].T
        amplitude.plot(freq, np.abs(curves), color=colour, lw=0.5, alpha=0.5)
        phase.plot(freq, np.degrees(np.angle(curves)), ".", color=colour, ms=1, alpha=0.5)
    delay.set(xlabel="antenna (table row)", ylabel="K: delay [ns]")
    delay.legend(loc="upper right", fontsize="small")
    gain.set(xlabel="antenna (table row)", ylabel="G: amplitude")
    amplitude.set(xlabel="frequency [GHz]", ylabel="B: amplitude [correlator units / sqrt(Jy)]")
    phase.set(xlabel="frequency [GHz]", ylabel="B: phase [deg]")
    figure.suptitle(title)
    with atomic(path) as partial:
        figure.savefig(partial, dpi=90)

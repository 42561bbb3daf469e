"""The page about one calset: verdict, checks, antennas, subbands, pictures; one file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from contimg.calset.read import Calset
from contimg.core.coords import mjd_time
from contimg.core.html import cell, checks_table, document, number, picture, table, verdict
from contimg.core.records import Check, worst


def page(
    calset: Calset, found: dict[str, Any], checks: Sequence[Check], pictures: Sequence[Path]
) -> str:
    """HTML text; `found` as :func:`contimg.calset.judge.summary` has it."""
    data = calset.data
    low, high = calset.band_mhz
    used = data["integrations"]
    head = (
        f"calibrator {data['calibrator']}, {mjd_time(data['mjd']).strftime('%Y-%m-%d %H:%M:%S')}"
        f" UTC (MJD {data['mjd']:.5f}); preset {data['tier']}; {low:.1f} to {high:.1f} MHz;"
        f" tables {', '.join(calset.tables)}; reference antenna {data['refant']};"
        f" {found['antennas_solved']} of {found['antennas_observed']} antennas solved;"
        f" {used['used']} of {used['of']} integrations used"
    )
    antennas = found["antennas"]
    lost = [(escape(n), escape(a["reason"])) for n, a in antennas.items() if not a["solved"]]
    odd = [
        (escape(n), "<br>".join(escape(text) for text in a["remarks"]))
        for n, a in antennas.items()
        if a["remarks"]
    ]
    reasons = "; ".join(c.reason for c in checks if c.verdict != "pass" and c.reason)
    word = worst(checks)
    parts = [
        f"<h1>{escape(calset.name)}: {verdict(word)}</h1><p>{escape(head)}</p>",
        f'<p class="{word}">{escape(reasons)}</p>' if reasons else "",
        checks_table("check of the solutions", checks),
        "<h2>Antennas without solutions</h2>",
        table(("antenna", "reason"), lost) if lost else "<p>None.</p>",
        "<h2>Antennas with a remark</h2>",
        table(("antenna", "remarks"), odd) if odd else "<p>None.</p>",
        "<h2>Bandpass</h2>",
        picture(pictures[0]),
        "<h2>Gains</h2>",
        picture(pictures[1]),
        "<h2>Delays</h2>",
        picture(pictures[2]),
        "<h2>Flags and signal-to-noise ratios</h2>",
        picture(pictures[3]),
        _subbands(found["subbands"]),
        *_field(data.get("field")),
        "<h2>All antennas</h2>",
        _antennas(found),
    ]
    return document(calset.name, parts)


def _field(field: dict[str, Any] | None) -> list[str]:
    """What the sources around the calibrator were found to be; nothing where they were believed."""
    if field is None:
        return []
    rows = [
        (
            escape(source["name"]),
            number(source["catalogued_jy"]),
            f"{number(source['fitted_jy'])} &plusmn; {number(source['error_jy'])}",
            number(source["fitted_jy"] / source["catalogued_jy"]),
            _over_band(source.get("factor")),
            number(source["beam"]),
        )
        for source in field["sources"]
    ]
    said = (
        f"Settled after {field['rounds']} rounds. Against gains from the catalogue's flux densities"
        f" amplitudes changed by {100 * field['gain_amplitude_change_rms']:.2g} %, phases by"
        f" {field['gain_phase_change_rms_deg']:.2g} deg (rms)."
    )
    columns = ("source", "catalogue [Jy]", "fitted [Jy]", "fitted / catalogue", "over band", "beam")
    return ["<h2>Sources around the calibrator</h2>", f"<p>{said}</p>", table(columns, rows)]


def _over_band(factor: list[float] | None) -> str:
    """Range of a spectrum over that of the catalogue, where it is not the catalogue's."""
    return "as catalogued" if factor is None else f"{min(factor):.2f} to {max(factor):.2f}"


def _subbands(rows: list[dict[str, Any]]) -> str:
    cells = [
        (
            cell(row["subband"]),
            f"{row['freq_mhz'][0]:.2f} to {row['freq_mhz'][1]:.2f}",
            "yes" if row["solved"] else '<span class="warn">no</span>',
            f"{100 * row['flagged']:.1f} %",
            number(row["snr"]),
        )
        for row in rows
    ]
    return table(("subband", "channels [MHz]", "solved", "flagged", "S/N of a channel"), cells)


def _antennas(found: dict[str, Any]) -> str:
    """One row an antenna, the two correlations side by side."""
    columns = (
        ("delay_ns", "delay [ns]"),
        ("residual_delay_ns", "left in B [ns]"),
        ("level", "gain / median"),
        ("channel_noise", "noise of B"),
        ("channel_phase_deg", "[deg]"),
        ("amplitude_drift", "rms in time"),
        ("phase_drift_deg", "[deg]"),
    )
    tables = [name for name in found["tables"] if name != "K"]
    rows = []
    for name, antenna in found["antennas"].items():
        if antenna["solved"]:
            values = [antenna["snr"][table] for table in tables]
            values += [antenna[key] for key, _ in columns]
            rows.append((escape(name), *(_both(pair) for pair in values)))
    head = ["antenna", *(f"S/N of {name}" for name in tables), *(title for _, title in columns)]
    return table(head, rows)


def _both(pair: list[float | None]) -> str:
    if all(value is None for value in pair):
        return "-"
    return ", ".join("-" if value is None else f"{value:.3g}" for value in pair)

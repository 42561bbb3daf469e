"""One page about an image: picture, checks, comparison with the catalogue."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np

from contimg import __version__
from contimg.core.fits import Image
from contimg.core.pictures import print_png
from contimg.core.records import Check, write_text
from contimg.image.preview import show
from contimg.image.validate import SNR_EDGES, Validation


def write_page(
    path: Path,
    *,
    title: str,
    picture: Path,
    data: dict[str, Any],
    checks: list[Check],
    settings: dict[str, Any],
    validation: bytes | None,
) -> None:
    """Write a self-contained HTML page; `picture` and `validation` are PNGs."""
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    environment.filters["number"] = _number
    text = environment.get_template("page.html.j2").render(
        title=title,
        version=__version__,
        picture=_inline(picture.read_bytes()),
        validation=None if validation is None else _inline(validation),
        data=data,
        checks=checks,
        settings=settings,
    )
    write_text(path, text)


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-" if value is None else str(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def draw_validation(image: Image, found: Validation, summary: dict[str, Any], rms: float) -> bytes:
    """Overlay, offsets, flux ratios, completeness and reliability in one figure (PNG)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9), layout="constrained")
    overlay, offsets, fluxes, counts = figure.subplots(2, 2).ravel()
    show(overlay, image.data, rms, most=500)
    seen = found.match >= 0
    due = found.expected_snr >= SNR_EDGES[0]
    for which, colour, label in (
        (seen, "C0", "found"),
        (~seen & due, "C3", "due, not found"),
    ):
        style = {"marker": "o", "s": 30, "facecolors": "none", "linewidths": 0.7}
        overlay.scatter(found.x[which], found.y[which], edgecolors=colour, label=label, **style)
    extra = ~found.peak_matched
    overlay.scatter(
        found.peaks.x[extra],
        found.peaks.y[extra],
        marker="+",
        s=25,
        c="C1",
        lw=0.7,
        label="not in the catalogue",
    )
    overlay.legend(fontsize="x-small", loc="upper right")
    overlay.set(xticks=[], yticks=[], title="catalogue over the image")
    offsets.plot(*found.offset_arcsec[seen].T, ".", ms=3)
    offsets.axhline(0, color="0.7", lw=0.7)
    offsets.axvline(0, color="0.7", lw=0.7)
    offsets.set(xlabel="east offset [arcsec]", ylabel="north offset [arcsec]")
    reach = 1.15 * max(1.0, float(np.nanmax(np.abs(found.offset_arcsec[seen]), initial=0)))
    offsets.set(xlim=(reach, -reach), ylim=(-reach, reach), aspect="equal")  # east to the left
    if summary["offset_east_arcsec"] is not None:
        offsets.plot(summary["offset_east_arcsec"], summary["offset_north_arcsec"], "C3x")
    used = seen & found.clear
    ratio = found.peaks.peak_jy_beam[found.match[used]] / found.expected_jy_beam[used]
    fluxes.semilogx(found.expected_jy_beam[used] * 1e3, ratio, ".", ms=3)
    fluxes.axhline(1, color="0.7", lw=0.7)
    fluxes.set(xlabel="catalogue x primary beam [mJy]", ylabel="peak / expected", ylim=(0.5, 1.5))
    if summary["flux_ratio"] is not None:
        fluxes.axhline(summary["flux_ratio"], color="C3", lw=0.7)
    _bars(counts, summary["bins"])
    stream = io.BytesIO()
    print_png(figure, stream, dpi=80)
    return stream.getvalue()


def _bars(axes, bins: list[dict[str, Any]]) -> None:
    """Completeness and reliability by signal to noise, with the numbers of sources."""
    at = np.arange(len(bins))
    for shift, part, whole, label in (
        (-0.2, "found", "catalogued", "complete"),
        (0.2, "in_catalogue", "detected", "reliable"),
    ):
        value = [b[part] / b[whole] if b[whole] else 0 for b in bins]
        axes.bar(at + shift, value, 0.38, label=label)
        for k, b in enumerate(bins):
            axes.text(k + shift, 0.02, b[whole], ha="center", fontsize="x-small")
    labels = [
        f"{b['snr_from']:g}-{b['snr_to']:g}" if b["snr_to"] else f">{b['snr_from']:g}" for b in bins
    ]
    axes.set_xticks(at, labels)
    axes.set(xlabel="signal to noise", ylim=(0, 1.15), title="completeness and reliability")
    axes.legend(fontsize="x-small", ncols=2)

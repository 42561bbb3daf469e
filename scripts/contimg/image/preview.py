"""Pictures of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from contimg.core.fits import Beam, read_image
from contimg.core.records import atomic


def draw(image: Path, target: Path, *, title: str, rms: float) -> None:
    """Grey picture of a FITS image with its beam, a scale bar and a colour bar."""
    from matplotlib.figure import Figure

    content = read_image(image)
    figure = Figure(figsize=(7.5, 6.5), layout="constrained")
    axes = figure.add_subplot(projection=content.wcs)
    low, high = -3e3 * rms, 30e3 * rms
    step = max(1, content.data.shape[0] // 1200)
    shown = content.data[::step, ::step] * 1e3
    extent = (-0.5, content.data.shape[1] - 0.5, -0.5, content.data.shape[0] - 0.5)
    picture = axes.imshow(
        np.arcsinh(shown / (3e3 * rms)),
        origin="lower",
        cmap="gray_r",
        vmin=np.arcsinh(low / (3e3 * rms)),
        vmax=np.arcsinh(high / (3e3 * rms)),
        extent=extent,
        interpolation="nearest",
    )
    axes.set_xlabel("RA (ICRS)")
    axes.set_ylabel("Dec (ICRS)")
    axes.set_title(title)
    _scale_bar(axes, content.data.shape[1], content.cell_deg)
    if content.beam is not None:
        _beam(axes, content.data.shape, content.cell_deg, content.beam)
    bar = figure.colorbar(picture, ax=axes, shrink=0.8)
    ticks = np.array([-3, 0, 3, 10, 30]) * 1e3 * rms
    bar.set_ticks(np.arcsinh(ticks / (3e3 * rms)), labels=[f"{t:.2g}" for t in ticks])
    bar.set_label("mJy/beam")
    with atomic(target) as partial:
        figure.savefig(partial, dpi=110)


def _scale_bar(axes, width: int, cell_deg: float) -> None:
    """A bar of half a degree, or of a tenth of the image for small ones."""
    degrees = 0.5 if width * cell_deg > 1.5 else round(width * cell_deg / 10, 3) or 0.001
    pixels = degrees / cell_deg
    x0, y0 = 0.95 * width - pixels, 0.04 * width
    axes.plot([x0, x0 + pixels], [y0, y0], color="C3", lw=2)
    axes.text(x0 + pixels / 2, y0 * 1.3, f"{degrees:g}°", color="C3", ha="center", va="bottom")


def _beam(axes, shape: tuple[int, int], cell_deg: float, beam: Beam) -> None:
    """The restoring beam, enlarged where it would be too small to be seen."""
    from matplotlib.patches import Ellipse

    enlarge = max(1, round(0.02 * shape[1] * cell_deg / beam.major_deg))
    ellipse = Ellipse(
        (0.06 * shape[1], 0.06 * shape[0]),
        width=beam.minor_deg / cell_deg * enlarge,
        height=beam.major_deg / cell_deg * enlarge,
        angle=beam.pa_deg,
        color="C0",
    )
    axes.add_patch(ellipse)
    label = "beam" if enlarge == 1 else f"beam x{enlarge}"
    axes.text(0.09 * shape[1], 0.05 * shape[0], label, color="C0", fontsize="small")

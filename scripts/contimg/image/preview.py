"""Pictures of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.fits import Beam, Image
from contimg.core.pictures import label_sky, sky_axes, write_picture

_LOW, _HIGH, _KNEE = -3.0, 30.0, 3.0  # of the grey scale [rms]
_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}  # behind a text


def show(axes, data: NDArray[np.floating], rms: float, most: int = 1200):
    """Grey picture of `data` [y, x] in `axes`, its scale set by `rms` and bent by asinh."""
    step = max(1, data.shape[0] // most)
    return axes.imshow(
        np.arcsinh(data[::step, ::step] / (_KNEE * rms)),
        origin="lower",
        cmap="gray_r",
        vmin=np.arcsinh(_LOW / _KNEE),
        vmax=np.arcsinh(_HIGH / _KNEE),
        extent=(-0.5, data.shape[1] - 0.5, -0.5, data.shape[0] - 0.5),
        interpolation="nearest",
    )


def draw(
    content: Image,
    target: Path,
    *,
    title: str,
    rms: float,
    circles: tuple[NDArray, NDArray, NDArray, list[str]] | None = None,
    outlines: NDArray[np.bool_] | None = None,
) -> None:
    """Grey picture of an image with its beam, a scale bar and a colour bar.

    `circles` are drawn and labelled: x, y, radius [pixel], text. The edges of `outlines` [y, x]
    are drawn too.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 6.5), layout="constrained")
    axes = sky_axes(figure, content.wcs)
    picture = show(axes, content.data, rms)
    label_sky(axes)
    axes.set_title(title)
    if circles is not None:
        _circles(axes, *circles)
    if outlines is not None:
        axes.contour(outlines, levels=[0.5], colors="C2", linewidths=0.7)
    _scale_bar(axes, content.data.shape[1], content.cell_deg)
    if content.beam is not None:
        _beam(axes, content.data.shape, content.cell_deg, content.beam)
    bar = figure.colorbar(picture, ax=axes, shrink=0.8)
    ticks = np.array([-3, 0, 3, 10, 30])
    labels = [f"{t:.3g}" for t in ticks * 1e3 * rms]
    bar.set_ticks(np.arcsinh(ticks / _KNEE), labels=labels)
    bar.set_label("mJy/beam (ticks at -3, 0, 3, 10 and 30 rms)")
    write_picture(figure, target, dpi=110)


def _circles(axes, x: NDArray, y: NDArray, radius: NDArray, names: list[str]) -> None:
    from matplotlib.collections import EllipseCollection

    size = 2 * radius
    shapes = EllipseCollection(
        size,
        size,
        np.zeros_like(size),
        units="xy",
        offsets=np.stack([x, y], axis=1),
        transOffset=axes.transData,
        facecolors="none",
        edgecolors="C0",
        linewidths=0.6,
    )
    axes.add_collection(shapes)
    if len(names) <= 60:
        for px, py, r, name in zip(x, y, radius, names, strict=True):
            axes.text(px + r, py + r, name, color="C0", fontsize=5)


def _scale_bar(axes, width: int, cell_deg: float) -> None:
    """A bar of half a degree, or of a tenth of the image for small ones."""
    degrees = 0.5 if width * cell_deg > 1.5 else round(width * cell_deg / 10, 3) or 0.001
    pixels = degrees / cell_deg
    x0, y0 = 0.95 * width - pixels, 0.04 * width
    axes.plot([x0, x0 + pixels], [y0, y0], color="C3", lw=2)
    label = {"color": "C3", "ha": "center", "va": "bottom", "bbox": _BOX}
    axes.text(x0 + pixels / 2, y0 * 1.3, f"{degrees:g}°", **label)


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
    axes.text(0.09 * shape[1], 0.05 * shape[0], label, color="C0", fontsize="small", bbox=_BOX)

"""The picture of a mosaic's validation: weights, coverage, noise and seams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.core.pictures import write_picture
from contimg.mosaic.maps import Maps
from contimg.mosaic.noise import Factors
from contimg.mosaic.seams import Seam

_MAX_PIXELS = 500  # along the longer side of a panel


def draw_validation(
    path: Path,
    maps: Maps,
    outlines: dict[str, NDArray[np.float64]],
    factors: Factors,
    seams: list[Seam],
    title: str,
) -> None:
    """Four panels in pixels of the mosaic; the edges of the tiles drawn on the last."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    ny, nx = maps.residual.shape
    step = max(1, int(np.ceil(max(ny, nx) / _MAX_PIXELS)))
    extent = (-0.5, nx * maps.thin - 0.5, -0.5, ny * maps.thin - 0.5)
    depth = (maps.noise[::step, ::step] / np.nanmin(maps.noise)) ** -2
    background = (maps.residual / maps.noise)[::step, ::step]
    coverage = maps.coverage[::step, ::step]
    coverage = np.where(coverage > 0, coverage, np.nan)
    panels = (
        ("weight (1 = greatest)", depth, 0, 1, "viridis"),
        ("tiles at each pixel", coverage, 0, None, "viridis"),
        ("measured over expected noise", factors.measured, 0.5, 2.5, "magma"),
        ("residual over expected noise; edges with a step in red", background, -3, 3, "gray"),
    )
    width = 11.0
    height = float(np.clip(width * ny / nx, 5.0, 12.0))
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    for axis, (name, data, low, high, colours) in zip(axes, panels, strict=True):
        shown = axis.imshow(
            data, origin="lower", extent=extent, vmin=low, vmax=high, cmap=colours,
            interpolation="nearest", aspect="auto",
        )  # fmt: skip
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        whole = MaxNLocator(integer=True) if data is coverage else None
        figure.colorbar(shown, ax=axis, shrink=0.9, ticks=whole).ax.tick_params(labelsize=7)
    stepped = {s.tile for s in seams if s.significant}
    for name, corners in outlines.items():
        line = np.concatenate([corners, corners[:1]])
        colour = "tab:red" if name in stepped else "tab:blue"
        axes[3].plot(line[:, 0], line[:, 1], color=colour, linewidth=0.6)
    for seam in seams:
        if seam.significant:
            axes[3].plot(seam.x, seam.y, "o", color="tab:red", markersize=3)
    axes[3].set_xlim(extent[:2])
    axes[3].set_ylim(extent[2:])
    figure.suptitle(title, fontsize=10)
    figure.supxlabel("pixel of the mosaic", fontsize=8)
    write_picture(figure, path, dpi=100)

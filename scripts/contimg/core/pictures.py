"""What pictures have in common: how they are written, and axes in coordinates of the sky."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from contimg.core.records import atomic


def write_picture(figure: Any, path: Path, dpi: int) -> None:
    """The figure as a PNG file, the same bytes in every run."""
    with atomic(path) as partial, partial.open("wb") as stream:
        print_png(figure, stream, dpi)


def print_png(figure: Any, stream: BinaryIO, dpi: int) -> None:
    """Write `figure` as PNG: laid out and drawn once, without the time of creation.

    ``savefig`` draws a figure with a layout twice, and packs it twice as long for a file that is
    no smaller.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    canvas.print_png(stream, metadata={"Software": None}, pil_kwargs={"compress_level": 3})


def sky_axes(figure: Any, wcs: Any) -> Any:
    """Axes of a figure in the coordinates of a `wcs`."""
    with _without("pytest"):  # astropy looks for it, and its import takes longer than a picture
        import astropy.visualization.wcsaxes  # noqa: F401
    return figure.add_subplot(projection=wcs)


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """As if `module` were not installed, unless it is imported already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


def label_sky(axes) -> None:
    """RA below and Dec to the left of WCS axes, every tick in full, a faint grid.

    Left to itself astropy puts RA on top of the title where a side crosses more meridians.
    """
    for coordinate, side, name in zip(axes.coords, "bl", ("RA (ICRS)", "Dec (ICRS)"), strict=True):
        coordinate.set_ticks_position(side)
        coordinate.set_ticklabel_position(side)
        coordinate.set_axislabel_position(side)
        coordinate.set_axislabel(name)
        coordinate.set_ticklabel(simplify=False, exclude_overlapping=True, size="small")
        coordinate.display_minor_ticks(True)
    axes.coords.grid(color="tab:blue", alpha=0.25, linewidth=0.5)

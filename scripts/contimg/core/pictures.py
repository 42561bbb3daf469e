"""What the pictures of the sky have in common."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any


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

"""What the pictures of the sky have in common."""

from __future__ import annotations


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

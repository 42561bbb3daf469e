"""The grid of a mosaic and the mapping of its pixels to those of a tile.

Centres and edges are computed from unit vectors and projected positions, never from minima and
maxima of right ascension, so nothing special happens at 0 h or near a pole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.coords import separation, unit_vectors
from contimg.core.errors import ContimgError
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.planes import Window
from contimg.mosaic.tiles import Tile

# Pixels between the nodes at which the exact mapping is evaluated. The mapping bends over one
# radian (more than 10^4 pixels): linear between the nodes it is good to 1e-3 pixel.
NODE_STEP = 16
_MIN_PIXELS_A_BEAM = 2.5
_MOST_PIXELS = 65536


@dataclass(frozen=True)
class Grid:
    """Pixels of the mosaic: shape (ny, nx), coordinates, and the box of every used tile.

    `boxes[name]` is (y0, y1, x0, x1), half open.
    """

    wcs: WCS
    shape: tuple[int, int]
    boxes: dict[str, Window]

    @property
    def cell_deg(self) -> float:
        """Size of the square pixel [deg]."""
        return float(abs(self.wcs.wcs.cdelt[0]))


def mean_position(positions: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Direction of the mean of the unit vectors of (ra, dec) [deg]."""
    x, y, z = unit_vectors(*np.radians(np.array(positions, dtype=float)).T).mean(axis=0)
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(
        np.degrees(np.arctan2(z, np.hypot(x, y)))
    )


def choose_grid(tiles: Sequence[Tile], options: MosaicOptions) -> Grid:
    """The SIN grid that covers the usable regions of `tiles`.

    Its centre is the mean of the tile centres, its cell that of the options or the smallest of
    theirs. Tiles that share one centre and cell keep their own grid, shifted by whole pixels, so
    that they need no interpolation.
    """
    wcs = _base_wcs(tiles, options.cell_arcsec)
    centre = np.radians(wcs.wcs.crval)
    for tile in tiles:
        distance = np.degrees(separation(*centre, *np.radians(tile.centre)))
        if distance > options.max_radius_deg:
            raise ContimgError(
                f"tile {tile.name} is {distance:.1f} deg from the mosaic's centre, more than"
                f" mosaic.max_radius_deg {options.max_radius_deg:g}; make several mosaics of tiles"
                " so far apart, or raise the limit (memory grows with it)"
            )
    spans = {tile.name: _span(wcs, tile) for tile in tiles}
    y0, y1, x0, x1 = (
        reducer(span[i] for span in spans.values())
        for i, reducer in enumerate((min, max, min, max))
    )
    if max(y1 - y0, x1 - x0) > _MOST_PIXELS:
        raise ContimgError(
            f"the mosaic would have {y1 - y0} x {x1 - x0} pixels of"
            f" {3600 * abs(wcs.wcs.cdelt[0]):g} arcsec, more than {_MOST_PIXELS} on a side; make"
            " mosaic.cell_arcsec larger, or several mosaics"
        )
    wcs.wcs.crpix = wcs.wcs.crpix - (x0, y0)
    wcs.wcs.set()
    wcs.array_shape = (y1 - y0, x1 - x0)
    boxes = {n: (s[0] - y0, s[1] - y0, s[2] - x0, s[3] - x0) for n, s in spans.items()}
    return Grid(wcs, (y1 - y0, x1 - x0), boxes)


def _base_wcs(tiles: Sequence[Tile], cell_arcsec: float | None) -> WCS:
    first = tiles[0].wcs
    cell = min(tile.cell_deg for tile in tiles) if cell_arcsec is None else cell_arcsec / 3600
    finest = min(tile.beam.minor_deg for tile in tiles)
    if cell_arcsec is not None and cell > finest / _MIN_PIXELS_A_BEAM:
        raise ContimgError(
            f"mosaic.cell_arcsec {cell_arcsec:g} leaves fewer than {_MIN_PIXELS_A_BEAM:g} pixels "
            f"across the beam ({finest * 3600:.1f} arcsec); make it smaller"
        )
    own = cell_arcsec is None or np.isclose(cell, tiles[0].cell_deg, rtol=1e-9, atol=0)
    if own and all(same_projection(first, tile.wcs) for tile in tiles):
        return first.deepcopy()
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crval = mean_position([tile.centre for tile in tiles])
    wcs.wcs.cdelt = [-cell, cell]
    wcs.wcs.crpix = [1.0, 1.0]
    wcs.wcs.set()
    return wcs


def same_projection(a: WCS, b: WCS) -> bool:
    """Whether two grids differ at most by a shift in pixels."""
    return bool(
        list(a.wcs.ctype) == list(b.wcs.ctype)
        and np.allclose(a.wcs.crval, b.wcs.crval, rtol=0, atol=1e-11)
        and np.allclose(a.pixel_scale_matrix, b.pixel_scale_matrix, rtol=1e-10, atol=0)
        and np.allclose([a.wcs.lonpole, a.wcs.latpole], [b.wcs.lonpole, b.wcs.latpole])
    )


def _span(wcs: WCS, tile: Tile) -> Window:
    """Half-open box (y0, y1, x0, x1) of a tile's usable region, relative to `wcs`."""
    x, y = wcs.world_to_pixel_values(tile.outline[:, 0], tile.outline[:, 1])
    # an interpolated pixel may lie up to one pixel outside the outline; rounding first keeps
    # positions that are whole but for rounding errors where they are
    x, y = np.round(x, 6), np.round(y, 6)
    return (
        int(np.floor(y.min())),
        int(np.ceil(y.max())) + 1,
        int(np.floor(x.min())),
        int(np.ceil(x.max())) + 1,
    )


def whole_pixel_shift(grid: Grid, wcs: WCS) -> tuple[int, int] | None:
    """(dy, dx) with tile pixel = mosaic pixel + shift, when that is exact; otherwise None."""
    if not same_projection(grid.wcs, wcs):
        return None
    dx, dy = wcs.wcs.crpix - grid.wcs.wcs.crpix
    if abs(dx - round(dx)) > 1e-9 or abs(dy - round(dy)) > 1e-9:
        return None
    return round(dy), round(dx)


def pixel_nodes(
    grid: Grid, wcs: WCS, window: Window
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tile pixel (y, x) of every `NODE_STEP`-th mosaic pixel of `window`, and one beyond."""
    rows = np.arange(window[0], window[1] + NODE_STEP, NODE_STEP, dtype=np.float64)
    columns = np.arange(window[2], window[3] + NODE_STEP, NODE_STEP, dtype=np.float64)
    mesh_x, mesh_y = np.meshgrid(columns, rows)
    x, y = wcs.world_to_pixel_values(*grid.wcs.pixel_to_world_values(mesh_x, mesh_y))
    return y, x

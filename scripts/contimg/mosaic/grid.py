"""The grid of a mosaic and the mapping of its pixels to those of a tile.

Centres and edges are computed from unit vectors and projected positions, never from minima and
maxima of right ascension, so nothing special happens at 0 h or near a pole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from contimg.core.coords import separation
from contimg.core.errors import ContimgError
from contimg.mosaic.tiles import Tile

# Pixels between the nodes at which the exact mapping is evaluated. The mapping bends over one
# radian (more than 10^4 pixels), so a cubic spline through the nodes is good to 1e-8 pixel.
_NODE_STEP = 32


@dataclass(frozen=True)
class Grid:
    """Pixels of the mosaic: shape (ny, nx), coordinates, and the box of every used tile.

    `boxes[name]` is (y0, y1, x0, x1), half open.
    """

    wcs: WCS
    shape: tuple[int, int]
    boxes: dict[str, tuple[int, int, int, int]]

    @property
    def cell_deg(self) -> float:
        """Size of the square pixel [deg]."""
        return float(abs(self.wcs.wcs.cdelt[0]))


def mean_position(positions: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Direction of the mean of the unit vectors of (ra, dec) [deg]."""
    ra, dec = np.radians(np.array(positions, dtype=float)).T
    x, y, z = (
        float(np.mean(part))
        for part in (np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec))
    )
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(
        np.degrees(np.arctan2(z, np.hypot(x, y)))
    )


def choose_grid(tiles: Sequence[Tile], max_radius_deg: float) -> Grid:
    """The SIN grid that covers the usable regions of `tiles`.

    Its centre is the mean of the tile centres, its cell the smallest of theirs. Tiles that share
    one centre and cell keep their own grid, shifted by whole pixels, so that they need no
    interpolation.
    """
    wcs = _base_wcs(tiles)
    centre = np.radians(wcs.wcs.crval)
    for tile in tiles:
        distance = np.degrees(separation(*centre, *np.radians(tile.centre)))
        if distance > max_radius_deg:
            raise ContimgError(
                f"tile {tile.name} is {distance:.1f} deg from the mosaic's centre (limit "
                f"{max_radius_deg:g}); make several mosaics of tiles so far apart"
            )
    spans = {tile.name: _span(wcs, tile) for tile in tiles}
    y0, y1, x0, x1 = (
        reducer(span[i] for span in spans.values())
        for i, reducer in enumerate((min, max, min, max))
    )
    wcs.wcs.crpix = wcs.wcs.crpix - (x0, y0)
    wcs.wcs.set()
    wcs.array_shape = (y1 - y0, x1 - x0)
    boxes = {n: (s[0] - y0, s[1] - y0, s[2] - x0, s[3] - x0) for n, s in spans.items()}
    return Grid(wcs, (y1 - y0, x1 - x0), boxes)


def _base_wcs(tiles: Sequence[Tile]) -> WCS:
    first = tiles[0].wcs
    assert first is not None
    if all(same_projection(first, tile.wcs) for tile in tiles):
        return first.deepcopy()
    cell = min(float(np.sqrt(abs(np.linalg.det(t.wcs.pixel_scale_matrix)))) for t in tiles)
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


def _span(wcs: WCS, tile: Tile) -> tuple[int, int, int, int]:
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


def pixel_mapping(
    grid: Grid, wcs: WCS, box: tuple[int, int, int, int]
) -> Callable[[int, int], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Function of rows (y0, y1) giving tile pixel (y, x) of the mosaic pixels of `box`.

    Each result has the shape (y1 - y0, width of the box).
    """
    y0, y1, x0, x1 = box
    nodes_y, nodes_x = _nodes(y0, y1), _nodes(x0, x1)
    mesh_x, mesh_y = np.meshgrid(nodes_x, nodes_y)
    sky = grid.wcs.pixel_to_world_values(mesh_x, mesh_y)
    tile_x, tile_y = wcs.world_to_pixel_values(*sky)
    spline_y = RectBivariateSpline(nodes_y, nodes_x, tile_y, s=0)
    spline_x = RectBivariateSpline(nodes_y, nodes_x, tile_x, s=0)
    columns = np.arange(x0, x1, dtype=np.float64)

    def mapping(first: int, last: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows = np.arange(first, last, dtype=np.float64)
        return spline_y(rows, columns), spline_x(rows, columns)

    return mapping


def _nodes(first: int, last: int) -> NDArray[np.float64]:
    count = max(4, int(np.ceil((last - first) / _NODE_STEP)) + 1)
    return np.linspace(first, last - 1 if last - 1 > first else last, count)

"""A HiPS of one mosaic (IVOA HiPS 1.0): tiles on the HEALPix grid that Aladin opens from a folder.

A tile of order k holds 512 x 512 cells of order k + 9. In FITS, the first pixel is the cell at the
eastern corner; along a row the odd bits of the nested index grow (to the north-west), along a
column the even ones fall (to the south-west).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.fits import Image, read_image
from contimg.core.records import atomic, write_text
from contimg.core.seals import verified

if TYPE_CHECKING:
    from mocpy import MOC

TILE_ORDER = 9  # 512 cells on a side
SIDE = 2**TILE_ORDER
DEEP_ENOUGH = 3  # order that readers expect at least
MOC_ORDER = 10  # of the coverage: cells of 3.4 arcmin
_CELL_DEG = 58.63  # side of a HEALPix cell of order 0


def write_hips(image: Path, folder: Path, about: Mapping[str, Any]) -> int:
    """Write the tiles of an image and of all coarser orders; the deepest order.

    `about` is the row of the image in the ObsCore table.
    """
    if find_spec("cdshealpix") is None or find_spec("mocpy") is None:
        raise ContimgError("HiPS need cdshealpix and mocpy: pip install 'contimg[formats]'")
    picture = read_image(verified(image))
    order = max(DEEP_ENOUGH, order_of(picture.cell_deg))
    with atomic(folder) as partial:
        partial.mkdir(parents=True)
        tiles = {}
        for number, values in deepest(picture, order):
            tiles[number] = values
            _write(partial, order, number, values)
        outline(tiles, order).save(str(partial / "Moc.fits"), format="fits")
        for coarser in range(order - 1, -1, -1):
            tiles = coarse(tiles)
            for number, values in tiles.items():
                _write(partial, coarser, number, values)
        write_text(partial / "properties", properties(picture, order, about, image))
    return order


def order_of(cell_deg: float) -> int:
    """The order of tiles whose cells are no larger than a pixel."""
    return max(0, int(np.ceil(np.log2(_CELL_DEG / cell_deg))) - TILE_ORDER)


def cells() -> NDArray[np.int64]:
    """(512, 512) nested index, within its tile, of each pixel of the tile."""
    bits = np.arange(SIDE)
    spread = sum(((bits >> k) & 1) << (2 * k) for k in range(TILE_ORDER))
    return spread[::-1, None] | (spread[None, :] << 1)


def reached(picture: Image, order: int) -> NDArray[np.integer]:
    """Numbers of the tiles in which there is a pixel: of the whole rim, and of some inside."""
    from astropy import units
    from cdshealpix.nested import lonlat_to_healpix

    ny, nx = picture.data.shape
    y, x = np.mgrid[0:ny, 0:nx]
    chosen = (x % 8 == 0) & (y % 8 == 0)
    chosen[[0, -1]] = chosen[:, [0, -1]] = True
    ra, dec = picture.wcs.all_pix2world(x[chosen], y[chosen], 0)
    known = np.isfinite(ra) & np.isfinite(dec)
    places = ra[known] * units.deg, dec[known] * units.deg
    return np.unique(lonlat_to_healpix(*places, np.uint8(order)))


def deepest(picture: Image, order: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Number and pixels of every tile that the image reaches, bilinearly interpolated."""
    from cdshealpix.nested import healpix_to_lonlat
    from scipy.ndimage import map_coordinates

    numbers = reached(picture, order)
    index = cells()
    for number in numbers:
        lon, lat = healpix_to_lonlat(
            (int(number) << (2 * TILE_ORDER)) + index.ravel(), np.uint8(order + TILE_ORDER)
        )
        px, py = picture.wcs.all_world2pix(lon.to_value("deg"), lat.to_value("deg"), 0)
        values = map_coordinates(
            picture.data, [py, px], order=1, mode="constant", cval=np.nan
        ).reshape(SIDE, SIDE)
        if np.isfinite(values).any():
            yield int(number), values.astype(np.float32)


def coarse(tiles: dict[int, NDArray[np.float32]]) -> dict[int, NDArray[np.float32]]:
    """Tiles of the next coarser order: means of four cells, of those with data."""
    half = SIDE // 2
    result: dict[int, NDArray[np.float32]] = {}
    for number, values in tiles.items():
        four = values.reshape(half, 2, half, 2)
        good = np.isfinite(four)
        total = np.where(good, four, 0).sum(axis=(1, 3))
        count = good.sum(axis=(1, 3))
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        parent = result.setdefault(number >> 2, np.full((SIDE, SIDE), np.nan, np.float32))
        row, column = 1 - (number & 1), (number >> 1) & 1  # even bit: down a column
        parent[row * half : (row + 1) * half, column * half : (column + 1) * half] = mean
    return result


def _write(folder: Path, order: int, number: int, values: NDArray[np.float32]) -> None:
    place = folder / f"Norder{order}" / f"Dir{number // 10000 * 10000}"
    place.mkdir(parents=True, exist_ok=True)
    fits.writeto(place / f"Npix{number}.fits", values)


def outline(tiles: Mapping[int, NDArray[np.float32]], order: int) -> MOC:
    """Coverage of the pixels with data; cells of :data:`MOC_ORDER` that have any belong to it."""
    from mocpy import MOC

    deep = order + TILE_ORDER
    coarser = max(0, deep - MOC_ORDER)
    index = cells()
    found = [
        np.unique(((number << (2 * TILE_ORDER)) + index[np.isfinite(values)]) >> (2 * coarser))
        for number, values in tiles.items()
    ]
    numbers = np.concatenate(found).astype(np.uint64)
    depth = np.full(len(numbers), deep - coarser, np.uint8)
    return MOC.from_healpix_cells(numbers, depth, deep - coarser)


def properties(picture: Image, order: int, about: Mapping[str, Any], image: Path) -> str:
    """The file by which readers know what the tiles are."""
    ny, nx = picture.data.shape
    ra, dec = picture.wcs.all_pix2world((nx - 1) / 2, (ny - 1) / 2, 0)
    low, high = np.nanpercentile(picture.data, [1, 99.5])
    title, now = about["obs_id"], f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%MZ}"
    lines = {
        "creator_did": f"ivo://contimg/{title}",
        "obs_title": title,
        "obs_description": f"Mosaic {title} of {about['facility_name']}, Stokes I, Jy/beam",
        "obs_collection": about["obs_collection"],
        "prov_progenitor": image.name,
        "dataproduct_type": "image",
        "hips_version": "1.4",
        "hips_creation_date": now,
        "hips_release_date": now,
        "hips_status": "private master unclonable",
        "hips_frame": "equatorial",
        "hips_order": order,
        "hips_tile_width": SIDE,
        "hips_tile_format": "fits",
        "hips_pixel_bitpix": -32,
        "hips_pixel_cut": f"{low:.6g} {high:.6g}",
        "hips_initial_ra": f"{float(ra):.6f}",
        "hips_initial_dec": f"{float(dec):.6f}",
        "hips_initial_fov": f"{max(nx, ny) * picture.cell_deg:.4f}",
        **{key: f"{about[key]:.10g}" for key in ("t_min", "t_max", "em_min", "em_max")},
        "obs_regime": "Radio",
    }
    return "".join(f"{name:20s} = {value}\n" for name, value in lines.items())

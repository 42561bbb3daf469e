"""A HiPS of one mosaic (IVOA HiPS 1.0): tiles on the HEALPix grid that Aladin opens from a folder.

A tile of order k holds 512 x 512 cells of order k + 9. In FITS, the first pixel is the cell at the
southern corner; along a row the odd bits of the nested index grow, along a column the even ones, so
that east is to the left of north.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.fits import Image, read_image
from contimg.core.records import atomic, write_text
from contimg.core.seals import verified

TILE_ORDER = 9  # 512 cells on a side
SIDE = 2**TILE_ORDER
LEAST_ORDER = 3  # of tiles: what readers begin with
_CELL_DEG = 58.63  # side of a HEALPix cell of order 0


def write_hips(image: Path, folder: Path, title: str) -> int:
    """Write the tiles of an image and of all coarser orders; the deepest order."""
    if find_spec("cdshealpix") is None:
        raise ContimgError("HiPS need cdshealpix: pip install 'contimg[formats]'")
    picture = read_image(verified(image))
    order = max(LEAST_ORDER, order_of(picture.cell_deg))
    with atomic(folder) as partial:
        partial.mkdir(parents=True)
        tiles = {}
        for number, values in deepest(picture, order):
            tiles[number] = values
            _write(partial, order, number, values)
        for coarser in range(order - 1, LEAST_ORDER - 1, -1):
            tiles = coarse(tiles)
            for number, values in tiles.items():
                _write(partial, coarser, number, values)
        write_text(partial / "properties", properties(picture, order, title))
    return order


def order_of(cell_deg: float) -> int:
    """The order of tiles whose cells are no larger than a pixel."""
    return max(0, int(np.ceil(np.log2(_CELL_DEG / cell_deg))) - TILE_ORDER)


def cells() -> NDArray[np.int64]:
    """(512, 512) nested index, within its tile, of each pixel of the tile."""
    bits = np.arange(SIDE)
    spread = sum(((bits >> k) & 1) << (2 * k) for k in range(TILE_ORDER))
    return spread[:, None] | (spread[None, :] << 1)


def deepest(picture: Image, order: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Number and pixels of every tile that the image reaches, bilinearly interpolated."""
    from astropy import units
    from cdshealpix.nested import healpix_to_lonlat, lonlat_to_healpix
    from scipy.ndimage import map_coordinates

    ny, nx = picture.data.shape
    step = max(1, SIDE // 8)
    y, x = np.mgrid[0 : ny + step : step, 0 : nx + step : step]
    ra, dec = picture.wcs.all_pix2world(np.minimum(x, nx - 1), np.minimum(y, ny - 1), 0)
    known = np.isfinite(ra) & np.isfinite(dec)
    places = ra[known] * units.deg, dec[known] * units.deg
    numbers = np.unique(lonlat_to_healpix(*places, np.uint8(order)))
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
        row, column = number & 1, (number >> 1) & 1  # even bit: along a column
        parent[row * half : (row + 1) * half, column * half : (column + 1) * half] = mean
    return result


def _write(folder: Path, order: int, number: int, values: NDArray[np.float32]) -> None:
    place = folder / f"Norder{order}" / f"Dir{number // 10000 * 10000}"
    place.mkdir(parents=True, exist_ok=True)
    fits.writeto(place / f"Npix{number}.fits", values)


def properties(picture: Image, order: int, title: str) -> str:
    """The file by which readers know what the tiles are."""
    ny, nx = picture.data.shape
    ra, dec = picture.wcs.all_pix2world((nx - 1) / 2, (ny - 1) / 2, 0)
    low, high = np.nanpercentile(picture.data, [1, 99.5])
    lines = {
        "creator_did": f"ivo://contimg/{title}",
        "obs_title": title,
        "dataproduct_type": "image",
        "hips_version": "1.4",
        "hips_release_date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%MZ}",
        "hips_status": "private master unclonable",
        "hips_frame": "equatorial",
        "hips_order": order,
        "hips_order_min": LEAST_ORDER,
        "hips_tile_width": SIDE,
        "hips_tile_format": "fits",
        "hips_pixel_bitpix": -32,
        "hips_pixel_cut": f"{low:.6g} {high:.6g}",
        "hips_initial_ra": f"{float(ra):.6f}",
        "hips_initial_dec": f"{float(dec):.6f}",
        "hips_initial_fov": f"{max(nx, ny) * picture.cell_deg:.4f}",
        "obs_regime": "Radio",
    }
    return "".join(f"{name:20s} = {value}\n" for name, value in lines.items())

"""The tiles of a mosaic: what their records say, their pixels, and which of them are used."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.fits import Beam, Image, read_image, robust_rms
from contimg.core.records import read_record
from contimg.mosaic.beams import convolve, kernel_between
from contimg.mosaic.options import MosaicOptions


@dataclass
class Tile:
    """One image of a short observation, not corrected for the primary beam.

    `outline` holds (ra, dec) [deg] of the edge of the usable region. `reason` is empty as long
    as the tile is used. `noise_gain` is what the common beam did to the noise.
    """

    name: str
    image: Path
    residual: Path
    pb: Path
    record: Path
    reason: str = ""
    rms_jy_beam: float = np.nan
    mjd: float = np.nan
    freq_hz: float = np.nan
    integration_s: float = np.nan
    bandwidth_hz: float | None = None
    beam: Beam | None = None
    wcs: WCS | None = None
    outline: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    usable_pixels: int = 0
    blank_pixels: int = 0
    noise_gain: float = 1.0

    @property
    def used(self) -> bool:
        """Whether the tile contributes to the mosaic."""
        return not self.reason

    @property
    def noise(self) -> float:
        """Noise of the tile at the common beam [Jy/beam], where the primary beam is one."""
        return self.rms_jy_beam * self.noise_gain

    @property
    def centre(self) -> tuple[float, float]:
        """(ra, dec) [deg] of the reference point of the projection."""
        assert self.wcs is not None
        return float(self.wcs.wcs.crval[0]), float(self.wcs.wcs.crval[1])


@dataclass(frozen=True)
class Planes:
    """Pixels of a tile [y, x]: image, residual and primary beam; NaN where not to be used."""

    image: NDArray[np.float64]
    residual: NDArray[np.float64]
    pb: NDArray[np.float64]


def read_tiles(
    images: list[Path],
    residuals: list[Path],
    pbs: list[Path],
    image_records: list[Path],
    options: MosaicOptions,
) -> list[Tile]:
    """Tiles in their canonical order (time, then name), unfit ones with the reason."""
    lengths = {len(images), len(residuals), len(pbs), len(image_records)}
    if len(lengths) != 1 or not images:
        raise ContimgError(
            "mosaic: --images, --residuals, --pbs and --image-records need one file a tile, got "
            f"{len(images)}, {len(residuals)}, {len(pbs)} and {len(image_records)}"
        )
    tiles = [_describe(*paths) for paths in zip(images, residuals, pbs, image_records, strict=True)]
    tiles.sort(key=lambda t: (np.isnan(t.mjd), t.mjd if np.isfinite(t.mjd) else 0.0, t.name))
    names = [tile.name for tile in tiles]
    for name in names:
        if names.count(name) > 1:
            raise ContimgError(f"mosaic: tile {name} is given twice; give each tile once")
    for tile in tiles:
        if tile.used:
            _inspect(tile, options.pb_limit)
    reject_noisy(tiles, options.max_rms_ratio)
    return tiles


def _describe(image: Path, residual: Path, pb: Path, record: Path) -> Tile:
    content = read_record(record)
    tile = Tile(record.stem, image, residual, pb, record)
    data: dict[str, Any] = content["data"]
    for key in ("rms_jy_beam", "mjd", "freq_hz", "integration_s"):
        value = data.get(key)
        setattr(tile, key, float(value) if value is not None else np.nan)
    if content["verdict"] == "fail":
        tile.reason = f"failed: {content['reason']}"
    elif not (np.isfinite(tile.rms_jy_beam) and tile.rms_jy_beam > 0):
        tile.reason = f"its noise is not known (rms_jy_beam {data.get('rms_jy_beam')})"
    elif not np.isfinite(tile.mjd):
        tile.reason = "its time is not known (no mjd in its record)"
    return tile


def _read(tile: Tile) -> tuple[Image, Image, Image]:
    image, residual, pb = (read_image(path) for path in (tile.image, tile.residual, tile.pb))
    for other, path in ((residual, tile.residual), (pb, tile.pb)):
        if other.data.shape != image.data.shape:
            raise ContimgError(
                f"{path}: shape {other.data.shape}, its image has {image.data.shape}; rebuild it"
            )
    return image, residual, pb


def _usable(image: Image, residual: Image, pb: Image, pb_limit: float) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        inside = pb.data >= pb_limit
    return inside & np.isfinite(image.data) & np.isfinite(residual.data)


def _inspect(tile: Tile, pb_limit: float) -> None:
    """Fill in the geometry of a tile; give the reason when it has no usable pixel."""
    image, residual, pb = _read(tile)
    if image.beam is None:
        tile.reason = "its image has no restoring beam"
        return
    usable = _usable(image, residual, pb, pb_limit)
    tile.beam, tile.wcs = image.beam, image.wcs
    tile.bandwidth_hz = image.header.get("CDELT3")
    tile.usable_pixels = int(usable.sum())
    tile.blank_pixels = int(np.sum(pb.data >= pb_limit)) - tile.usable_pixels
    if not tile.usable_pixels:
        tile.reason = f"no pixel with data where the primary beam is above {pb_limit:g}"
        return
    x, y = _edge(usable)
    tile.outline = np.stack(image.wcs.pixel_to_world_values(x, y), axis=1)


def _edge(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(x, y) of the first and last true pixel of every row and column."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    by_row, by_col = mask[rows], mask[:, cols].T
    x = [by_row.argmax(1), mask.shape[1] - 1 - by_row[:, ::-1].argmax(1), cols, cols]
    y = [rows, rows, by_col.argmax(1), mask.shape[0] - 1 - by_col[:, ::-1].argmax(1)]
    return np.concatenate(x), np.concatenate(y)


def reject_noisy(tiles: list[Tile], max_ratio: float) -> None:
    """Leave out tiles whose noise exceeds `max_ratio` times the median of the usable ones."""
    rms = [tile.rms_jy_beam for tile in tiles if tile.used]
    if not rms:
        return
    median = float(np.median(rms))
    for tile in tiles:
        if tile.used and tile.rms_jy_beam > max_ratio * median:
            ratio = tile.rms_jy_beam / median
            tile.reason = f"noise {ratio:.3g} times the median of the tiles (limit {max_ratio:g})"


def load(tile: Tile, target: Beam, must_convolve: bool, pb_limit: float) -> Planes:
    """Pixels of a tile at the common beam; sets `tile.noise_gain`.

    The primary beam is as smooth as a degree and is left as it is: convolving the attenuated
    sky over a few arc seconds changes nothing there.
    """
    image, residual, pb = _read(tile)
    usable = _usable(image, residual, pb, pb_limit)
    planes = [image.data.astype(np.float64), residual.data.astype(np.float64)]
    assert tile.beam is not None and tile.wcs is not None
    if must_convolve:
        to_pixel = np.linalg.inv(tile.wcs.pixel_scale_matrix)
        kernel, gain = kernel_between(tile.beam, target, to_pixel)
        before = robust_rms(planes[1][usable])
        for index, plane in enumerate(planes):
            planes[index], valid = convolve(plane, kernel, gain)
            planes[index][~valid] = np.nan
        after = robust_rms(planes[1][usable])
        tile.noise_gain = after / before if before > 0 else 1.0
    return Planes(planes[0], planes[1], pb.data.astype(np.float64))

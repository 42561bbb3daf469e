"""The tiles of a mosaic: what their records, their headers and a coarse look at them say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.fits import Beam, restoring_beam
from contimg.core.outline import outline, polygon
from contimg.core.records import read_record
from contimg.core.robust import robust_rms
from contimg.core.seals import verified
from contimg.mosaic.calibration import Calibration, calibration_of
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.planes import Plane, open_plane
from contimg.mosaic.plausible import implausible

_COARSE = 512  # samples along an axis when a tile is looked at coarsely


@dataclass
class Tile:
    """One image of a short observation.

    `broken` says why there is nothing to add; `warning` and `row_flags` are what its record says
    against it and against each source measured on it; `flux_scale` what it was divided by (`factor`
    and its `error`), None for nothing; `reasons` why a tile that could be added is
    not. `peak_jy_beam` was measured where the primary beam is above `measured_above`. `outline`
    holds (ra, dec) [deg] around the usable region. `pb_width_deg` is the root of the area where
    the primary beam is above half its peak. `noise_gain` is what the common beam does to the noise.
    """

    name: str
    image_path: Path
    residual_path: Path
    pb_path: Path
    record: Path
    broken: str = ""
    reasons: list[str] = field(default_factory=list)
    warning: str = ""
    row_flags: list[str] = field(default_factory=list)
    flux_scale: dict[str, float] | None = None
    decision: tuple[str, str] | None = None
    rms_jy_beam: float = np.nan
    mjd: float = np.nan
    freq_hz: float = np.nan
    integration_s: float = np.nan
    dynamic_range: float = np.nan
    peak_jy_beam: float = np.nan
    measured_above: float = 0.0
    bandwidth_hz: float = 0.0
    calibration: Calibration = field(default_factory=Calibration)
    image_corrected: bool = False
    residual_corrected: bool = False
    pb_peak: float = np.nan
    pb_width_deg: float = np.nan
    edge_noise_ratio: float = np.nan
    blank_fraction: float = np.nan
    outline: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    noise_gain: float = 1.0
    offset_arcsec: tuple[float, float] | None = None
    offset_err_arcsec: float | None = None
    flux_ratio: float | None = None
    flux_ratio_err: float | None = None
    compared_sources: int = 0
    image: Plane | None = None
    residual: Plane | None = None
    pb: Plane | None = None

    @property
    def used(self) -> bool:
        """Whether the tile contributes: a decision stands above judgement, not above the data."""
        if self.broken:
            return False
        if self.decision is not None:
            return self.decision[0] == "use"
        return not self.reasons

    @property
    def reason(self) -> str:
        """Why the tile is left out, or used in spite of something; empty for an ordinary tile."""
        if self.broken:
            return self.broken
        said = "; ".join(self.reasons)
        if self.decision is None:
            return said
        what = {"use": "used", "leave_out": "left out"}[self.decision[0]]
        return f"{what} by decision: {self.decision[1]}" + (f" ({said})" if said else "")

    @property
    def noise(self) -> float:
        """Noise at the common beam [Jy/beam], where the primary beam is one."""
        return self.rms_jy_beam * self.noise_gain

    @property
    def beam(self) -> Beam:
        """Restoring beam."""
        assert self.image is not None and self.image.beam is not None
        return self.image.beam

    @property
    def wcs(self) -> WCS:
        """Celestial coordinates of the pixels."""
        assert self.image is not None
        return self.image.wcs

    @property
    def centre(self) -> tuple[float, float]:
        """(ra, dec) [deg] of the reference point of the projection."""
        return float(self.wcs.wcs.crval[0]), float(self.wcs.wcs.crval[1])

    @property
    def cell_deg(self) -> float:
        """Size of the pixel [deg]."""
        return float(np.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix))))


def read_tiles(
    images: list[Path],
    residuals: list[Path],
    pbs: list[Path],
    image_records: list[Path],
    options: MosaicOptions,
) -> list[Tile]:
    """Tiles in their canonical order (time, then name), those without data with the reason."""
    lengths = {len(images), len(residuals), len(pbs), len(image_records)}
    if len(lengths) != 1 or not images:
        raise ContimgError(
            "mosaic: --images, --residuals, --pbs and --image-records need one file a tile, got "
            f"{len(images)}, {len(residuals)}, {len(pbs)} and {len(image_records)}"
        )
    paths = zip(images, residuals, pbs, image_records, strict=True)
    tiles = [_from_record(*four) for four in paths]
    tiles.sort(key=lambda t: (np.isnan(t.mjd), t.mjd if np.isfinite(t.mjd) else 0.0, t.name))
    names = [tile.name for tile in tiles]
    for name in names:
        if names.count(name) > 1:
            raise ContimgError(f"mosaic: tile {name} is given twice; give each tile once")
    for tile in tiles:
        if not tile.broken:
            _from_files(tile, options)
    return tiles


def _from_record(image: Path, residual: Path, pb: Path, record: Path) -> Tile:
    """A tile as its record has it; one that is damaged, or cannot be followed, has nothing."""
    tile = Tile(record.stem, image, residual, pb, record)
    try:
        content = read_record(record)
        if content["verdict"] != "fail":
            tile.calibration = calibration_of(record)
            for path in (image, residual, pb):
                verified(path, record)
    except DataQualityError as error:
        tile.broken = str(error)
        return tile
    data: dict[str, Any] = content["data"]
    keys = ("rms_jy_beam", "mjd", "freq_hz", "integration_s", "dynamic_range", "peak_jy_beam")
    for key in keys:
        value = data.get(key)
        setattr(tile, key, float(value) if value is not None else np.nan)
    tile.flux_scale = data.get("flux_scale_applied")
    image_options = content.get("parameters", {}).get("image", {})
    tile.measured_above = float(image_options.get("pb_limit", 0.0))
    if content["verdict"] == "warn":
        tile.warning, tile.row_flags = content["reason"], list(data.get("row_flags", []))
    if content["verdict"] == "fail":
        tile.broken = f"failed: {content['reason']}"
    elif not (np.isfinite(tile.rms_jy_beam) and tile.rms_jy_beam > 0):
        tile.broken = f"its noise is not known (rms_jy_beam {data.get('rms_jy_beam')})"
    elif not np.isfinite(tile.mjd):
        tile.broken = "its time is not known (no mjd in its record)"
    return tile


def _from_files(tile: Tile, options: MosaicOptions) -> None:
    """Fill in what the headers and every n-th pixel say."""
    tile.image, tile.residual, tile.pb = (
        open_plane(path) for path in (tile.image_path, tile.residual_path, tile.pb_path)
    )
    for other in (tile.residual, tile.pb):
        if other.shape != tile.image.shape:
            raise ContimgError(
                f"{other.path}: shape {other.shape}, its image has {tile.image.shape}; rebuild it"
            )
    if tile.image.beam is None:
        tile.broken = f"its image has {restoring_beam(tile.image.header)[1]}"
        return
    if (unit := str(tile.image.header.get("BUNIT", "Jy/beam"))).lower() != "jy/beam":
        tile.broken = f"its image is in {unit}, not in Jy/beam"
        return
    tile.bandwidth_hz = _bandwidth(tile.image)
    tile.image_corrected = is_corrected(tile.image, options.tiles_corrected)
    tile.residual_corrected = is_corrected(tile.residual, options.tiles_corrected)
    step = max(1, max(tile.image.shape) // _COARSE)
    image, residual, pb = (
        np.array(plane.data[::step, ::step], dtype=np.float32)
        for plane in (tile.image, tile.residual, tile.pb)
    )
    inside = pb >= options.pb_limit  # false where the beam is blank
    usable = inside & np.isfinite(image) & np.isfinite(residual)
    if not usable.any():
        tile.broken = f"no pixel with data where the primary beam is above {options.pb_limit:g}"
        return
    if not (tile.image_corrected or tile.residual_corrected):
        tile.broken = implausible(
            *(tile.image, tile.residual, tile.pb),
            peak_jy_beam=tile.peak_jy_beam,
            rms_jy_beam=tile.rms_jy_beam,
            floor=max(options.pb_limit, tile.measured_above),
        )
    tile.blank_fraction = 1 - float(usable.sum() / inside.sum())
    tile.pb_peak = float(pb[inside].max())
    area = float((pb >= tile.pb_peak / 2).sum()) * (step * tile.cell_deg) ** 2
    tile.pb_width_deg = float(np.sqrt(area))
    if not tile.residual_corrected:
        tile.edge_noise_ratio = _edge_noise(residual, pb, tile.pb_peak, usable)
    tile.outline = outline(usable, step, tile.wcs, tile.image.shape)


def is_corrected(plane: Plane, said: Literal["auto", "yes", "no"]) -> bool:
    """Whether a file holds values divided by the primary beam."""
    if said != "auto":
        return said == "yes"
    return bool(plane.header.get("PBCOR", False))


def _bandwidth(image: Plane) -> float:
    if not str(image.header.get("CTYPE3", "")).startswith("FREQ"):
        return 0.0
    return abs(float(image.header.get("CDELT3", 0.0)))


def _edge_noise(residual: NDArray, pb: NDArray, peak: float, usable: NDArray) -> float:
    """Noise where the beam is low over that where it is high: one, unless divided by the beam."""
    low, high = usable & (pb < 0.4 * peak), usable & (pb > 0.8 * peak)
    if low.sum() < 100 or high.sum() < 100:
        return float("nan")
    inner = robust_rms(residual[high])
    return robust_rms(residual[low]) / inner if inner > 0 else float("nan")


def region(tile: Tile) -> str:
    """The outline as ``POLYGON ICRS ra dec ra dec ...`` [deg], as ObsCore's s_region has it."""
    return "" if tile.broken else polygon(tile.outline, tile.wcs)

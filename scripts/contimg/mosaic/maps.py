"""A finished mosaic as its validation looks at it: thinned maps, tiles and their outlines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.fits import Beam
from contimg.mosaic.planes import Plane, open_plane

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Maps:
    """Maps thinned to about two pixels across the beam's minor axis, and the full ones on disk.

    `residual`, `noise` (expected from the weights) and `rms` (measured) in Jy/beam; `coverage`
    in tiles; `thin` is the step in pixels.
    """

    image_full: Plane
    residual_full: Plane
    rms_full: Plane
    residual: Pixels
    noise: Pixels
    rms: Pixels
    coverage: Pixels
    beam: Beam
    thin: int

    @property
    def wcs(self) -> WCS:
        """Coordinates of the full maps."""
        return self.image_full.wcs

    @property
    def cell_deg(self) -> float:
        """Size of a pixel of the full maps [deg]."""
        return float(np.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix))))

    @property
    def beam_pixels(self) -> float:
        """Major axis of the beam in pixels of the full maps."""
        return self.beam.major_deg / self.cell_deg


def read_maps(image: Path, residual: Path, weight: Path, rms: Path, coverage: Path) -> Maps:
    """Open the maps of one mosaic."""
    planes = [open_plane(path) for path in (image, residual, weight, rms, coverage)]
    beam = planes[0].beam
    if beam is None:
        raise ContimgError(f"{image}: no restoring beam; rebuild it")
    for plane in planes[1:]:
        if plane.shape != planes[0].shape:
            raise ContimgError(f"{plane.path}: shape differs from {image}; rebuild both")
    cell = float(np.sqrt(abs(np.linalg.det(planes[0].wcs.pixel_scale_matrix))))
    thin = max(1, round(beam.minor_deg / cell / 2))
    thinned = [np.array(p.data[::thin, ::thin], dtype=np.float32) for p in planes[1:]]
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = thinned[1] ** -0.5
    return Maps(
        planes[0], planes[1], planes[3], thinned[0], noise, thinned[2], thinned[3], beam, thin
    )


def read_tile_table(path: Path) -> pd.DataFrame:
    """The tile list of a mosaic."""
    numbers = ["rms_jy_beam", "mjd", "offset_east_arcsec", "offset_north_arcsec"]
    numbers += ["offset_err_arcsec", "flux_ratio", "flux_ratio_err"]
    blank = {key: [""] for key in numbers}
    return pd.read_csv(path, keep_default_na=False, na_values=blank)


def outline(s_region: str, wcs: WCS) -> NDArray[np.float64]:
    """Corners (x, y) [n, 2] in pixels of ``POLYGON ICRS ra dec ...``."""
    numbers = np.array(s_region.split()[2:], dtype=float).reshape(-1, 2)
    return np.stack(wcs.world_to_pixel_values(numbers[:, 0], numbers[:, 1]), axis=1)

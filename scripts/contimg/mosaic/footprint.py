"""How large a mosaic will be and what memory it takes, from the plan, before there are tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from contimg.core.beam import PrimaryBeam
from contimg.core.constants import C_M_S
from contimg.core.coords import direction_cosines, unit_vectors
from contimg.image.options import ImageOptions
from contimg.mosaic.options import MosaicOptions

# Measured by benchmarks/mosaic.py.
_BASE_MB, _MAP_PIXEL_BYTES, _BLOCK_MB = 350.0, 30.0, 150.0
# Minor axis of the restoring beam over wavelength / longest baseline: 1.14 with Briggs 0.5 and
# the full array (docs/imaging.md). A finer beam has more pixels.
_MINOR = 1.1


def memory_mb(pixels: float, workers: int) -> float:
    """Peak memory of a mosaic of so many pixels on so many processors [MB]."""
    return _BASE_MB + pixels * _MAP_PIXEL_BYTES / 1e6 + workers * _BLOCK_MB


def expected_cell_deg(
    group: dict[str, Any], image: ImageOptions, mosaic: MosaicOptions, pixels_per_beam: float
) -> float | None:
    """Pixel of a mosaic [deg]: of the options, else of the finest beam that the array can have.

    None where neither is known. `group` is a :class:`contimg.core.groups.Group` as a dict.
    """
    cell_arcsec = mosaic.cell_arcsec or image.cell_arcsec
    if cell_arcsec is not None:
        return cell_arcsec / 3600
    if not group.get("longest_m"):
        return None
    longest = group["longest_m"] * (group["freq_min_hz"] + group["freq_max_hz"]) / 2 / C_M_S
    longest = min(longest, image.uv_max_lambda or np.inf)
    return float(np.degrees(_MINOR / longest)) / (image.pixels_per_beam or pixels_per_beam)


def expected_pixels(
    groups: Sequence[dict[str, Any]],
    cell_deg: float,
    beam: PrimaryBeam,
    image: ImageOptions,
    mosaic: MosaicOptions,
) -> float:
    """Pixels of the SIN plane about the mean of the tiles that holds where they are used."""
    ra, dec = np.radians([(g["ra_deg"], g["dec_deg"]) for g in groups]).T
    xyz = unit_vectors(ra, dec).mean(axis=0)
    centre = np.arctan2(xyz[1], xyz[0]), np.arctan2(xyz[2], np.hypot(*xyz[:2]))
    x, y, _ = direction_cosines(ra, dec, *centre)
    reach = max(_reach_deg(group, beam, mosaic.pb_limit) for group in groups)
    if image.imsize is not None and image.cell_arcsec is not None:
        reach = min(reach, image.imsize * image.cell_arcsec / 3600 / 2)
    width, height = (np.degrees(np.ptp(axis)) + 2 * reach for axis in (x, y))
    return float(width * height) / cell_deg**2


def _reach_deg(group: dict[str, Any], beam: PrimaryBeam, pb_limit: float) -> float:
    """How far from its centre a tile is used: the beam, and half of what it drifts [deg]."""
    freq = (group["freq_min_hz"] + group["freq_max_hz"]) / 2
    edge = np.degrees(beam.radius_rad(pb_limit, freq))
    if group["tracking"] != "drift":
        return float(edge)
    days = group["end_mjd"] - group["start_mjd"]
    return float(edge + 180 * days * np.cos(np.radians(group["dec_deg"])))

"""Region files of DS9 and of CASA (CRTF), read by astropy's `regions`.

Angles are as each format has them; a CRTF file without frames is taken as ICRS.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.export import region_label

if TYPE_CHECKING:
    from regions import SkyRegion

# what the parsers are known to raise; a shape that they would leave out they warn of
_PARSE_ERRORS = (AstropyUserWarning, ValueError, TypeError, LookupError)


def read_regions(path: Path) -> list[SkyRegion]:
    """All regions of a CRTF or DS9 file; :class:`ContimgError` for one that cannot be used."""
    from regions import Regions

    if not path.exists():
        raise ContimgError(f"{path}: region file not found")
    text = path.read_text()
    kind = "crtf" if text.lstrip().startswith("#CRTF") else "ds9"
    if kind == "crtf":
        head, _, rest = text.lstrip().partition("\n")
        text = f"{head}\nglobal coord=ICRS\n{rest}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyUserWarning)
            found = list(Regions.parse(text, format=kind))
    except _PARSE_ERRORS as error:
        raise ContimgError(f"{path}: cannot be read as {kind.upper()} regions: {error}") from None
    if not found:
        raise ContimgError(f"{path}: holds no region")
    for number, region in enumerate(found, 1):
        if reason := _useless(region):
            raise ContimgError(f"{path}: region {number} ({type(region).__name__}) {reason}")
    return found


def _useless(region) -> str:
    """Why a region cannot mask an image; empty when it can."""
    from regions import LineSkyRegion, PointSkyRegion, SkyRegion

    if not isinstance(region, SkyRegion):
        return "is in pixels; positions and lengths must be on the sky (icrs, fk5, galactic)"
    if not region.meta.get("include", True):
        return "is one to leave out; only regions to include are read"
    if isinstance(region, LineSkyRegion | PointSkyRegion):  # a text is a point
        return "has no area"
    return ""


def fill(mask: NDArray[np.bool_], regions: list[SkyRegion], wcs: WCS) -> None:
    """Set the pixels [y, x] of `mask` whose centres lie in any of the regions."""
    for region in regions:
        pixels = region.to_pixel(wcs)
        box = np.ravel(pixels.bounding_box.extent) if _visible(pixels) else [np.nan]
        if np.isfinite(box).all():  # else beyond the horizon of the projection
            part = pixels.to_mask(mode="center").to_image(mask.shape)
            if part is not None:
                mask |= part.astype(bool)


def _visible(pixels) -> bool:
    place = pixels.vertices if hasattr(pixels, "vertices") else pixels.center
    return bool(np.isfinite([place.x, place.y]).all())


def fill_circles(
    mask: NDArray[np.bool_], points_deg: NDArray[np.float64], radius_deg: float, wcs: WCS
) -> None:
    """Set the pixels of `mask` within `radius_deg` of any of the (ra, dec) [deg]."""
    cell = float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))))
    reach = radius_deg / cell
    half = int(np.ceil(reach)) + 1
    ny, nx = mask.shape
    for x, y in wcs.all_world2pix(points_deg, 0):
        if not (-half < x < nx + half and -half < y < ny + half):  # NaN beyond the horizon, too
            continue
        y0, x0 = max(0, int(y) - half), max(0, int(x) - half)
        part = mask[y0 : int(y) + half + 2, x0 : int(x) + half + 2]
        py, px = np.ogrid[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
        part |= np.hypot(py - y, px - x) <= reach


def write_circles(path: Path, names: list[str], points: NDArray, radius_deg: NDArray) -> str:
    """Text of a region file of labelled circles: CRTF if `path` ends so, else DS9.

    Written here: the package would make a label that all share, or the only one, a global
    property, which DS9 does not know.
    """
    names = [region_label(name) for name in names]
    if path.suffix == ".crtf":
        lines = ["#CRTFv0"]
        for name, (ra, dec), radius in zip(names, points, radius_deg, strict=True):
            lines.append(
                f"circle [[{ra:.7f}deg, {dec:.7f}deg], {radius * 3600:.2f}arcsec],"
                f" coord=ICRS, label='{name}'"
            )
    else:
        lines = ["# Region file format: DS9 version 4.1", "icrs"]
        for name, (ra, dec), radius in zip(names, points, radius_deg, strict=True):
            lines.append(f'circle({ra:.7f},{dec:.7f},{radius * 3600:.2f}") # text={{{name}}}')
    return "\n".join(lines) + "\n"

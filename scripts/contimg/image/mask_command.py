"""``contimg mask``: a clean mask from catalogue and regions, on the pixels of an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from contimg.core.catalog import flux_density, read_sources
from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.fits import Image, read_image
from contimg.core.records import atomic
from contimg.image.masks import write_mask
from contimg.image.regions import fill, fill_circles, read_regions


class MaskFiles(Files):
    """What the mask is made of."""

    image: Path = Field(description="image whose pixels the mask has")
    pb: Path | None = Field(
        None, description="its primary beam (flux densities are taken as apparent if unset)"
    )
    catalog: Path | None = Field(None, description="table of sources to draw circles about")
    regions: Path | None = Field(None, description="region file (CRTF or DS9)")
    min_jy: float = Field(0.005, ge=0, description="smallest apparent flux density [Jy]")
    radius_beams: float = Field(2.0, gt=0, description="radius of the circles [beam major axes]")
    mask: Path = Field(description="FITS mask to write: 1 where clean may find components")


def run(files: MaskFiles) -> None:
    """Write the union of what is asked for."""
    if files.catalog is None and files.regions is None:
        raise ContimgError("give --catalog, --regions or both")
    image = read_image(files.image)
    mask = np.zeros(image.data.shape, bool)
    regions = [] if files.regions is None else read_regions(files.regions)
    fill(mask, regions, image.wcs)
    shapes = len(regions)
    if files.catalog is not None:
        if image.beam is None:
            raise ContimgError(f"{files.image}: has no beam to draw circles with")
        pb = None if files.pb is None else read_image(files.pb)
        sources = visible_sources(files.catalog, image, pb, files.min_jy)
        points = sources[["ra_deg", "dec_deg"]].to_numpy(dtype=float)
        fill_circles(mask, points, files.radius_beams * image.beam.major_deg, image.wcs)
        shapes += len(points)
    with atomic(files.mask) as partial:
        write_mask(partial, mask, image.wcs, image.freq_hz or 0.0)
    print(f"{shapes} regions, {mask.mean():.2%} of the pixels")


def visible_sources(catalog: Path, image: Image, pb: Image | None, min_jy: float):
    """Sources of the catalogue on the image whose apparent flux density is at least `min_jy`."""
    sources = read_sources(catalog)
    flux = flux_density(sources, image.freq_hz or 1.4e9)[:, 0]
    x, y = image.wcs.all_world2pix(sources[["ra_deg", "dec_deg"]].to_numpy(dtype=float), 0).T
    ok = np.isfinite(x) & np.isfinite(y) & np.isfinite(flux)
    ok[ok] &= (np.abs(x[ok] * 2 - image.data.shape[1] + 1) < image.data.shape[1]) & (
        np.abs(y[ok] * 2 - image.data.shape[0] + 1) < image.data.shape[0]
    )
    if pb is not None:
        ix, iy = np.rint(x[ok]).astype(int), np.rint(y[ok]).astype(int)
        flux[ok] *= pb.data[iy, ix]
    return sources[ok & (flux >= min_jy)]


COMMAND = Command(
    help="Make a FITS clean mask from a catalogue and region files on the pixels of an image.",
    files=MaskFiles,
    options=(),
    run=run,
)

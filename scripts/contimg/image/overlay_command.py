"""``contimg overlay``: an image with catalogued sources and regions drawn over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.fits import read_image
from contimg.core.records import write_text
from contimg.core.robust import robust_rms
from contimg.image.mask_command import visible_sources
from contimg.image.preview import draw
from contimg.image.regions import fill, read_regions, write_circles


class OverlayFiles(Files):
    """What is drawn, and where it goes."""

    image: Path = Field(description="image to draw")
    catalog: Path | None = Field(None, description="table of sources to mark")
    pb: Path | None = Field(None, description="primary beam, to mark by apparent flux density")
    regions: Path | None = Field(None, description="region file to outline (CRTF or DS9)")
    min_jy: float = Field(0.01, ge=0, description="faintest source marked [Jy]")
    plot: Path = Field(description="picture to write (PNG)")
    marks: Path | None = Field(
        None, description="region file of the marked sources to write (.crtf, else DS9)"
    )


def run(files: OverlayFiles) -> None:
    """Draw, and write the marks."""
    if files.marks is not None and files.catalog is None:
        raise ContimgError("--marks needs --catalog")
    image = read_image(files.image)
    marked = None
    if files.catalog is not None:
        pb = None if files.pb is None else read_image(files.pb)
        sources = visible_sources(files.catalog, image, pb, files.min_jy)
        points = sources[["ra_deg", "dec_deg"]].to_numpy(dtype=float)
        size = 2 * image.beam.major_deg if image.beam else 10 * image.cell_deg
        radius = np.full(len(sources), size)
        names = list(sources["name"])
        x, y = image.wcs.all_world2pix(points, 0).T
        marked = (x, y, radius / image.cell_deg, names)
        if files.marks is not None:
            write_text(files.marks, write_circles(files.marks, names, points, radius))
        print(f"{len(sources)} sources marked")
    outlines = None
    if files.regions is not None:
        outlines = np.zeros(image.data.shape, bool)
        fill(outlines, read_regions(files.regions), image.wcs)
    draw(
        image,
        files.plot,
        title=files.image.name,
        rms=robust_rms(image.data),
        circles=marked,
        outlines=outlines,
    )


COMMAND = Command(
    help="Draw an image with catalogued sources and regions over it; write them as regions.",
    files=OverlayFiles,
    options=(),
    run=run,
)

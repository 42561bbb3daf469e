"""``contimg cutout``: a source or a position in every mosaic, as small FITS files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from astropy.io import fits
from astropy.nddata import Cutout2D, NoOverlapError
from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.fits import read_image
from contimg.core.options import POSITIONAL
from contimg.core.paths import path
from contimg.core.places import angle_deg, position
from contimg.core.progress import progress
from contimg.core.records import atomic
from contimg.core.seals import verified
from contimg.report import lookup
from contimg.report.status import read_plan
from contimg.report.weblog.site import key_of

_AXES = ("NAXIS", "WCSAXES", "CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT", "CROTA", "PC", "CD")
_SUMS = ("CHECKSUM", "DATASUM")


class CutoutFiles(Files):
    """What is cut out, and where it goes."""

    name: Annotated[list[str], POSITIONAL] = Field(
        [], description="name of a source, or a position: 8h34m54s +55d34m"
    )
    size: str = Field("5m", description="side: 5m (minutes of arc), 300s or 0.1d")
    mosaic: list[str] | None = Field(None, description="only of these mosaics (all if unset)")
    results: str = Field("results", description="results directory")
    out: Path = Field(Path("cutouts"), description="folder to write to")


def run(files: CutoutFiles) -> None:
    """Write a FITS file for every mosaic that holds the place."""
    if not files.name:
        raise ContimgError("name a source or a position; contimg sources lists them")
    words = " ".join(files.name)
    name, ra, dec = _place(files.results, words)
    mosaics = files.mosaic or list(read_plan(files.results)["mosaics"])
    written = 0
    for mosaic in progress(mosaics, "mosaics"):
        image = Path(path("mosaic", files.results, mosaic=mosaic))
        if not image.exists() or not image.stat().st_size:
            continue
        cut = cut_out(image, ra, dec, angle_deg(files.size))
        if cut is not None:
            file = files.out / f"{key_of(name)}_{mosaic}.fits"
            with atomic(file) as partial:
                cut.writeto(partial, checksum=True)
            print(file)
            written += 1
    if not written:
        raise ContimgError(f"{words}: no mosaic of {files.results} holds it")


def _place(results: str, words: str) -> tuple[str, float, float]:
    """Name and position of a source; of a position that is none of a source, itself."""
    try:
        table = lookup.sources(results)
        name = lookup.find(table, words)
    except ContimgError:
        ra, dec = position(words)
        return f"{ra:.5f}{dec:+.5f}", ra, dec
    row = table[table["source"] == name].iloc[0]
    return name, float(row["ra_deg"]), float(row["dec_deg"])


def cut_out(image: Path, ra_deg: float, dec_deg: float, side_deg: float) -> fits.PrimaryHDU | None:
    """The square about a position with its own coordinates; None where the image has no data."""
    picture = read_image(verified(image))
    x, y = picture.wcs.all_world2pix(ra_deg, dec_deg, 0)
    if not (np.isfinite(x) and np.isfinite(y)):
        return None
    side = max(1, round(side_deg / picture.cell_deg))
    try:
        cut = Cutout2D(
            picture.data,
            (float(x), float(y)),
            side,
            wcs=picture.wcs,
            mode="partial",
            fill_value=np.nan,
        )
    except NoOverlapError:
        return None
    if not np.isfinite(cut.data).any():
        return None
    header = cut.wcs.to_header()
    for card in picture.header.cards:
        plain = card.keyword.rstrip("0123456789_")
        if plain not in _AXES and card.keyword not in {*_SUMS, "SIMPLE", "BITPIX", "EXTEND", ""}:
            header.append(card, end=True) if card.keyword not in header else None
    header["CUTFROM"] = (image.name, "mosaic that this is a part of")
    return fits.PrimaryHDU(cut.data.astype("f4"), header)


COMMAND = Command(
    help="Cut a source or a position out of every mosaic, as FITS files with coordinates.",
    files=CutoutFiles,
    options=(),
    run=run,
    by_hand=True,
)

"""Coverage maps (IVOA MOC): what was seen, by day and altogether."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from contimg.core.errors import ContimgError
from contimg.core.window import utc

if TYPE_CHECKING:
    from mocpy import MOC

DEPTH = 12  # cells of 0.9 arcmin


def coverage(table: pd.DataFrame) -> Mapping[str, MOC]:
    """The union of the outlines of an ObsCore table, of each day and of ``all``.

    Mosaics where there are any, else tiles.
    """
    if find_spec("mocpy") is None:
        raise ContimgError("coverage maps need mocpy: pip install 'contimg[formats]'")
    level = table["calib_level"].max()
    shown = table[table["calib_level"] == level]
    if not len(shown):
        raise ContimgError("no image and no mosaic yet: there is nothing to cover the sky")
    found: dict[str, MOC] = {}
    for row in shown.itertuples():
        outline = _moc(row.s_region)
        for name in (utc(row.t_min)[:10], "all"):
            found[name] = found[name].union(outline) if name in found else outline
    return dict(sorted(found.items()))


def _moc(outline: str) -> MOC:
    from astropy import units
    from astropy.coordinates import SkyCoord
    from mocpy import MOC

    numbers = [float(word) for word in outline.split()[2:]]
    corners = SkyCoord(numbers[::2], numbers[1::2], unit=units.deg)
    return MOC.from_polygon_skycoord(corners, max_depth=DEPTH)


def write_coverage(found: Mapping[str, MOC], folder: Path) -> list[Path]:
    """A FITS file each, named by the day; the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, moc in found.items():
        file = folder / f"coverage_{name}.moc.fits"
        moc.save(str(file), format="fits", overwrite=True)
        files.append(file)
    return files

"""Cut-outs of the sources from every mosaic, small enough to keep and to load.

A file holds the sources of one degree of the sky in one mosaic, so that a new epoch adds files and
changes none. Each pixel is a byte of arcsinh(value / noise): a bright source keeps its noise.
"""

from __future__ import annotations

import base64
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.errors import ContimgError
from contimg.core.fits import read_image
from contimg.core.objects import read_object
from contimg.core.paths import path
from contimg.core.progress import progress
from contimg.core.seals import verified
from contimg.report.weblog.site import Site, digest
from contimg.report.weblog.tables import Tables

_LEVELS = 254  # 255 stands for a blank pixel
_FORMAT = 1


def block_of(ra_deg: float, dec_deg: float) -> str:
    """The degree of the sky that a position is in."""
    return f"{int(ra_deg % 360):03d}{int(np.floor(dec_deg)):+03d}"


def write_cutouts(
    site: Site, mosaics: Iterable[str], tables: Tables, pixels: int
) -> dict[str, set[str]]:
    """Cut-outs of `pixels` on a side; mosaic -> its blocks. Mosaics that have them keep them.

    Of a mosaic that is damaged there are none, and ``tables.said`` gets the reason.
    """
    blocks: dict[str, set[str]] = {}
    measured = _measured(tables) if pixels else {}
    for mosaic in progress(sorted(set(mosaics) & set(measured)), "cut-outs of mosaics"):
        image = Path(path("mosaic", site.results, mosaic=mosaic))
        if not image.exists():
            continue
        kept = f"data/cutouts/{mosaic}/blocks.json"
        sources = measured[mosaic]
        stamp = digest(_FORMAT, pixels, _stamp(image), sources["source"].tolist())
        content = read_object(site.home / kept)
        if content.get("stamp") != stamp:
            try:
                written = _write(site, mosaic, image, sources, pixels)
            except ContimgError as error:
                tables.said.append(str(error))
                continue
            content = {"stamp": stamp, "blocks": written}
            site.put(kept, json.dumps(content))
        blocks[mosaic] = set(content["blocks"])
        site.names |= {kept, *(f"data/cutouts/{mosaic}/{block}.js" for block in blocks[mosaic])}
    site.tidy("data/cutouts")
    return blocks


def _measured(tables: Tables) -> dict[str, pd.DataFrame]:
    """Mosaic -> sources that were measured in it: place, key, noise there."""
    if not len(tables.rows):
        return {}
    rows = tables.rows[["mosaic", "source", "rms_jy_beam"]]
    places = tables.sources[["source", "key", "ra_deg", "dec_deg"]]
    rows = rows[rows["rms_jy_beam"].notna()].merge(places, on="source")
    return {str(mosaic): mine for mosaic, mine in rows.groupby("mosaic", sort=False)}


def _stamp(file: Path) -> tuple[int, int]:
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns


def _write(site: Site, mosaic: str, file: Path, sources: pd.DataFrame, pixels: int) -> list[str]:
    image = read_image(verified(file))
    x, y = image.wcs.world_to_pixel_values(sources["ra_deg"], sources["dec_deg"])
    blocks: dict[str, dict[str, Any]] = defaultdict(dict)
    for row, column, line in zip(sources.itertuples(), np.rint(x), np.rint(y), strict=True):
        values = cut(image.data, int(column), int(line), pixels)
        if values is not None and row.rms_jy_beam > 0:
            name = block_of(row.ra_deg, row.dec_deg)
            blocks[name][row.key] = encode(values, float(row.rms_jy_beam))
    for name, content in blocks.items():
        site.data(f"data/cutouts/{mosaic}/{name}.js", f"cutouts/{mosaic}/{name}", content)
    return sorted(blocks)


def cut(data: NDArray, column: int, line: int, pixels: int) -> NDArray[np.float64] | None:
    """A square about a pixel, blank beyond the image; None where there is nothing in it."""
    half = pixels // 2
    result = np.full((2 * half + 1, 2 * half + 1), np.nan)
    top, left = line - half, column - half
    y0, y1 = max(top, 0), min(line + half + 1, data.shape[0])
    x0, x1 = max(left, 0), min(column + half + 1, data.shape[1])
    if y0 >= y1 or x0 >= x1:
        return None
    result[y0 - top : y1 - top, x0 - left : x1 - left] = data[y0:y1, x0:x1]
    return result if np.isfinite(result).any() else None


def encode(values: NDArray[np.float64], rms: float) -> list[Any]:
    """[rms, lowest, highest, bytes in base64]: levels of arcsinh(values / rms), row by row."""
    level = np.arcsinh(values / rms)
    low, high = float(np.nanmin(level)), float(np.nanmax(level))
    scaled = np.rint(_LEVELS * (level - low) / max(high - low, 1e-6))
    raw = np.where(np.isfinite(scaled), scaled, 255).astype(np.uint8)
    text = base64.b64encode(raw.tobytes()).decode()
    return [float(f"{rms:.4g}"), round(low, 5), round(max(high, low + 1e-6), 5), text]


def decode(cutout: list[Any]) -> NDArray[np.float64]:
    """The values [Jy/beam] of a cut-out, as the page shows them."""
    rms, low, high, text = cutout
    raw = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    side = int(np.sqrt(raw.size))
    values = rms * np.sinh(low + (high - low) * raw / _LEVELS)
    return np.where(raw == 255, np.nan, values).reshape(side, side)

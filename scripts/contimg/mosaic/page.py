"""The page about one mosaic: verdict, checks, tiles, pictures; one file that can be sent on."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from contimg.core.html import cell, checks_table, document, picture, table, verdict
from contimg.core.records import Check, worst

_TILE_COLUMNS = (
    ("tile", "tile"),
    ("used", "used"),
    ("rms_jy_beam", "noise [Jy/beam]"),
    ("calsets", "calsets"),
    ("compared_sources", "sources compared"),
    ("offset_east_arcsec", "east [arcsec]"),
    ("offset_north_arcsec", "north [arcsec]"),
    ("flux_ratio", "flux scale"),
    ("reason", "reason"),
)


def page(
    mosaic: dict[str, Any], checks: Sequence[Check], tiles: pd.DataFrame, pictures: Sequence[Path]
) -> str:
    """HTML text; `mosaic` is the record of the mosaic."""
    data = mosaic["data"]
    beam = data["beam"]
    head = (
        f"{len(data['tiles_used'])} tiles, {data['area_deg2']:.2f} deg², "
        f"beam {beam['bmaj_deg'] * 3600:.1f} × {beam['bmin_deg'] * 3600:.1f} arcsec, "
        f"noise {(data['rms_median_jy_beam'] or 0) * 1e3:.3g} mJy/beam (median), "
        f"MJD {data['mjd']:.5f}"
    )
    made = [(escape(mosaic["reason"] or "nothing to remark"), verdict(mosaic["verdict"]))]
    listed = [
        tuple(cell(getattr(row, key)) for key, _ in _TILE_COLUMNS) for row in tiles.itertuples()
    ]
    parts = [
        f"<h1>{escape(mosaic['product'])}: {verdict(worst(checks))}</h1><p>{escape(head)}</p>",
        checks_table("check of the finished mosaic", checks),
        table(("making of the mosaic", "verdict"), made),
        *(picture(path) for path in pictures),
        table([title for _, title in _TILE_COLUMNS], listed),
    ]
    return document(mosaic["product"], parts)

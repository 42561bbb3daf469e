"""The page about one mosaic: verdict, checks, tiles, pictures; one file that can be sent on."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from contimg.core.records import Check, worst

_STYLE = """
body { font: 14px/1.5 sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em .8em; text-align: left }
tr { border-bottom: 1px solid #ddd } img { max-width: 100% }
.pass { color: #060 } .warn { color: #a60 } .fail { color: #a00 }
"""
_TILE_COLUMNS = (
    ("tile", "tile"),
    ("used", "used"),
    ("rms_jy_beam", "noise [Jy/beam]"),
    ("calset", "calset"),
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
    data, verdict = mosaic["data"], worst(checks)
    beam = data["beam"]
    head = (
        f"{len(data['tiles_used'])} tiles, {data['area_deg2']:.2f} deg², "
        f"beam {beam['bmaj_deg'] * 3600:.1f} × {beam['bmin_deg'] * 3600:.1f} arcsec, "
        f"noise {(data['rms_median_jy_beam'] or 0) * 1e3:.3g} mJy/beam (median), "
        f"MJD {data['mjd']:.5f}"
    )
    rows = [
        (escape(c.metric), _number(c.value), escape(c.unit), escape(c.limit), _verdict(c.verdict))
        for c in checks
    ]
    made = [(escape(mosaic["reason"] or "nothing to remark"), _verdict(mosaic["verdict"]))]
    listed = [
        tuple(_cell(getattr(row, key)) for key, _ in _TILE_COLUMNS) for row in tiles.itertuples()
    ]
    parts = [
        f"<h1>{escape(mosaic['product'])}: {_verdict(verdict)}</h1><p>{escape(head)}</p>",
        _table(("check of the finished mosaic", "value", "unit", "limit", "verdict"), rows),
        _table(("making of the mosaic", "verdict"), made),
        *(_picture(path) for path in pictures),
        _table([title for _, title in _TILE_COLUMNS], listed),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(mosaic['product'])}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the cells are HTML already, the head is text."""
    first = "".join(f"<th>{escape(text)}</th>" for text in head)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{first}</tr>{body}</table>"


def _picture(path: Path) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    return f'<p><img alt="{escape(path.stem)}" src="data:image/png;base64,{content}"></p>'


def _verdict(verdict: str) -> str:
    return f'<span class="{verdict}">{verdict}</span>'


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.4g}"
    return escape(str(value))

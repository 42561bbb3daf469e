"""``contimg mosaic plan``: the tiles of a mosaic, what speaks against them, and what it will be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from contimg.core.command import Command, Files, existing
from contimg.core.errors import ContimgError
from contimg.core.paths import path
from contimg.core.plans import read_plan
from contimg.core.records import write_text
from contimg.mosaic.beams import common_beam
from contimg.mosaic.forecast import forecast
from contimg.mosaic.grid import choose_grid
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.overrides import read_decisions
from contimg.mosaic.select import decide, judge
from contimg.mosaic.tiles import Tile, read_tiles


class MosaicPlanFiles(Files):
    """Which mosaic: by its name in the plan of a run, or by its tiles."""

    name: str = Field("mosaic", description="name of the mosaic")
    results: str = Field("results", description="results directory, when no tiles are given")
    tier: str = Field("standard", description="quality tier of the images")
    images: list[Path] = Field([], description="images of the tiles (from the plan if unset)")
    residuals: list[Path] = Field([], description="residual images of the same tiles")
    pbs: list[Path] = Field([], description="primary beam of the same tiles")
    image_records: list[Path] = Field([], description="records of the same tiles")
    threads: int = Field(1, ge=1, description="threads the mosaic will have")
    json_file: Path | None = Field(None, description="write the plan here too (JSON)")


def run(files: MosaicPlanFiles, options: MosaicOptions) -> None:
    """Print the plan; nothing is built and no image is read but every n-th pixel."""
    lists, missing = _tiles_of(files)
    tiles = read_tiles(*lists, options) if lists[0] else []
    decide(tiles, read_decisions(options.overrides, files.name))
    judge(tiles, options)
    content = plan(files.name, tiles, missing, options, files.threads)
    print(text(content))
    if files.json_file is not None:
        write_text(files.json_file, json.dumps(content, indent=1) + "\n")


def _tiles_of(files: MosaicPlanFiles) -> tuple[tuple[list[Path], ...], list[str]]:
    """The four lists of files, and the tiles that are not imaged yet."""
    if files.images:
        lists = (files.images, files.residuals, files.pbs, files.image_records)
        for item in (item for paths in lists for item in paths):
            existing(item, "input of the mosaic")
        return lists, []
    mosaics = read_plan(files.results)["mosaics"]
    if files.name not in mosaics:
        raise ContimgError(
            f"no mosaic {files.name} in the plan of {files.results}; give --name one of "
            f"{', '.join(mosaics) or 'none'}, or the tiles by --images and so on"
        )
    lists, missing = ([], [], [], []), []
    for group in mosaics[files.name]["tiles"]:
        four = [
            Path(path(key, files.results, group=group, tier=files.tier))
            for key in ("image", "residual", "pb", "image_record")
        ]
        if all(item.exists() for item in four):
            for items, item in zip(lists, four, strict=True):
                items.append(item)
        else:
            missing.append(group)
    return lists, missing


def plan(
    name: str, tiles: list[Tile], missing: list[str], options: MosaicOptions, threads: int
) -> dict[str, Any]:
    """The plan as a mapping; without usable tiles it has no ``mosaic``."""
    used = [tile for tile in tiles if tile.used]
    content: dict[str, Any] = {"name": name, "method": options.method, "not_imaged_yet": missing}
    shares: dict[str, float] = {}
    if used:
        beam, must_convolve = common_beam([tile.beam for tile in used], options.beam_tolerance)
        grid = choose_grid(used, options)
        expected = forecast(used, grid, options, threads)
        shares = expected.shares
        ra, dec = map(float, grid.wcs.wcs.crval)
        content["mosaic"] = {
            "ra_deg": ra,
            "dec_deg": dec,
            "shape": list(grid.shape),
            "cell_arcsec": grid.cell_deg * 3600,
            "area_deg2": expected.area_deg2,
            "bmaj_arcsec": beam.major_deg * 3600,
            "bmin_arcsec": beam.minor_deg * 3600,
            "convolved": must_convolve,
            "noise_median_jy_beam": expected.noise_median_jy_beam,
            "noise_min_jy_beam": expected.noise_min_jy_beam,
            "memory_mb": round(expected.memory_mb),
            "cpu_s": round(expected.cpu_s, 1),
        }
    content["tiles"] = [
        {
            "tile": tile.name,
            "used": tile.used,
            "reason": tile.reason,
            "mjd": _number(tile.mjd),
            "rms_jy_beam": _number(tile.rms_jy_beam),
            "weight": shares.get(tile.name, 0.0),
            "pb_corrected": tile.image_corrected,
            "calsets": list(tile.calibration.calsets),
        }
        for tile in tiles
    ]
    return content


def text(content: dict[str, Any]) -> str:
    """The plan for a person."""
    lines = [f"mosaic {content['name']}, method {content['method']}"]
    if "mosaic" in content:
        m = content["mosaic"]
        size = " x ".join(str(n) for n in reversed(m["shape"]))
        lines += [
            f"centre   {m['ra_deg']:.4f} {m['dec_deg']:+.4f} deg, {m['area_deg2']:.2f} deg2",
            f"grid     {size} pixels of {m['cell_arcsec']:.2f} arcsec",
            f"beam     {m['bmaj_arcsec']:.1f} x {m['bmin_arcsec']:.1f} arcsec"
            + (", tiles are convolved to it" if m["convolved"] else ""),
            f"noise    {m['noise_min_jy_beam'] * 1e3:.3g} mJy/beam at best, "
            f"{m['noise_median_jy_beam'] * 1e3:.3g} median",
            f"needs    about {m['memory_mb'] / 1000:.1f} GB and {m['cpu_s']:.0f} s of CPU time",
        ]
    else:
        lines.append("no tile can be used")
    lines += ["", "tile                     used  noise mJy  weight  reason"]
    for tile in content["tiles"]:
        noise = "-" if tile["rms_jy_beam"] is None else f"{tile['rms_jy_beam'] * 1e3:.3g}"
        lines.append(
            f"{tile['tile']:24s} {'yes' if tile['used'] else 'no':4s}  {noise:>9s}  "
            f"{tile['weight']:6.3f}  {tile['reason']}".rstrip()
        )
    lines += [
        f"{name:24s} no           -   0.000  not imaged yet" for name in content["not_imaged_yet"]
    ]
    lines.append("\npositions and fluxes are compared when the mosaic is made")
    return "\n".join(lines)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


COMMAND = Command(
    help="Say what a mosaic will be: tiles, weights, noise, size, cost; build nothing.",
    files=MosaicPlanFiles,
    options=(MosaicOptions,),
    run=run,
    by_hand=True,
)

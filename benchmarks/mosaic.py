"""Speed and memory of a mosaic of full-size tiles, and the same with reproject and with CASA.

    python benchmarks/mosaic.py --work /tmp/mosaic                  # 12 tiles of 4800 x 4800
    python benchmarks/mosaic.py --work /tmp/mosaic --peers 3        # and both peers, on 3 of them

The peer reproject is not among the locked libraries; put it in a folder of its own and name that:

    pip install --target /tmp/peers --no-deps reproject astropy-healpix dask cloudpickle \
        fsspec partd toolz locket importlib_metadata==8.5.0 zipp dask-image pims tifffile \
        slicerator pyavm
    PYTHONPATH=/tmp/peers python benchmarks/mosaic.py ...

Peers regrid image and weights of each tile as their manuals show (reproject_and_coadd with
reproject_interp, bicubic; imregrid, cubic, and linearmosaic), on the grid of ours. Their CPU time
is scaled from the tiles they are given to all of them; figures are CPU seconds (user and system,
children included), which a busy machine disturbs least.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from astropy.io import fits

ROOT = Path(__file__).resolve().parents[1]
# in place of this folder, where the name of this file would hide that of the tests
sys.path[:1] = [str(ROOT / "tests"), str(ROOT / "scripts")]

from contimg.core.fits import Beam, read_image  # noqa: E402
from mosaic.make_tiles import (  # noqa: E402
    Sky,
    correlated_noise,
    make_tile,
    mosaic_files,
    offset,
    pixel_covariance,
    sin_wcs,
)

CELL = 3 / 3600
BEAM = Beam(18 / 3600, 13 / 3600, 20.0)
RMS = 5e-4
STEP = 309 / 86164 * 360  # deg of right ascension from tile to tile
FLOOR_WALL_S, FLOOR_MEMORY_GB, FLOOR_RATIO = 60.0, 4.0, 5.0


def make_tiles(work: Path, count: int, size: int, dec: float) -> list[dict[str, Path]]:
    """Tiles of a drifting strip full of sources; the noise is one realisation, rolled."""
    rng = np.random.default_rng(1)
    n_sources = 200 * count
    spread = STEP * np.cos(np.radians(dec)) * count / 2 + size * CELL / 2
    east, north = rng.uniform(-1, 1, (2, n_sources)) * [[spread], [size * CELL / 2]]
    ra, dec_of = offset(0.0, dec, np.radians(east), np.radians(north))
    sky = Sky(ra, dec_of, 10 ** rng.uniform(-2, 0, n_sources))
    unit = correlated_noise((size, size), pixel_covariance(BEAM, sin_wcs(0, dec, size, CELL)), rng)
    paths = []
    for i in range(count):
        centre = ((i - (count - 1) / 2) * STEP % 360, dec)
        paths.append(
            make_tile(
                work, f"t{i:02d}", centre, sky, n=size, cell=CELL, beam=BEAM, rms=RMS,
                noise=np.roll(unit, 397 * i, (0, 1)), mjd=60953 + i * 309 / 86400,
                pb_fwhm=2.71, drift=STEP * np.cos(np.radians(dec)),
            )
        )  # fmt: skip
    return paths


def ours(work: Path, tiles: list[dict[str, Path]], threads: int, name: str) -> dict:
    """Run ``contimg mosaic`` as the workflow does."""
    files = mosaic_files(work, tiles, name)
    shutil.rmtree(work / name, ignore_errors=True)
    words = [sys.executable, "-m", "contimg.cli", "mosaic", f"--threads={threads}"]
    for key, value in files.items():
        values = value if isinstance(value, list) else [value]
        words += ["--" + key.replace("_", "-"), *map(str, values)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts"), "OMP_NUM_THREADS": "1"}
    before, start = os.times(), time.time()
    subprocess.run(words, check=True, env=environment)
    after = os.times()
    run = json.loads(files["record"].read_text())["run"]
    return {
        "cpu_s": sum(after[2:4]) - sum(before[2:4]),
        "wall_s": time.time() - start,
        "memory_gb": run["peak_memory_mb"] / 1024,
        "files": files,
    }


def with_reproject(tiles: list[dict[str, Path]], files: dict) -> tuple[np.ndarray, float]:
    """(mosaic, CPU seconds) of reproject_and_coadd for image and residual."""
    from reproject import reproject_interp
    from reproject.mosaicking import reproject_and_coadd

    target = read_image(files["image"])
    start, result = time.process_time(), None
    for key in ("image", "residual"):
        inputs, weights = [], []
        for tile in tiles:
            plane, pb = read_image(tile[key]), read_image(tile["pb"]).data
            good = pb >= 0.2
            inputs.append((np.where(good, plane.data / np.where(good, pb, 1), 0.0), plane.wcs))
            weights.append(np.where(good, pb**2, 0.0))
        made, _ = reproject_and_coadd(
            inputs, target.wcs, shape_out=target.data.shape, input_weights=weights,
            reproject_function=reproject_interp, order="bicubic",
        )  # fmt: skip
        result = made if result is None else result
    return result, time.process_time() - start


def with_casa(work: Path, tiles: list[dict[str, Path]], files: dict) -> tuple[np.ndarray, float]:
    """(mosaic, CPU seconds) of imregrid of image, residual and beam, and linearmosaic."""
    from contimg.core.casa import casa_session

    result = work / "casa.fits"
    shape = read_image(files["image"]).data.shape
    with casa_session() as scratch:
        from casatasks import exportfits, importfits, imregrid
        from casatools import linearmosaic

        start = time.process_time()
        target = str(scratch / "target")
        importfits(str(files["image"]), target)
        for i, tile in enumerate(tiles):
            for key in ("image", "residual", "pb"):
                importfits(str(tile[key]), str(scratch / f"{key}{i}.in"))
                imregrid(
                    str(scratch / f"{key}{i}.in"),
                    target,
                    output=str(scratch / f"{key}{i}"),
                    interpolation="cubic",
                )
        for key in ("image", "residual"):
            tool = linearmosaic()
            tool.setlinmostype("optimal")
            tool.defineoutputimage(
                nx=shape[1],
                ny=shape[0],
                **_casa_grid(files["image"]),
                outputimage=str(scratch / f"{key}.linmos"),
                outputweight=str(scratch / f"{key}.weight"),
            )
            tool.makemosaic(
                images=[str(scratch / f"{key}{i}") for i in range(len(tiles))],
                weightimages=[str(scratch / f"pb{i}") for i in range(len(tiles))],
                imageweighttype=1,
                weighttype=1,
            )
            del tool  # which writes its images
        used = time.process_time() - start
        exportfits(str(scratch / "image.linmos"), str(result), overwrite=True)
    return read_image(result).data.astype(float), used


def _casa_grid(image: Path) -> dict:
    header = fits.getheader(image)
    ra, dec = header["CRVAL1"], header["CRVAL2"]
    cell = header["CDELT2"] * 3600
    return {
        "cellx": f"{cell}arcsec",
        "celly": f"{cell}arcsec",
        "imagecenter": f"J2000 {ra}deg {dec}deg",
    }


def compare(name: str, made: np.ndarray, files: dict) -> None:
    """Ratio of the peaks of bright pixels in the two mosaics."""
    mine, rms = read_image(files["image"]).data, read_image(files["rms"]).data
    with np.errstate(invalid="ignore"):
        bright = np.isfinite(made) & (mine > 300 * rms)
        core = bright & (mine > 0.05)
    ratio = made[core] / mine[core]
    print(f"{name}: pixels above 300 sigma: {core.sum()}, ratio median {np.median(ratio):.5f}, "
          f"scatter {np.std(ratio):.5f}")  # fmt: skip


def main() -> int:
    """Run and print; non-zero when a floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="scratch folder")
    parser.add_argument("--tiles", type=int, default=12)
    parser.add_argument("--size", type=int, default=4800)
    parser.add_argument("--dec", type=float, default=16.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", type=int, default=0, metavar="N", help="tiles for the peers")
    args = parser.parse_args()
    args.work = args.work.absolute()
    args.work.mkdir(parents=True, exist_ok=True)
    tiles = make_tiles(args.work, args.tiles, args.size, args.dec)
    full = ours(args.work, tiles, args.threads, "full")
    print(
        f"contimg  {args.tiles} tiles of {args.size}^2, {args.threads} threads: "
        f"wall {full['wall_s']:.1f} s, CPU {full['cpu_s']:.1f} s, {full['memory_gb']:.2f} GB",
        flush=True,
    )
    missed = full["wall_s"] > FLOOR_WALL_S or full["memory_gb"] > FLOOR_MEMORY_GB
    if args.peers:
        few = tiles[: args.peers]
        mine = ours(args.work, few, args.threads, "few")
        print(f"contimg  {args.peers} tiles: CPU {mine['cpu_s']:.1f} s")
        peers = {"casa": lambda: with_casa(args.work, few, mine["files"])}
        if importlib.util.find_spec("reproject"):
            peers["reproject"] = lambda: with_reproject(few, mine["files"])
        else:
            print("reproject: not installed, see the head of this file")
        for name, run in peers.items():
            made, cpu = run()
            ratio = cpu / mine["cpu_s"]
            print(f"{name}: CPU {cpu:.1f} s for {args.peers} tiles, {ratio:.1f} times ours; "
                  f"{cpu * args.tiles / args.peers:.0f} s for {args.tiles} by scaling")  # fmt: skip
            compare(name, made, mine["files"])
            missed |= ratio < FLOOR_RATIO
    print("MISSED" if missed else "every floor is met")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())

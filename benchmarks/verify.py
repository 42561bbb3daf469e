"""What it costs that every product is sealed when it is written and verified when it is read.

``python benchmarks/verify.py [--gb 1.4]``: hashes a directory like a tile's Measurement Set, looks
for what no tile of 2400 x 2400 pixels can hold, and prints CPU seconds and their part of the jobs
(CPU seconds of full tiles: contimg/plan/estimate.py).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.wcs import WCS

from contimg.core.fits import write_image
from contimg.core.seals import promise
from contimg.mosaic.planes import open_plane
from contimg.mosaic.plausible import implausible
from contimg.plan.estimate import SHIPPED

MS_GB, CALIBRATED_GB, IMAGE_GB = 1.4, 0.35, 0.023  # of a full tile; an image of 2400 x 2400
# job -> GB sealed, GB verified; all linear in the size
JOBS = {
    "solve_calset": (0.0, MS_GB),
    "calibrate_tile": (CALIBRATED_GB, 0.0),
    "image_tile": (8 * IMAGE_GB, CALIBRATED_GB),
    "mosaic_tiles": (10 * IMAGE_GB / 2, 3 * IMAGE_GB),
    "measure_photometry": (0.0, 4 * IMAGE_GB / 2),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Cost of seals and their verification.")
    parser.add_argument("--gb", type=float, default=MS_GB, help="size of the Measurement Set")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ms = Path(folder) / "t.ms"
        ms.mkdir()
        block = np.random.default_rng(1).bytes(10_000_000)
        for number in range(10):
            with (ms / f"table.f{number}").open("wb") as stream:
                for _ in range(round(given.gb * 10)):
                    stream.write(block)
        size = sum(file.stat().st_size for file in ms.iterdir()) / 1e9
        per_gb = cpu(lambda: promise(ms)) / size
        look = cpu(lambda: plausible(Path(folder)))
    print(f"hash: {per_gb:.2f} CPU s/GB; what no tile can hold: {look:.2f} CPU s a tile")
    for job, (sealed, verified) in JOBS.items():
        cost = (sealed + verified) * per_gb + (look if job == "mosaic_tiles" else 0.0)
        whole = sum(SHIPPED[job])
        print(f"{job:20s} {cost:6.2f} of {whole:6.1f} CPU s: {cost / whole:6.2%}")


def cpu(what) -> float:
    """CPU seconds of a call, the second time."""
    what()
    began = time.process_time()
    what()
    return time.process_time() - began


def plausible(folder: Path, n: int = 2400) -> None:
    """Look at one tile."""
    paths = [folder / f"{name}.fits" for name in ("image", "residual", "pb")]
    if not paths[0].exists():
        y, x = np.mgrid[:n, :n] - n / 2
        noise = np.random.default_rng(1).normal(size=(n, n))
        for path, values in zip(paths, (noise, noise, np.exp(-(x**2 + y**2) / n**2)), strict=True):
            write_image(path, values, WCS(naxis=2), unit="")
    planes = [open_plane(path) for path in paths]
    assert not implausible(*planes, peak_jy_beam=10.0, rms_jy_beam=1.0, floor=0.2)


if __name__ == "__main__":
    main()

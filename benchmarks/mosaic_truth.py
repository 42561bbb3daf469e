"""Accuracy of mosaics over the sky: simulated strips of tiles against the sky they were made from.

    python benchmarks/mosaic_truth.py --work /tmp/truth

For each declination a strip of tiles with noise, made in the image plane (sources times primary
beam, convolved with the synthesised beam, noise with its correlation), is put together and every
source above 50 sigma is measured. Columns: sources; median ratio of measured to true flux; its
trend from the centres of the tiles to their edges; scatter of the residual over the noise map, by
pixels and by sources; largest error of a position in beams.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
# in place of this folder, where the name of a file would hide that of the tests
sys.path[:1] = [str(ROOT / "tests"), str(ROOT / "scripts")]

from mosaic.strip_truth import make_strip, measure  # noqa: E402

FIELDS = ((150.0, -30.0), (150.0, 0.0), (0.0, 16.0), (77.0, 16.0), (201.0, 55.0), (0.0, 75.0))
LIMITS = {"ratio": 0.01, "trend": 0.02, "pull": 0.05, "offset": 0.05}


def main() -> int:
    """Print the table; non-zero when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="scratch folder")
    parser.add_argument("--tiles", type=int, default=6)
    parser.add_argument("--size", type=int, default=900, help="pixels of 6 arcsec")
    parser.add_argument("--method", default="pbweighted")
    args = parser.parse_args()
    print("   RA    Dec  sources   ratio    trend  pulls: pixels sources  offset [beams]")
    missed = False
    for number, (ra, dec) in enumerate(FIELDS):
        folder = args.work / f"strip{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        scale = args.size / 300
        strip = make_strip(
            folder, ra, dec, tiles=args.tiles, n=args.size, seed=number + 1,
            step=0.16 * scale, pb_fwhm=0.45 * scale,
        )  # fmt: skip
        found = measure(folder, *strip, method=args.method)
        pull = float(np.std(found["pulls_sources"]))
        print(
            f"{ra:6.1f} {dec:+6.1f} {found['sources']:7d}  {found['ratio_median']:.4f}  "
            f"{found['ratio_trend']:+.4f}         {found['pull_pixels']:.3f}   {pull:.3f}  "
            f"{found['offset_max_beams']:.3f}",
            flush=True,
        )
        missed |= abs(found["ratio_median"] - 1) > LIMITS["ratio"]
        missed |= abs(found["ratio_trend"]) > LIMITS["trend"]
        missed |= abs(found["pull_pixels"] - 1) > LIMITS["pull"]
        missed |= abs(pull - 1) > LIMITS["pull"] + 2 / np.sqrt(2 * found["pulls_sources"].size)
        missed |= found["offset_max_beams"] > LIMITS["offset"]
        shutil.rmtree(folder)
    print("MISSED" if missed else "every limit is met")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())

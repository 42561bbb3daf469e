"""The full array on a sky of the second simulator: ``python benchmarks/full_array.py``.

96 antennas, 24 integrations, 96 channels, a calibrator of 8.8 Jy between the pixels, 120 sources:
one is a sixth of what the catalogue says, 19 arcmin from the calibrator, and one a quarter more.
Solved, calibrated, imaged and measured by the workflow's own verbs, which share no code with the
simulator; prints measured over true by signal to noise, and both sources (docs/imaging.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from contimg.image.options import ImageOptions  # noqa: E402
from truth import chain, independent  # noqa: E402
from truth.test_independent import LENSED, VARIABLE, nearest  # noqa: E402

INSTRUMENT = independent.Instrument(
    step=1, outriggers=14, subbands=2, channels=48, times=24, integration_s=12.885
)
IMAGE = ImageOptions(backend="auto", cell_arcsec=3.5, imsize=3600)


def main() -> None:
    """Simulate, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--sources", type=int, default=120)
    parser.add_argument("--directory", type=Path, help="kept; a temporary one if unset")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="contimg-bench-") as scratch:
        directory = arguments.directory or Path(scratch)
        sky, catalog = skies(arguments.sources)
        chain.tables(directory, catalog)
        group = independent.transit_group(INSTRUMENT)
        manifest = independent.observe(directory / "obs", INSTRUMENT, group, sky)
        calset = chain.solved(directory, manifest)
        table = directory / "catalog.csv"
        found = chain.measured(directory / "tile", manifest, calset, table, IMAGE)
        show(chain.against(found.rows, sky), sky, found.records)


def skies(sources: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is observed and what the catalogue says."""
    sky = independent.field(sources, calibrator_jy=8.8)
    catalog = sky.copy()
    sky["kind"] = "field"
    for arcmin, factor, kind in ((19, LENSED, "ese"), (40, VARIABLE, "variable")):
        row = nearest(sky, arcmin)
        catalog.loc[row, "flux_jy"] = 0.3
        sky.loc[row, ["flux_jy", "kind"]] = 0.3 * factor, kind
    return sky, catalog


def show(rows: pd.DataFrame, sky: pd.DataFrame, records: dict[str, dict]) -> None:
    """Tables of what was found."""
    print(chain.bins(rows[rows["flag"] == ""]).to_string(index=False))
    columns = ["source", "true_jy", "flux_jy", "flux_err_jy", "pull", "flag"]
    varying = sky.loc[sky["kind"].isin(["ese", "variable"]), "name"]
    print(rows.loc[rows["source"].isin(varying), columns].to_string(index=False))
    wrong = ((rows["ratio"] - 1).abs() > 0.1) & (rows["pull"].abs() > 5) & (rows["flag"] == "")
    print(f"{wrong.sum()} rows wrong by more than a tenth and 5 errors without a word")
    print(json.dumps({k: (r["verdict"], r["reason"]) for k, r in records.items()}, indent=1))


if __name__ == "__main__":
    main()

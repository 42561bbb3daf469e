"""What the start of a run costs: planning a month whose headers are known, and reading new ones.

    python benchmarks/discover.py [--days 30] [--directory DIR] [--raw-dir DIR_OF_REAL_FILES]

Makes a directory of empty (sparse) files with the names of a month, and the cache that a scan of
real files would have left; then times ``refresh`` as Snakemake calls it: the first time (manifests
and plan are written) and again (nothing changed). The floor is what listing the directory and
reading the cache cost. With ``--raw-dir``, headers of those files are read as well.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from contimg.core.grouping.scan import CACHE_VERSION, COLUMNS, find_files, read_headers  # noqa: E402
from contimg.core.instrument import InstrumentOptions  # noqa: E402
from contimg.core.paths import path  # noqa: E402
from contimg.discover.options import DiscoverOptions  # noqa: E402
from contimg.mosaic.options import MosaicOptions  # noqa: E402
from contimg.plan.options import PlanOptions  # noqa: E402
from contimg.run.refresh import refresh  # noqa: E402
from contimg.simulate.options import SimulateOptions  # noqa: E402

SUBBANDS, INTEGRATION_S, TIMES, START = 16, 12.884901888, 24, 60949.0
BAND_MHZ = (1311.25, 1498.75)
SIZE = 145_291_592
STRIP_DEG = 55.58


def main() -> None:
    """Print one line a measurement: wall and CPU seconds."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--directory", type=Path, help="kept; made if it does not exist")
    parser.add_argument("--raw-dir", type=Path, help="directory of real UVH5 files")
    arguments = parser.parse_args()
    work = arguments.directory or Path(tempfile.mkdtemp(prefix="contimg-bench-"))
    try:
        month(work, arguments.days)
        if arguments.raw_dir:
            headers(arguments.raw_dir)
    finally:
        if arguments.directory is None:
            shutil.rmtree(work)


def month(work: Path, days: int) -> None:
    """Time the refresh of many known files with few and many calibrators."""
    raw = work / "raw"
    table = synthetic_headers(str(raw), round(days * 86400 / (TIMES * INTEGRATION_S)))
    if not raw.exists():
        measure("make the files", lambda: make_files(table))
    listed = {name: (size, mtime) for name, size, mtime in find_files(raw)}
    table["bytes"], table["mtime_ns"] = zip(*(listed[name] for name in table["path"]), strict=True)
    for number in (10, 200):
        results = str(work / f"results{number}")
        cache = Path(path("files", results))
        cache.parent.mkdir(parents=True, exist_ok=True)
        table.assign(version=CACHE_VERSION).to_parquet(cache, index=False)
        calibrators = work / f"calibrators{number}.csv"
        synthetic_calibrators(number).to_csv(calibrators, index=False)
        options = (
            InstrumentOptions(band_mhz=BAND_MHZ),
            DiscoverOptions(raw_dir=raw),
            PlanOptions(calibrators=calibrators),
            MosaicOptions(),
            SimulateOptions(),
        )
        print(f"{len(table)} files, {number} calibrators")
        measure("  list the directory (floor)", lambda: find_files(raw))
        measure("  read the cache (floor)", lambda cache=cache: pd.read_parquet(cache))
        for what in ("first refresh", "nothing changed", "nothing changed"):
            plan = measure(f"  {what}", lambda r=results, o=options: refresh(r, *o))
        print(
            f"  {len(plan['groups'])} groups, {len(plan['calsets'])} calsets,"
            f" {len(plan['mosaics'])} mosaics, {plan['rejected']} rejected"
        )


def headers(raw: Path) -> None:
    """Time the reading of real headers: one process, and one a processor."""
    import pyuvdata.uvdata  # noqa: F401  (the import is not what is measured)

    files = find_files(raw)
    for processes in (1, len(os.sched_getaffinity(0))):
        with tempfile.TemporaryDirectory() as scratch:
            cache = Path(scratch) / "files.parquet"
            cpu, wall = cpu_s(), time.perf_counter()
            read_headers(files, cache, processes=processes)
            cpu, wall = cpu_s() - cpu, time.perf_counter() - wall
        print(
            f"{len(files)} headers, {processes} processes: {wall / len(files) * 1e3:.1f} ms wall,"
            f" {cpu / len(files) * 1e3:.1f} ms CPU a file"
        )


def measure(what: str, function):
    """Call, print wall and CPU seconds (children included), return the result."""
    cpu, wall = cpu_s(), time.perf_counter()
    result = function()
    print(f"{what:32s} {time.perf_counter() - wall:7.2f} s wall {cpu_s() - cpu:7.2f} s CPU")
    return result


def cpu_s() -> float:
    """CPU seconds of this process and its children that ended."""
    used = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def synthetic_headers(raw: str, groups: int) -> pd.DataFrame:
    """Headers of groups that follow each other; names are 1 to 3 s off."""
    rng = np.random.default_rng(1)
    first = START + np.repeat(np.arange(groups), SUBBANDS) * TIMES * INTEGRATION_S / 86400
    number = np.tile(np.arange(SUBBANDS), groups)
    name_mjd = np.round(first * 86400 + rng.integers(-3, 4, len(first))) / 86400
    names = pd.to_datetime(np.round((name_mjd - 40587) * 86400), unit="s").strftime(
        "%Y-%m-%dT%H:%M:%S"
    )
    width = (BAND_MHZ[1] - BAND_MHZ[0]) / SUBBANDS * 1e6
    high = BAND_MHZ[1] * 1e6 - number * width
    constant = {
        **{"reason": "", "kind": "", "telescope": "OVRO_MMA", "latitude_deg": 37.233386982},
        **{"longitude_deg": -118.283405115, "height_m": 1188.05, "n_times": float(TIMES)},
        **{"integration_s": INTEGRATION_S, "n_channels": 48.0, "tracking": "drift"},
        **{"dec_app_deg": STRIP_DEG, "ra_deg": np.nan, "dec_deg": np.nan, "field": ""},
        **{"unprojected": False, "bytes": SIZE, "mtime_ns": 0, "longest_m": 2600.0},
    }
    table = pd.DataFrame(
        {
            "path": [
                f"{raw}/{name[:10]}/{name}_sb{k:02d}.hdf5"
                for name, k in zip(names, number, strict=True)
            ],
            "first_mjd": first,
            "last_mjd": first + (TIMES - 1) * INTEGRATION_S / 86400,
            "freq_min_hz": high - width,
            "freq_max_hz": high,
            "name_mjd": name_mjd,
            "content": [f"{k:032x}" for k in range(len(first))],
        }
    ).assign(**constant)
    return table[COLUMNS].sort_values("path", ignore_index=True)


def make_files(table: pd.DataFrame) -> None:
    """Sparse files of the right size."""
    for name in table["path"]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        with open(name, "wb") as stream:
            stream.truncate(SIZE)


def synthetic_calibrators(number: int) -> pd.DataFrame:
    """Calibrators within two degrees of the strip."""
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "name": [f"C{k:03d}" for k in range(number)],
            "ra_deg": rng.uniform(0, 360, number),
            "dec_deg": STRIP_DEG + rng.uniform(-2, 2, number),
            "flux_jy": rng.uniform(1.5, 9, number),
            "ref_freq_hz": 1.4e9,
            "spectral_index": -0.7,
        }
    )


if __name__ == "__main__":
    main()

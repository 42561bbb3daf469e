"""What a day's update of the search costs: `contimg variability` on the light curves of a year.

    python benchmarks/ese_update.py [--sources 25000] [--days 365] [--threads 2] [FLAG ...]

Daily epochs of one field, 15 % of them lost, and of every source 3 % flagged, so that hardly two
have the same sampling. Half of the sources are constant, 30 % scintillate by 1 to 4 %, 20 % walk by
2 to 10 %; errors are 5 %. Every FLAG goes to the command (`--injections=0`).
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd

from contimg.cli import main
from contimg.core.records import write_record

MODES = 24  # sine waves that scintillation is made of


def scintillation(times, number: int, random) -> np.ndarray:
    """(number, N) smooth processes of 1 to 4 % with time scales of 5 to 20 days."""
    change = np.zeros((number, len(times)))
    tau = random.uniform(5, 20, number)
    for _ in range(MODES):
        angle = random.normal(size=number)[:, None] / tau[:, None] * times
        change += np.sqrt(2 / MODES) * np.cos(angle + random.uniform(0, 7, (number, 1)))
    return random.uniform(0.01, 0.04, (number, 1)) * change


def walks(times, number: int, random) -> np.ndarray:
    """(number, N) damped random walks of 2 to 10 % with time scales of 20 to 300 days."""
    tau, change = random.uniform(20, 300, number), np.zeros((number, len(times)))
    change[:, 0] = random.normal(size=number)
    for n in range(1, len(times)):
        kept = np.exp(-(times[n] - times[n - 1]) / tau)
        change[:, n] = kept * change[:, n - 1] + np.sqrt(1 - kept**2) * random.normal(size=number)
    return random.uniform(0.02, 0.1, (number, 1)) * change


def make(sources: int, days: int, random) -> pd.DataFrame:
    """Light curves as `contimg lightcurves` writes them."""
    times = np.flatnonzero(random.uniform(size=days) > 0.15).astype(float)
    relative = np.ones((sources, len(times)))
    smooth, walking = int(0.3 * sources), int(0.2 * sources)
    relative[:smooth] += scintillation(times, smooth, random)
    relative[smooth : smooth + walking] += walks(times, walking, random)
    level = 10 ** random.uniform(-2, 0, (sources, 1))
    error = 0.05 * level * random.uniform(0.9, 1.1, relative.shape)
    flux = level * relative + error * random.normal(size=relative.shape)
    names = np.array([f"s{k:06d}" for k in range(sources)], dtype=object)
    mosaics = np.array([f"m{int(t):04d}" for t in times], dtype=object)
    epochs = len(times)
    return pd.DataFrame(
        {
            "source": np.repeat(names, epochs),
            "mosaic": np.tile(mosaics, sources),
            "mjd": np.tile(60000.0 + times, sources),
            "flux_norm_jy": flux.ravel(),
            "flux_norm_err_jy": error.ravel(),
            "flag": np.where(random.uniform(size=flux.size) < 0.03, "bad_fit", ""),
            "ra_deg": np.repeat(random.uniform(0, 30, sources), epochs),
            "dec_deg": np.repeat(random.uniform(15, 18, sources), epochs),
        }
    )


def update(folder: Path, threads: int, flags: list[str]) -> int:
    """Search the light curves in `folder`."""
    words = [f"--lightcurves={folder}/lc.parquet", f"--lightcurves-record={folder}/lc.json"]
    words += [f"--sources={folder}/sources.parquet", f"--candidates={folder}/c.csv"]
    words += [f"--candidates-ecsv={folder}/c.ecsv", f"--candidates-vot={folder}/c.vot"]
    words += [f"--plot={folder}/c.png", f"--record={folder}/v.json", f"--threads={threads}"]
    words += [f"--completeness={folder}/done.csv", f"--false-alarms={folder}/false.csv"]
    words += [f"--search-plot={folder}/search.png", f"--alerts={folder}/alerts"]
    return main(["variability", *words, *flags])


def cpu_seconds() -> float:
    """Of this process and those that it started."""
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=25_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks/update"))
    given, flags = parser.parse_known_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    table = make(given.sources, given.days, np.random.default_rng(1))
    table.to_parquet(given.folder / "lc.parquet", index=False)
    print(f"{given.sources} sources, {len(table)} measurements, {given.threads} processes")
    del table
    write_record(
        given.folder / "lc.json", product="lc", stage="lightcurves", data={}, verdict="pass"
    )
    started, used = time.perf_counter(), cpu_seconds()
    status = update(given.folder, given.threads, flags)
    print(f"status {status}: {time.perf_counter() - started:.0f} s", end="")
    print(f", {cpu_seconds() - used:.0f} s of the processors", end="")
    peak = max(resource.getrusage(w).ru_maxrss for w in (0, resource.RUSAGE_CHILDREN)) / 1024**2
    print(f", peak memory of a process {peak:.1f} GB")

"""What a day's update of the search costs: `contimg variability` on the light curves of a year.

    python benchmarks/ese_update.py [--sources 25000] [--days 365] [--threads 2] [--verb ese]
                                    [FLAG ...]

Daily epochs of one field, 15 % of them lost, and of every source 3 % flagged, so that hardly two
have the same sampling. Half of the sources are constant, 30 % scintillate by 1 to 4 %, 20 % walk by
2 to 10 %; errors are 5 %. Every FLAG goes to the command (`--injections=0`). ``read_...`` is the
time to read the table, ``search_all`` that of the search, ``measure`` that of the metrics.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from contimg.cli import main
from contimg.core.records import write_record
from contimg.variability import command, ese_command

PART = 1000  # sources that are made at a time
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


def make(first: int, sources: int, times: np.ndarray, random) -> pd.DataFrame:
    """Light curves of `sources`, numbered from `first` on, as `contimg lightcurves` writes them."""
    relative = np.ones((sources, len(times)))
    smooth, walking = int(0.3 * sources), int(0.2 * sources)
    relative[:smooth] += scintillation(times, smooth, random)
    relative[smooth : smooth + walking] += walks(times, walking, random)
    level = 10 ** random.uniform(-2, 0, (sources, 1))
    error = 0.05 * level * random.uniform(0.9, 1.1, relative.shape)
    flux = level * relative + error * random.normal(size=relative.shape)
    names = np.array([f"s{k:06d}" for k in range(first, first + sources)], dtype=object)
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


def write(path: Path, sources: int, days: int) -> int:
    """The table of all of them, made in parts; its number of rows."""
    random = np.random.default_rng(1)
    times = np.flatnonzero(random.uniform(size=days) > 0.15).astype(float)
    writer = None
    for first in range(0, sources, PART):
        made = make(first, min(PART, sources - first), times, random)
        part = pa.Table.from_pandas(made, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
    if writer is not None:
        writer.close()
    return sources * len(times)


def update(folder: Path, threads: int, flags: list[str]) -> int:
    """Search the light curves in `folder`."""
    words = [f"--lightcurves={folder}/lc.parquet", f"--lightcurves-record={folder}/lc.json"]
    words += [f"--sources={folder}/sources.parquet", f"--candidates={folder}/c.csv"]
    words += [f"--candidates-ecsv={folder}/c.ecsv", f"--candidates-vot={folder}/c.vot"]
    words += [f"--plot={folder}/c.png", f"--record={folder}/v.json", f"--threads={threads}"]
    words += [f"--completeness={folder}/done.csv", f"--false-alarms={folder}/false.csv"]
    words += [f"--search-plot={folder}/search.png", f"--alerts={folder}/alerts"]
    return main(["variability", *words, *flags])


def as_anybodys(folder: Path) -> None:
    """The same table for `contimg ese`, in parts."""
    source = pq.ParquetFile(folder / "lc.parquet")
    names = {"source": "source", "mjd": "mjd", "flux_norm_jy": "flux_jy"}
    names |= {"flux_norm_err_jy": "flux_err_jy", "flag": "flag"}
    writer = None
    for group in range(source.num_row_groups):
        part = source.read_row_group(group, list(names)).rename_columns(names)
        writer = writer or pq.ParquetWriter(folder / "any.parquet", part.schema)
        writer.write_table(part)
    if writer is not None:
        writer.close()


def anybodys(folder: Path, threads: int, flags: list[str]) -> int:
    """`contimg ese` on the same light curves."""
    words = [f"--lightcurves={folder}/any.parquet", f"--sources={folder}/any_sources.parquet"]
    words += [f"--candidates={folder}/any.csv", f"--threads={threads}"]
    return main(["ese", *words, *flags])


def cpu_seconds() -> float:
    """Of this process and those that it started."""
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def memory_bytes(process: int) -> int:
    """Memory of a process: pages that several share count in parts (Linux)."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


def watch(process: int, peak) -> None:
    """Put the largest memory of a process and its children, without this one, into `peak`."""
    while True:
        started = time.perf_counter()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        others = {process, *map(int, children)} - {os.getpid()}
        peak.value = max(peak.value, sum(map(memory_bytes, others)))
        time.sleep(max(0.5, 20 * (time.perf_counter() - started)))  # to look takes time


def clock(module, names: tuple[str, ...], seconds: dict[str, float]) -> None:
    """Have functions of a module add the time they take to `seconds`."""
    for name in names:
        setattr(module, name, _clocked(name, getattr(module, name), seconds))


def _clocked(name: str, function, seconds: dict[str, float]):
    def clocked(*arguments, **more):
        started = time.perf_counter()
        try:
            return function(*arguments, **more)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started

    return clocked


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=25_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks/update"))
    parser.add_argument("--verb", choices=("variability", "ese"), default="variability")
    given, flags = parser.parse_known_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    rows = write(given.folder / "lc.parquet", given.sources, given.days)
    if given.verb == "ese":
        as_anybodys(given.folder)
    print(f"{given.sources} sources, {rows} measurements, {given.threads} processes", flush=True)
    write_record(
        given.folder / "lc.json", product="lc", stage="lightcurves", data={}, verdict="pass"
    )
    peak = multiprocessing.Value("q", 0)
    multiprocessing.Process(target=watch, args=(os.getpid(), peak), daemon=True).start()
    seconds: dict[str, float] = {}
    clock(command, ("read_curves", "search_all", "measure"), seconds)
    clock(ese_command, ("read_measurements", "search_all", "_measure"), seconds)
    started, used = time.perf_counter(), cpu_seconds()
    run = update if given.verb == "variability" else anybodys
    status = run(given.folder, given.threads, flags)
    print(f"status {status}: {time.perf_counter() - started:.0f} s", end="")
    print(f", {cpu_seconds() - used:.0f} s of the processors", end="")
    print(f", peak memory of all processes {peak.value / 1e9:.2f} GB")
    print("; ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))

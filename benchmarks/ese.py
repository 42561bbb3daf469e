"""Speed of metrics and search, and of a plain eta-V computation of the same light curves.

    python benchmarks/ese.py [--sources 200] [--epochs 100] [--threads 2]

Half of the sources are constant, the others scintillate or vary slowly (``ese_made.py``). What
the numbers mean for 100,000 sources is extrapolated, as sources are independent of each other.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from ese_made import epochs, host, observe

from contimg.variability.ese import LightCurve
from contimg.variability.options import VariabilityOptions
from contimg.variability.parallel import parallel_map
from contimg.variability.products import measured
from contimg.variability.profiles import tables
from contimg.variability.search import Search, search_all

MANY = 100_000


def make(sources: int, span: int) -> list[LightCurve]:
    """Daily light curves with 15 % of the epochs lost and a signal to noise of 20."""
    random = np.random.default_rng(1)
    curves = []
    for k in range(sources):
        times = epochs(random, span)
        made = observe("host", host(True, times, random), times, 20.0, random)
        curves.append(LightCurve(f"s{k:05d}", made.mjd, made.flux, made.error))
    return curves


def plain(curves: list[LightCurve]) -> None:
    """Eta and V as anybody would write them."""
    for c in curves:
        weight = c.error**-2
        mean = np.average(c.flux, weights=weight)
        np.std(c.flux, ddof=1) / np.mean(c.flux)
        (weight * (c.flux - mean) ** 2).sum() / (len(c.flux) - 1)


def examined(item: tuple[int, LightCurve], run: Search) -> float:
    """The whole search of one more source."""
    return run.examine(item[1], 0, item[0]).log_factor


def timed(function, *arguments) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=100, help="days")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    curves = make(given.sources, given.epochs)
    # tables, compiled code and simulations are not what grows with the number of sources
    timed(tables)
    started = time.perf_counter()
    few = curves[: max(4, 2 * given.threads)]
    options = VariabilityOptions(null_draws=100)
    run = search_all(few, options, given.threads)
    nulls = time.perf_counter() - started
    simple, metrics = timed(plain, curves), timed(lambda: [measured(c, options) for c in curves])
    search = timed(parallel_map, examined, list(enumerate(curves)), (run,), given.threads)
    print(f"{given.sources} sources, {given.epochs} days, {given.threads} processes")
    print(f"100 simulated light curves: {nulls:.0f} s, whatever the number of sources")
    for name, seconds in (("eta and V", simple), ("metrics", metrics), ("search", search)):
        each = seconds / given.sources
        minutes = each * MANY / 60
        print(f"{name:10s} {1e3 * each:9.3f} ms a source", end="")
        print(f"{seconds / simple:9.1f} times eta and V{minutes:9.1f} min for {MANY} sources")
    peak = max(resource.getrusage(w).ru_maxrss for w in (0, resource.RUSAGE_CHILDREN)) / 1024
    print(f"peak memory of a process {peak:.0f} MB")

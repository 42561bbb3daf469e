"""Completeness, classes, false alarms and parameters of the search, against known light curves.

    python benchmarks/ese_truth.py [--number 6] [--hosts mixed] [--snr 20] [--folder /tmp/ese]

`contimg ese` searches a table of ray-shot lenses and smooth dips in a population of sources
(``ese_made.py``, which shares no code with the search), and one of everything that is not a lens.
An event is found if its source is announced at 0.01 expected false candidates in 1,000 sources.
The bound is what a matched filter would find that knows lens and noise of every source; the second
one is of a filter that also doubts blocks of three to six epochs.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from ese_made import DEPTHS, Made, epochs, event, host, observe, rival
from scipy.stats import beta

from contimg.cli import main

WIDTHS = (5, 15, 40, 80)
EVENTS = ("line", "disc", "smooth")
RIVALS = ("flare", "step", "bad_block", "sine", "walk", "scintillation", "gradient")
PARAMETERS = {
    "depth": "depth_err",
    "t0_mjd": "t0_err_days",
    "width_days": "width_err_days",
    "baseline_jy": "baseline_err_jy",
}
EXPECTED = 0.01 / 1000  # false candidates a source


def search(made: list[Made], folder: Path, name: str) -> pd.DataFrame:
    """The table of sources that `contimg ese` makes of `made`, with `found`."""
    parts = [
        pd.DataFrame(
            {"source": f"s{k:05d}", "mjd": m.mjd, "flux_jy": m.flux, "flux_err_jy": m.error}
        )
        for k, m in enumerate(made)
    ]
    table, out = folder / f"{name}.parquet", folder / f"{name}_sources.parquet"
    pd.concat(parts).to_parquet(table, index=False)
    words = [f"--lightcurves={table}", f"--sources={out}", f"--candidates={folder}/{name}.csv"]
    started = time.perf_counter()
    assert main(["ese", *words]) == 0
    print(f"{len(made)} light curves: {time.perf_counter() - started:.0f} s\n")
    sources = pd.read_parquet(out)
    found = (sources["class"] == "ese") & (sources["ese_false_alarm_probability"] < EXPECTED)
    return sources.assign(found=found, kind=[m.kind for m in made])


def interval(found: int, number: int) -> str:
    """Part found with its central 68 %."""
    low = beta.ppf(0.16, found, number - found + 1) if found else 0.0
    high = beta.ppf(0.84, found + 1, number - found) if found < number else 1.0
    return f"{found / max(number, 1):.2f} ({low:.2f}-{high:.2f}, {number})"


def completeness(
    number: int, hosts: str, snr: float, population: int, folder: Path, random
) -> None:
    """Table of depth by width and by kind, then the parameters of what was found."""
    made, cells = [], []
    for depth, (low, high) in DEPTHS.items():
        for width in WIDTHS:
            for kind in EVENTS:
                for _ in range(number):
                    deep = random.uniform(low, high)
                    made.append(event(kind, deep, width, hosts == "mixed", snr, random))
                    cells.append((depth, f"{width} d", kind))
    for _ in range(population):
        times = epochs(random)
        made.append(observe("host", host(hosts == "mixed", times, random), times, snr, random))
    sources = search(made, folder, f"events_{hosts}")
    events = sources.iloc[: len(cells)].copy()
    events[["depth_bin", "width", "shape"]] = cells
    for name in ("bound_sigma", "block_sigma"):
        events[name] = [m.truth[name] > 4.3 for m in made[: len(cells)]]  # p = 1e-5
    for column in ("width", "shape", None):
        print(f"completeness by depth and {column}: found (68 %, number) | bounds")
        by = ["depth_bin", column] if column else ["depth_bin"]
        for value, rows in events.groupby(by, sort=False):
            text = interval(int(rows["found"].sum()), len(rows))
            bounds = rows[["bound_sigma", "block_sigma"]].mean().round(2).tolist()
            print(f"  {' '.join(value):16s} {text} | {bounds}")
    print(events.loc[~events["found"], ["depth_bin", "width", "shape", "class"]].to_string())
    false = sources.iloc[len(cells) :]
    print(f"\nhosts announced: {int(false['found'].sum())} of {len(false)}")
    recovered(events, made)


def recovered(events: pd.DataFrame, made: list[Made]) -> None:
    """Bias and coverage of the parameters of the events found."""
    print("\nparameter      median pull   within 1 error   within 2   number")
    for name, error in PARAMETERS.items():
        rows = events[events["found"]]
        true = np.array([made[k].truth[name] for k in rows.index])
        pull = ((rows[name] - true) / rows[error]).to_numpy()
        inside = [np.mean(np.abs(pull) < k) for k in (1, 2)]
        print(
            f"{name:12s} {np.median(pull):12.2f} {inside[0]:14.2f} {inside[1]:12.2f} {len(pull):8d}"
        )


def classes(number: int, snr: float, folder: Path, random) -> None:
    """What is made of everything that is not a lens."""
    made = [rival(kind, snr, random) for kind in RIVALS for _ in range(number)]
    for _ in range(2 * len(made)):
        times = epochs(random)
        made.append(observe("host", host(True, times, random), times, snr, random))
    sources = search(made, folder, "rivals")
    print("kind (rows) and class (columns)")
    print(pd.crosstab(sources["kind"], sources["class"]).to_string())
    print("\nannounced: " + sources.groupby("kind")["found"].sum().to_string().replace("\n", "; "))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=6, help="light curves in every cell")
    parser.add_argument("--hosts", choices=("quiet", "mixed"), default="mixed")
    parser.add_argument("--population", type=int, default=500, help="sources without an event")
    parser.add_argument("--snr", type=float, default=20.0, help="of an epoch")
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks/ese"))
    parser.add_argument("--only", choices=("events", "rivals"), default=None)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    given.folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(given.seed)
    if given.only != "rivals":
        completeness(
            given.number, given.hosts, given.snr, given.population, given.folder, generator
        )
    if given.only != "events":
        classes(4 * given.number, given.snr, given.folder, generator)
